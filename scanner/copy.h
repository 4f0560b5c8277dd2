/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of pages that are not mapped here, copied without changing anything on the host. */
#pragma once

#include "scanner/guest_ram.h"
#include "scanner/present.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/**
 * struct copy - where one worker copies the pages of one range to, and what it needs for it
 * @buffer: @n_slots pages, one behind the other; owned
 * @slots: by page of the range, where in @buffer its bytes are, for pages that had to be read; pages behind which one merged frame stands share a slot
 *
 * The other members are private.
 */
struct copy {
        unsigned char *buffer;
        size_t n_slots;
        uint16_t slots[PRESENT_RANGE_PAGES];
        uint64_t frames[PRESENT_RANGE_PAGES];
        struct iovec remote[PRESENT_RANGE_PAGES];
        uint16_t readers[PRESENT_RANGE_PAGES];
};

/**
 * copy_init() - make room for a range, faulted in
 *
 * Return: 0 or -ENOMEM.
 */
int copy_init(struct copy *copy);

/* Wipes the pages. Takes one that is zeroed. */
void copy_deinit(struct copy *copy);

/**
 * copy_range() - copy the pages of a range that have to be read
 * @mapping: not one that is read through a mapping
 * @page: first page of the range, counted from the mapping's start; it has @n_pages, at most PRESENT_RANGE_PAGES
 * @runs: @n_runs runs of it, from present_find()
 * @kpageflags_fd: from frames_open(); negative: what KSM merged is not known, and is read like everything else
 *
 * Return: 0; -ESRCH when the process is gone; -EIO for a poisoned page; -ENODATA when the file was truncated;
 * another negative errno.
 */
int copy_range(struct copy *copy, const struct guest_ram *ram, const struct mapping *mapping, uint64_t page,
               size_t n_pages, const struct present_run *runs, size_t n_runs, int kpageflags_fd);
