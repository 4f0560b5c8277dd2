/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two pages are sharable when their fingerprints are equal, so the census sorts one 16-byte record a page by
 * fingerprint and walks the groups once:
 *
 *      a content present k times, k_V times in guest V, in g guests
 *      distinct        += 1
 *      self sharing    += k - g       (V: k_V - 1)
 *      inter sharing   += g - 1       (V, marginal: 1 when g > 1)
 *
 * Zero pages are counted while the records are made and never become one.
 *
 * Fingerprints are keyed hashes, uniform in every byte: a radix sort on the leading bytes, in place, leaves
 * buckets of a few records after log256(n) passes, whatever the guests wrote into their memory.
 */
#include "merge/census.h"

#include "base/cleanup.h"
#include "scanner/page.h"

#include <errno.h>
#include <stdlib.h>

/* Below this many records, sorting by insertion beats another pass. */
#define INSERTION_MAX 32

struct census_page {
        uint64_t fingerprint;
        uint32_t block; /* in census.blocks */
        uint32_t page;
};

struct census_block {
        uint32_t guest;
        uint32_t block; /* in the guest */
};

static void sort_by_insertion(struct census_page *pages, size_t n)
{
        for (size_t i = 1; i < n; i++) {
                struct census_page page = pages[i];
                size_t j = i;

                for (; j > 0 && pages[j - 1].fingerprint > page.fingerprint; j--)
                        pages[j] = pages[j - 1];
                pages[j] = page;
        }
}

static inline unsigned int digit_of(const struct census_page *page, unsigned int shift)
{
        return page->fingerprint >> shift & 0xff;
}

/* Brings every record into the bucket of its digit, by following each displaced record to its place. */
static void permute(struct census_page *pages, const size_t *ends, size_t *next, unsigned int shift)
{
        for (unsigned int bucket = 0; bucket < 256; bucket++) {
                while (next[bucket] < ends[bucket]) {
                        struct census_page page = pages[next[bucket]];
                        unsigned int digit = digit_of(&page, shift);

                        while (digit != bucket) {
                                struct census_page displaced = pages[next[digit]];

                                pages[next[digit]++] = page;
                                page = displaced;
                                digit = digit_of(&page, shift);
                        }
                        pages[next[bucket]++] = page;
                }
        }
}

static void sort_by_fingerprint(struct census_page *pages, size_t n, unsigned int shift)
{
        size_t ends[256] = {0};
        size_t next[256];
        size_t start = 0;

        if (n <= INSERTION_MAX) {
                sort_by_insertion(pages, n);
                return;
        }
        for (size_t i = 0; i < n; i++)
                ends[digit_of(&pages[i], shift)]++;
        for (unsigned int bucket = 0; bucket < 256; bucket++) {
                next[bucket] = start;
                start += ends[bucket];
                ends[bucket] = start;
        }
        permute(pages, ends, next, shift);
        if (shift == 0)
                return;
        start = 0;
        for (unsigned int bucket = 0; bucket < 256; bucket++) {
                sort_by_fingerprint(pages + start, ends[bucket] - start, shift - 8);
                start = ends[bucket];
        }
}

/* Sorts the pages of a block by state; only counts them while @pages is NULL. Returns the number of records.
 */
static size_t take_block(const struct guest_block *block, uint32_t number, struct census_page *pages,
                         struct census_figures *figures)
{
        size_t n = 0;

        for (uint64_t page = 0; page < block->n_pages; page++) {
                const uint64_t fingerprint = block->fingerprints[page];

                if (fingerprint >= PAGE_FIRST_HASH) {
                        if (pages)
                                pages[n] = (struct census_page){fingerprint, number, (uint32_t)page};
                        n++;
                } else if (!pages) {
                        figures->absent += fingerprint == PAGE_ABSENT;
                        figures->swapped += fingerprint == PAGE_SWAPPED;
                        figures->zero += fingerprint == PAGE_ZERO;
                }
        }
        if (!pages) {
                figures->ram += block->n_pages;
                figures->present = figures->ram - figures->absent - figures->swapped;
        }
        return n;
}

static int list_blocks(struct census *census)
{
        size_t n = 0;

        for (size_t g = 0; g < census->n_guests; g++)
                n += census->rams[g]->n_blocks;
        census->blocks = calloc(n + 1, sizeof(*census->blocks));
        if (!census->blocks)
                return -ENOMEM;
        for (size_t g = 0; g < census->n_guests; g++) {
                for (size_t b = 0; b < census->rams[g]->n_blocks; b++) {
                        if (census->rams[g]->blocks[b].n_pages > UINT32_MAX)
                                return -EFBIG;
                        census->blocks[census->n_blocks++] = (struct census_block){(uint32_t)g, (uint32_t)b};
                }
        }
        return 0;
}

static const struct guest_block *block_of(const struct census *census, uint32_t number)
{
        const struct census_block *block = &census->blocks[number];

        return &census->rams[block->guest]->blocks[block->block];
}

static int list_pages(struct census *census)
{
        for (uint32_t i = 0; i < census->n_blocks; i++)
                census->n_pages +=
                        take_block(block_of(census, i), i, NULL, &census->guests[census->blocks[i].guest]);
        census->pages = calloc(census->n_pages + 1, sizeof(*census->pages));
        if (!census->pages)
                return -ENOMEM;
        for (size_t i = 0, n = 0; i < census->n_blocks; i++)
                n += take_block(block_of(census, (uint32_t)i), (uint32_t)i, census->pages + n, NULL);
        return 0;
}

static size_t group_length(const struct census *census, size_t start)
{
        size_t end = start + 1;

        while (end < census->n_pages && census->pages[end].fingerprint == census->pages[start].fingerprint)
                end++;
        return end - start;
}

/* Which guests hold a content: counts per guest, reset after each group by the list of those touched. */
struct holders {
        uint64_t *copies; /* by guest */
        uint32_t *list;   /* guests with copies > 0 */
        size_t n;
};

static void count_group(struct census *census, const struct census_page *pages, size_t n_copies,
                        struct holders *holders)
{
        holders->n = 0;
        for (size_t i = 0; i < n_copies; i++) {
                uint32_t guest = census->blocks[pages[i].block].guest;

                if (holders->copies[guest]++ == 0)
                        holders->list[holders->n++] = guest;
        }
        for (size_t i = 0; i < holders->n; i++) {
                struct census_figures *figures = &census->guests[holders->list[i]];

                figures->distinct++;
                figures->self_sharing += holders->copies[holders->list[i]] - 1;
                figures->inter_sharing += holders->n > 1;
                holders->copies[holders->list[i]] = 0;
        }
        census->total.distinct++;
        census->total.self_sharing += n_copies - holders->n;
        census->total.inter_sharing += holders->n - 1;
}

static int count_groups(struct census *census)
{
        CLEANUP_FREE uint64_t *copies = calloc(census->n_guests + 1, sizeof(*copies));
        CLEANUP_FREE uint32_t *list = calloc(census->n_guests + 1, sizeof(*list));
        struct holders holders = {.copies = copies, .list = list};

        if (!copies || !list)
                return -ENOMEM;
        for (size_t start = 0, n = 0; start < census->n_pages; start += n) {
                n = group_length(census, start);
                count_group(census, census->pages + start, n, &holders);
        }
        for (size_t g = 0; g < census->n_guests; g++) {
                census->total.ram += census->guests[g].ram;
                census->total.present += census->guests[g].present;
                census->total.absent += census->guests[g].absent;
                census->total.swapped += census->guests[g].swapped;
                census->total.zero += census->guests[g].zero;
        }
        return 0;
}

int census_new(struct guest_ram *const *rams, size_t n_guests, struct census **ret)
{
        struct census *census = calloc(1, sizeof(*census));
        int r = -ENOMEM;

        if (!census)
                return -ENOMEM;
        census->rams = rams;
        census->n_guests = n_guests;
        census->guests = calloc(n_guests + 1, sizeof(*census->guests));
        if (census->guests)
                r = list_blocks(census);
        if (r == 0)
                r = list_pages(census);
        if (r == 0) {
                sort_by_fingerprint(census->pages, census->n_pages, 56);
                r = count_groups(census);
        }
        if (r < 0) {
                census_free(census);
                return r;
        }
        *ret = census;
        return 0;
}

struct census *census_free(struct census *census)
{
        if (!census)
                return NULL;
        free(census->guests);
        free(census->blocks);
        free(census->pages);
        free(census);
        return NULL;
}

static int compare_copies(const void *a, const void *b)
{
        const struct census_copy *x = a;
        const struct census_copy *y = b;

        if (x->frame != y->frame)
                return x->frame < y->frame ? -1 : 1;
        return x->guest < y->guest ? -1 : x->guest > y->guest;
}

static void gather_copies(const struct census *census, size_t start, size_t n, struct census_copy *copies)
{
        for (size_t i = 0; i < n; i++) {
                const struct census_page *page = &census->pages[start + i];

                copies[i] = (struct census_copy){
                        .frame = block_of(census, page->block)->frames[page->page],
                        .page = page->page,
                        .guest = census->blocks[page->block].guest,
                        .block = census->blocks[page->block].block,
                };
        }
        qsort(copies, n, sizeof(*copies), compare_copies);
}

int census_for_each_duplicate(const struct census *census, census_visit_fn *visit, void *context)
{
        CLEANUP_FREE struct census_copy *copies = NULL;
        size_t capacity = 0;

        for (size_t start = 0, n = 0; start < census->n_pages; start += n) {
                n = group_length(census, start);
                if (n < 2)
                        continue;
                if (n > capacity) {
                        capacity = n * 2;
                        free(copies);
                        copies = calloc(capacity, sizeof(*copies));
                        if (!copies)
                                return -ENOMEM;
                }
                gather_copies(census, start, n, copies);
                visit(context, copies, n);
        }
        return 0;
}
