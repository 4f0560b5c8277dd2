/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which memory of a process is pinned for a device or for io_uring, as far as that can be seen. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptors of a process that are looked at, and ranges that are taken; what exceeds them is not known. */
#define PINS_MAX_DESCRIPTORS 65536
#define PINS_MAX_RANGES      65536
/* What rings say of their buffers, 30 bytes for each; the last one is read to its end. */
#define PINS_MAX_TEXT_BYTES (UINT64_C(16) << 20)

struct pin_range {
        uint64_t begin;
        uint64_t end;
};

/**
 * struct pins - what is known to be pinned
 * @all: all guest RAM is, for a device that was passed through
 * @ranges: in address order, none touching another; owned
 */
struct pins {
        bool all;
        struct pin_range *ranges;
        size_t n_ranges;
};

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

void pins_deinit(struct pins *pins);

/* Whether the page at this address of the process is known to be pinned. */
bool pins_hold(const struct pins *pins, uint64_t hva);
