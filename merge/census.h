/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ideal: how much memory a set of guests could share. Words and formulas: docs/sharing-model.md. */
#pragma once

#include "base/pool.h"
#include "pages/pages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct census_figures - the sharing model's figures of a guest or of all guests, in pages of PAGE_BYTES
 *
 * present = zero + distinct + self_sharing + inter_sharing holds for all guests together. For one guest
 * present = zero + distinct + self_sharing, and inter_sharing is the marginal figure: how many of its
 * distinct contents another guest of the census holds too.
 */
struct census_figures {
        uint64_t ram;
        uint64_t present;
        uint64_t absent;
        uint64_t swapped;
        uint64_t zero;
        uint64_t distinct;
        uint64_t self_sharing;
        uint64_t inter_sharing;
};

/**
 * struct census_copy - one present, non-zero page
 * @frame: its frame word (pages/page.h)
 * @page: its index in the block
 * @guest: index of its guest in the census
 * @block: index of its block in the guest
 */
struct census_copy {
        uint64_t frame;
        uint64_t page;
        uint32_t guest;
        uint32_t block;
};

struct duplicates;
struct census_block;

/**
 * struct census - the pages of all guests, grouped by content
 * @guests: figures of each guest
 * @total: figures of all guests together
 *
 * The other members are the census's own; merge/duplicates.h says what they take.
 */
struct census {
        struct census_figures *guests;
        struct census_figures total;
        struct pages *const *pages;
        size_t n_guests;
        struct census_block *blocks;
        size_t n_blocks;
        struct duplicates *duplicates;
};

/**
 * census_new() - count
 * @pool: borrowed for the call
 * @pages: @n_guests guests, all read completely; borrowed for the life of the census. Failed ones are left
 * out by the caller.
 *
 * Return: 0; -ENOMEM; -EFBIG for a block above 16 TiB.
 */
int census_new(struct pool *pool, struct pages *const *pages, size_t n_guests, struct census **ret);

struct census *census_free(struct census *census);

/**
 * census_visit_fn - look at one content that is present more than once
 * @worker: of the pool, from 0: two calls of one worker never overlap
 * @copies: all pages of that content, sorted by frame and then by guest; valid during the call
 * @n_copies: at least 2
 */
typedef void census_visit_fn(void *context, unsigned int worker, const struct census_copy *copies,
                             size_t n_copies);

/**
 * census_for_each_duplicate() - visit every non-zero content that is present more than once
 * @pool: whose workers call @visit
 *
 * Return: 0, or -ENOMEM.
 */
int census_for_each_duplicate(const struct census *census, struct pool *pool, census_visit_fn *visit,
                              void *context);

/**
 * census_count_fn - count one content that is present more than once
 * @scratch: the worker's own, for whatever the counting needs; as struct census_counter says
 * @sums: the worker's own numbers
 *
 * The other arguments are those of census_visit_fn.
 */
typedef void census_count_fn(void *context, uint64_t *scratch, uint64_t *sums,
                             const struct census_copy *copies, size_t n_copies);

/**
 * struct census_counter - what census_count_duplicates() sums up
 * @count: called for each content, with @context
 * @n_scratch: words that each worker has for itself, all 0 at first
 * @n_sums: numbers that are summed up
 */
struct census_counter {
        census_count_fn *count;
        void *context;
        size_t n_scratch;
        size_t n_sums;
};

/**
 * census_count_duplicates() - sum up something over every non-zero content that is present more than once
 * @ret_sums: the sums over all contents are added to these
 *
 * Return: 0, or -ENOMEM.
 */
int census_count_duplicates(const struct census *census, struct pool *pool,
                            const struct census_counter *counter, uint64_t *ret_sums);
