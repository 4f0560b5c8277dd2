/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

/**
 * deadline_poll() - wait until something can be done with a descriptor
 * @events: of poll(2)
 *
 * Signals do not end it. Return: 0; -ETIMEDOUT when @deadline_usec (clock_now_usec()) has come; another
 * negative errno.
 */
int deadline_poll(int fd, short events, uint64_t deadline_usec);
