/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where metrics are served: "127.0.0.1:9747" or "[::1]:9747". */
#pragma once

#include "base/failure.h"

/**
 * metrics_address_check() - whether it is an address
 *
 * Return: 0; -EINVAL with a sentence.
 */
int metrics_address_check(const char *address, struct failure *failure);

/**
 * metrics_address_listen() - listen there
 * @address: numeric, so that no name server is asked. Port 0 lets the kernel choose one.
 * @ret_fd: non-blocking
 *
 * Return: 0, or a negative errno with a sentence.
 */
int metrics_address_listen(const char *address, int *ret_fd, struct failure *failure);
