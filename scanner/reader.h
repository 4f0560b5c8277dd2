/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Getting at the bytes of present pages without changing anything on the host. */
#pragma once

#include "base/failure.h"
#include "scanner/guest_ram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At most this many pages are copied at once: 256 KiB, which stays in the cache until it is hashed. */
#define READER_CHUNK_PAGES 64

enum reader {
        READER_MAPPED,     /* our own mapping of the RAM file */
        READER_PREAD,      /* pread(2) of the RAM file */
        READER_PROC_MEM,   /* /proc/PID/mem; huge pages by process_vm_readv(2) */
        READER_PROCESS_VM, /* process_vm_readv(2) */
        READER_MAX_,
};

/* Name of a reader as the reports print it. */
const char *reader_to_string(enum reader reader);

/* The fastest reader that changes nothing for pages of this mapping, while the guest is paused. */
enum reader reader_choose(const struct guest_region *region);

/**
 * reader_map() - map the file behind a shared mapping
 *
 * Touches nothing: a mapping of 1 TiB costs as little as one of a page. Does nothing for RAM that is not in
 * tmpfs.
 *
 * Return: 0, or a negative errno with @failure.
 */
int reader_map(struct guest_region *region, struct failure *failure);

/**
 * reader_populate() - fault pages of our mapping in, before the guest is paused
 * @page: first page, counted from the mapping's start
 * @n_pages: pages that hold data at this moment
 *
 * Does nothing where the mapping is not what they are going to be read by.
 */
void reader_populate(const struct guest_region *region, uint64_t page, size_t n_pages);

/* Takes our mapping away again; harmless when there is none. */
void reader_unmap(struct guest_region *region);

/**
 * reader_get() - the bytes of present pages
 * @page: first page, counted from the mapping's start
 * @n_pages: at most READER_CHUNK_PAGES
 * @huge: QEMU has these pages mapped by a huge page
 * @buffer: room for @n_pages pages
 * @ret_pages: receives where the bytes are: @buffer, or our mapping. Reading the mapping can raise SIGBUS
 * (scanner/sigbus.h).
 *
 * Return: 0; -ESRCH when the process is gone; -EIO for a poisoned page; -ENODATA when the file was truncated;
 * another negative errno.
 */
int reader_get(const struct guest_ram *ram, const struct guest_region *region, uint64_t page, size_t n_pages,
               bool huge, void *buffer, const void **ret_pages);
