/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests made up for a test: each page is given by the number of its content and of its frame. */
#pragma once

#include "base/pool.h"
#include "pages/page.h"
#include "pages/pages.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

/* Content numbers. Any other number is a content of its own. */
#define MADE_ABSENT  0
#define MADE_ZERO    (-1)
#define MADE_SWAPPED (-2)

#define MADE_MAX_GUESTS 16

struct made_guests {
        struct pages *pages[MADE_MAX_GUESTS];
        size_t n;
};

/* The threads of all tests of a program. */
static inline struct pool *made_guests_pool(void)
{
        static struct pool *pool;

        const int r = pool ? 0 : pool_new(3, &pool);

        assert(r == 0);
        (void)r;
        return pool;
}

/* A fingerprint as the hash would give: well spread, never one of the reserved values. */
static inline uint64_t made_fingerprint(int content)
{
        uint64_t x = (uint64_t)(uint32_t)content * UINT64_C(0x9e3779b97f4a7c15);

        if (content == MADE_ABSENT)
                return PAGE_ABSENT;
        if (content == MADE_ZERO)
                return PAGE_ZERO;
        if (content == MADE_SWAPPED)
                return PAGE_SWAPPED;
        x ^= x >> 29;
        return x | UINT64_C(1) << 20;
}

/* Adds a guest with one private, mergeable block of @n_pages pages, all absent. Returns the block. */
static inline struct pages_block *made_guests_add(struct made_guests *guests, uint64_t n_pages)
{
        struct pages *pages = calloc(1, sizeof(*pages));
        struct pages_block *block = calloc(1, sizeof(*block));

        assert(guests->n < MADE_MAX_GUESTS && pages && block);
        block->n_pages = n_pages;
        block->fingerprints = calloc(n_pages + 1, sizeof(uint64_t));
        block->frames = calloc(n_pages + 1, sizeof(uint64_t));
        block->ranges = calloc(1, sizeof(*block->ranges));
        assert(block->fingerprints && block->frames && block->ranges);
        block->n_ranges = 1;
        block->ranges[0].n_pages = n_pages;
        block->ranges[0].mergeable = true;
        pages->blocks = block;
        pages->n_blocks = 1;
        pages->frames_known = true;
        guests->pages[guests->n++] = pages;
        return block;
}

/* The same from a list of contents; page i gets frame @first_frame + i. */
static inline struct pages_block *made_guests_add_contents(struct made_guests *guests, const int *contents,
                                                           size_t n_pages, uint64_t first_frame)
{
        struct pages_block *block = made_guests_add(guests, n_pages);

        for (size_t i = 0; i < n_pages; i++) {
                block->fingerprints[i] = made_fingerprint(contents[i]);
                block->frames[i] = first_frame + i;
        }
        return block;
}

static inline void made_guests_free(struct made_guests *guests)
{
        for (size_t i = 0; i < guests->n; i++) {
                free(guests->pages[i]->blocks[0].fingerprints);
                free(guests->pages[i]->blocks[0].frames);
                free(guests->pages[i]->blocks[0].marks);
                free(guests->pages[i]->blocks[0].ranges);
                free(guests->pages[i]->blocks);
                free(guests->pages[i]);
        }
        guests->n = 0;
}
