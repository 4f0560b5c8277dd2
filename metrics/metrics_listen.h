/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket that serves metrics. */
#pragma once

#include "base/failure.h"
#include "conf/address.h"

/**
 * metrics_listen() - listen at an address
 * @ret_fd: the socket, non-blocking
 *
 * Return: 0; -EADDRINUSE or another negative errno, with a sentence.
 */
int metrics_listen(const struct address *address, int *ret_fd, struct failure *failure);
