/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Brings pages of equal content together, on all CPUs. */
#pragma once

#include "base/pool.h"
#include "pages/pages.h"

#include <stddef.h>
#include <stdint.h>

/**
 * struct duplicates_page - one present, non-zero page
 * @block: index of its block, in the list given to duplicates_new()
 * @is_last: it ends its group; private
 * @page: its index in the block
 */
struct duplicates_page {
        uint32_t block : 31;
        uint32_t is_last : 1;
        uint32_t page;
};

#define DUPLICATES_BLOCKS_MAX ((size_t)INT32_MAX)

/* The pages of a block by what they are. */
struct duplicates_counts {
        uint64_t absent;
        uint64_t swapped;
        uint64_t zero;
        uint64_t other; /* present, not zero: alone or in a group */
};

struct duplicates_partition;

/**
 * struct duplicates - pages that are present more than once, group by group
 * @n_pages: present non-zero pages of all blocks, alone or in a group
 * @counts: by block
 *
 * The other members are private: 8 bytes per present non-zero page, 2 MiB per GiB; half as much again while
 * they are grouped.
 */
struct duplicates {
        uint64_t n_pages;
        struct duplicates_counts *counts;
        uint64_t *words;
        struct duplicates_partition *partitions;
        size_t n_partitions;
};

/**
 * struct duplicates_visitor - who sees the contents that are present more than once
 * @visit: called once for each such content, by several threads at a time. @worker is the number of the
 *         thread, below pool_n_threads(); @pages are all @n_pages pages of the content, in no order
 */
struct duplicates_visitor {
        void (*visit)(void *context, unsigned int worker, const struct duplicates_page *pages,
                      size_t n_pages);
        void *context;
};

/**
 * duplicates_new() - group the pages of some blocks by fingerprint
 * @blocks: @n_blocks blocks; borrowed for the call
 * @visitor: sees every content as soon as it is grouped
 *
 * Return: 0; -ENOMEM; -EFBIG for a block above 16 TiB.
 */
int duplicates_new(struct pool *pool, const struct pages_block *const *blocks, size_t n_blocks,
                   const struct duplicates_visitor *visitor, struct duplicates **ret);

struct duplicates *duplicates_free(struct duplicates *duplicates);

/* Visits the contents that are present more than once, by the workers of @pool. */
void duplicates_for_each(const struct duplicates *duplicates, struct pool *pool,
                         const struct duplicates_visitor *visitor);
