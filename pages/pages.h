/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pages of a guest, without a process or a file behind them: what a scan leaves, and what the census
 * reads. Blocks, the ranges they are made of, and for every page, in page order, its fingerprint and frame.
 *
 * Memory per GiB of present guest RAM: 2 MiB of fingerprints, 2 MiB of frames.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct page_reader;

/**
 * struct pages_range - neighbouring pages of a block of which the same holds: those of one mapping
 * @hva: address of the first one in its process
 * @first_page: its index in the block
 * @shared: of a shared mapping: KSM never merges them
 * @hugetlb: of the hugetlb pool: neither
 * @mergeable: marked for KSM
 * @reader: where their bytes can be read, borrowed; NULL: nowhere
 */
struct pages_range {
        uint64_t hva;
        uint64_t first_page;
        uint64_t n_pages;
        bool shared;
        bool hugetlb;
        bool mergeable;
        const struct page_reader *reader;
};

/**
 * struct pages_block - one RAM block
 * @id: QEMU's name of it, owned
 * @n_pages: its size in pages of PAGE_BYTES
 * @ranges: in page order, they cover it without a gap; owned
 * @fingerprints, @frames: one word a page (pages/page.h)
 * @marks: of the second look, one byte a page (pages/page.h); NULL without one
 */
struct pages_block {
        char *id;
        uint64_t n_pages;
        struct pages_range *ranges;
        size_t n_ranges;
        uint64_t *fingerprints;
        uint64_t *frames;
        uint8_t *marks;
};

/**
 * struct pages - the pages of one guest
 * @frames_known: the kernel lets us see frame numbers; where it does not, @frames means nothing
 */
struct pages {
        struct pages_block *blocks;
        size_t n_blocks;
        bool frames_known;
};

/**
 * pages_add_block() - add a block, all of whose pages are absent
 * @id: copied
 * @n_ranges: how many ranges it is going to have; the caller fills them in
 *
 * Pointers to other blocks become invalid.
 *
 * Return: 0 or -ENOMEM.
 */
int pages_add_block(struct pages *pages, const char *id, uint64_t n_pages, size_t n_ranges,
                    struct pages_block **ret);

void pages_deinit(struct pages *pages);

/**
 * pages_add_marks() - give every block room for marks, all 0
 *
 * A byte a page: 256 KiB per GiB, where there are marks.
 *
 * Return: 0 or -ENOMEM.
 */
int pages_add_marks(struct pages *pages);

/* How many pages a second look is wanted at. */
uint64_t pages_count_wanted(const struct pages *pages);

/* The range that page @page of @block lies in. */
const struct pages_range *pages_range_of(const struct pages_block *block, uint64_t page);
