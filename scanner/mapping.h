/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How QEMU has mapped a RAM block. What can be done with guest memory follows from the mapping alone (shared
 * or private, mergeable, huge pages), never from the name of the memory backend.
 */
#pragma once

#include "base/failure.h"
#include "pages/page_reader.h"
#include "scanner/guest_process.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More mappings than this below one RAM block are refused. */
#define MAPPING_MAX_PER_BLOCK 4096

/**
 * struct mapping - one mapping of QEMU, cut to the RAM block it lies in, and our way into it
 * @hva: address of its first byte in QEMU
 * @size_bytes: a multiple of PAGE_BYTES
 * @first_page: index of its first page in the block
 * @file_offset: where it starts in the file behind it; 0 for anonymous memory
 * @file_inode: that file's inode number; 0 for anonymous memory
 * @start, @end: the whole mapping, which names it in /proc/PID/map_files
 * @page_size_bytes: the kernel's page size of the mapping: 4096, or a hugetlb size
 * @shared: the mapping is shared: KSM never merges it
 * @writable: QEMU may write there, or may make it so
 * @hugetlb: backed by the hugetlb pool
 * @locked: its pages are locked in memory (mlock(2))
 * @mergeable: marked for KSM (MADV_MERGEABLE or PR_SET_MEMORY_MERGE)
 * @process: whose it is; NULL when nothing of it is going to be read
 * @reader: how its pages are read
 * @file_fd: the RAM file behind a shared mapping, else -1
 * @is_tmpfs: that file lies in memory, so its extents are the pages that exist
 * @window: our own read-only view of a shared mapping of such a file, or NULL
 *
 * smaps gives all but the last five; guest_ram_add_block() fills those in.
 */
struct mapping {
        uint64_t hva;
        uint64_t size_bytes;
        uint64_t first_page;
        uint64_t file_offset;
        uint64_t file_inode;
        uint64_t start;
        uint64_t end;
        uint64_t page_size_bytes;
        bool shared;
        bool writable;
        bool hugetlb;
        bool locked;
        bool mergeable;
        bool is_tmpfs;
        struct page_reader reader;
        const struct guest_process *process;
        int file_fd;
        const unsigned char *window;
};

/* The mapping that a reader belongs to: for readers of guests that run here. */
static inline const struct mapping *mapping_of_reader(const struct page_reader *reader)
{
        return (const struct mapping *)(const void *)((const char *)reader -
                                                      offsetof(struct mapping, reader));
}

/**
 * mapping_list_mergeable() - the mappings of a process that are marked for KSM
 * @least_bytes: smaller ones are left out: they are no guest's RAM
 * @ret_mappings: receives an array in address order, of at most MAPPING_MAX_PER_BLOCK; the caller frees it
 *
 * Return: 0; -E2BIG; -EINVAL when the text cannot be understood; -ENOMEM.
 */
int mapping_list_mergeable(const char *smaps, uint64_t least_bytes, struct mapping **ret_mappings,
                           size_t *ret_n_mappings);

/**
 * mapping_find() - the mappings that hold a RAM block
 * @smaps: text of QEMU's /proc/PID/smaps
 * @hva, @size_bytes: where the block lies, multiples of PAGE_BYTES
 * @ret_mappings: receives an array in address order that covers the block without a gap; the caller frees it
 * @failure: says what does not fit
 *
 * Return: 0; -ENXIO when a part of the block is not mapped; -E2BIG above MAPPING_MAX_PER_BLOCK; -EINVAL when
 * the text cannot be understood; -ENOMEM.
 */
int mapping_find(const char *smaps, uint64_t hva, uint64_t size_bytes, struct mapping **ret_mappings,
                 size_t *ret_n_mappings, struct failure *failure);
