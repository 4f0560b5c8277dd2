/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds out which memory of a process is pinned for a device or for io_uring, as far as that can be seen. */
#pragma once

#include "pages/pins.h"

/* Descriptors of a process that are looked at; what exceeds them is not known. */
#define PINS_MAX_DESCRIPTORS 65536
/* What rings say of their buffers, 30 bytes for each; the last one is read to its end. */
#define PINS_MAX_TEXT_BYTES (UINT64_C(16) << 20)

/**
 * pins_read() - look for pins
 * @proc_fd: the process's open /proc/PID folder, or a fixture; borrowed for the call
 * @ram_bytes: of the guest
 * @ram_is_locked: some of it is locked in memory (mlock(2)), and counts as that in the process's status
 *
 * What cannot be read is not known to be pinned.
 *
 * Return: 0 or -ENOMEM.
 */
int pins_read(int proc_fd, uint64_t ram_bytes, bool ram_is_locked, struct pins *ret);
