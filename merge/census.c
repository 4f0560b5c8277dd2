/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two pages are sharable when their fingerprints are equal. So pages are grouped by fingerprint
 * (merge/duplicates.c), and each content that is present more than once is counted:
 *
 *      k copies, k_V of them in guest V, in g guests
 *      self sharing    += k - g       (V: k_V - 1)
 *      inter sharing   += g - 1       (V, marginal: 1 when g > 1)
 *
 * A content that is present once adds to neither. The number of distinct pages follows: present pages, less
 * zero pages, less sharing.
 *
 * Zero pages belong to no group. Each thread keeps its own sums, which are added up at the end.
 */
#include "merge/census.h"

#include "base/cleanup.h"
#include "merge/duplicates.h"
#include "pages/page.h"

#include <errno.h>
#include <stdlib.h>

struct census_block {
        uint32_t guest;
        uint32_t block; /* in the guest */
};

/* What one thread has counted. */
struct tally {
        struct census_figures *guests;
        struct census_figures total;
        uint64_t *copies;  /* of the current content, by guest; all 0 between contents */
        uint32_t *holders; /* guests with copies */
};

struct counting {
        const struct census *census;
        struct tally *tallies; /* by worker */
};

static uint32_t guest_of(const struct census *census, const struct duplicates_page *page)
{
        return census->blocks[page->block].guest;
}

/* Does what count_equal_pages() would do, faster. Most contents that occur more than once occur twice. */
static void count_pair(struct tally *tally, uint32_t a, uint32_t b)
{
        const bool across = a != b;

        tally->guests[a].self_sharing += !across;
        tally->guests[a].inter_sharing += across;
        tally->guests[b].inter_sharing += across;
        tally->total.self_sharing += !across;
        tally->total.inter_sharing += across;
}

static void count_equal_pages(void *context, unsigned int worker, const struct duplicates_page *pages,
                              size_t n_pages)
{
        const struct counting *counting = context;
        struct tally *tally = &counting->tallies[worker];
        uint32_t n_holders = 0;

        if (n_pages == 2) {
                count_pair(tally, guest_of(counting->census, &pages[0]),
                           guest_of(counting->census, &pages[1]));
                return;
        }
        for (size_t i = 0; i < n_pages; i++) {
                const uint32_t guest = guest_of(counting->census, &pages[i]);

                if (tally->copies[guest]++ == 0)
                        tally->holders[n_holders++] = guest;
        }
        for (size_t i = 0; i < n_holders; i++) {
                struct census_figures *figures = &tally->guests[tally->holders[i]];

                figures->self_sharing += tally->copies[tally->holders[i]] - 1;
                figures->inter_sharing += n_holders > 1;
                tally->copies[tally->holders[i]] = 0;
        }
        tally->total.self_sharing += n_pages - n_holders;
        tally->total.inter_sharing += n_holders - 1;
}

static int list_blocks(struct census *census)
{
        size_t n = 0;

        for (size_t g = 0; g < census->n_guests; g++)
                n += census->pages[g]->n_blocks;
        census->blocks = calloc(n + 1, sizeof(*census->blocks));
        if (!census->blocks)
                return -ENOMEM;
        for (size_t g = 0; g < census->n_guests; g++)
                for (size_t b = 0; b < census->pages[g]->n_blocks; b++)
                        census->blocks[census->n_blocks++] = (struct census_block){(uint32_t)g, (uint32_t)b};
        return 0;
}

static const struct pages_block *block_of(const struct census *census, uint32_t number)
{
        const struct census_block *block = &census->blocks[number];

        return &census->pages[block->guest]->blocks[block->block];
}

/* Adds only the figures that are counted content by content. */
static void add_sharing(struct census_figures *sum, const struct census_figures *figures)
{
        sum->self_sharing += figures->self_sharing;
        sum->inter_sharing += figures->inter_sharing;
}

static void add_block_counts(struct census *census)
{
        for (uint32_t b = 0; b < census->n_blocks; b++) {
                struct census_figures *guest = &census->guests[census->blocks[b].guest];
                const struct duplicates_counts *counts = &census->duplicates->counts[b];

                guest->ram += block_of(census, b)->n_pages;
                guest->absent += counts->absent;
                guest->swapped += counts->swapped;
                guest->zero += counts->zero;
                guest->present += counts->zero + counts->other;
        }
        for (size_t g = 0; g < census->n_guests; g++) {
                struct census_figures *guest = &census->guests[g];

                guest->distinct = guest->present - guest->zero - guest->self_sharing;
                census->total.ram += guest->ram;
                census->total.absent += guest->absent;
                census->total.swapped += guest->swapped;
                census->total.zero += guest->zero;
                census->total.present += guest->present;
        }
        census->total.distinct = census->total.present - census->total.zero - census->total.self_sharing -
                                 census->total.inter_sharing;
}

static int tally_init(struct tally *tally, size_t n_guests)
{
        tally->guests = calloc(n_guests + 1, sizeof(*tally->guests));
        tally->copies = calloc(n_guests + 1, sizeof(*tally->copies));
        tally->holders = calloc(n_guests + 1, sizeof(*tally->holders));
        return tally->guests && tally->copies && tally->holders ? 0 : -ENOMEM;
}

static void tally_deinit(struct tally *tally)
{
        free(tally->guests);
        free(tally->copies);
        free(tally->holders);
}

static int group_pages(struct census *census, struct pool *pool, struct tally *tallies)
{
        CLEANUP_FREE const struct pages_block **blocks =
                calloc(census->n_blocks + 1, sizeof(const struct pages_block *));
        struct counting counting = {.census = census, .tallies = tallies};
        int r = blocks ? 0 : -ENOMEM;

        for (uint32_t b = 0; r == 0 && b < census->n_blocks; b++)
                blocks[b] = block_of(census, b);
        for (unsigned int i = 0; r == 0 && i < pool_n_threads(pool); i++)
                r = tally_init(&tallies[i], census->n_guests);
        if (r == 0)
                r = duplicates_new(pool, blocks, census->n_blocks,
                                   &(struct duplicates_visitor){count_equal_pages, &counting},
                                   &census->duplicates);
        return r;
}

static int count_pages(struct census *census, struct pool *pool)
{
        CLEANUP_FREE struct tally *tallies = calloc(pool_n_threads(pool), sizeof(*tallies));
        int r = tallies ? group_pages(census, pool, tallies) : -ENOMEM;

        for (unsigned int i = 0; tallies && i < pool_n_threads(pool); i++) {
                for (size_t g = 0; r == 0 && g < census->n_guests; g++)
                        add_sharing(&census->guests[g], &tallies[i].guests[g]);
                add_sharing(&census->total, &tallies[i].total);
                tally_deinit(&tallies[i]);
        }
        if (r == 0)
                add_block_counts(census);
        return r;
}

int census_new(struct pool *pool, struct pages *const *pages, size_t n_guests, struct census **ret)
{
        struct census *census = calloc(1, sizeof(*census));
        int r = -ENOMEM;

        if (!census)
                return -ENOMEM;
        census->pages = pages;
        census->n_guests = n_guests;
        census->guests = calloc(n_guests + 1, sizeof(*census->guests));
        if (census->guests)
                r = list_blocks(census);
        if (r == 0)
                r = count_pages(census, pool);
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
        duplicates_free(census->duplicates);
        free(census->guests);
        free(census->blocks);
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

/* What one worker sorts a group's copies in. */
struct copies {
        struct census_copy *copies;
        size_t capacity;
        int error;
};

/* Looks up the frames of a group's copies, and passes the copies on to the visitor. */
struct visiting {
        const struct census *census;
        census_visit_fn *visit;
        void *context;
        struct copies *of_workers;
};

static int reserve_copies(struct copies *copies, size_t n)
{
        if (n <= copies->capacity)
                return 0;
        free(copies->copies);
        copies->capacity = 0;
        copies->copies = calloc(n * 2, sizeof(*copies->copies));
        if (!copies->copies)
                return -ENOMEM;
        copies->capacity = n * 2;
        return 0;
}

static void visit_group(void *context, unsigned int worker, const struct duplicates_page *pages, size_t n)
{
        const struct visiting *visiting = context;
        const struct census *census = visiting->census;
        struct copies *own = &visiting->of_workers[worker];

        if (own->error == 0)
                own->error = reserve_copies(own, n);
        if (own->error < 0)
                return;
        for (size_t i = 0; i < n; i++)
                own->copies[i] = (struct census_copy){
                        .frame = block_of(census, pages[i].block)->frames[pages[i].page],
                        .page = pages[i].page,
                        .guest = census->blocks[pages[i].block].guest,
                        .block = census->blocks[pages[i].block].block,
                };
        qsort(own->copies, n, sizeof(*own->copies), compare_copies);
        visiting->visit(visiting->context, worker, own->copies, n);
}

int census_for_each_duplicate(const struct census *census, struct pool *pool, census_visit_fn *visit,
                              void *context)
{
        const unsigned int n_workers = pool_n_threads(pool);
        CLEANUP_FREE struct copies *of_workers = calloc(n_workers, sizeof(*of_workers));
        struct visiting visiting = {census, visit, context, of_workers};
        int r = 0;

        if (!of_workers)
                return -ENOMEM;
        duplicates_for_each(census->duplicates, pool, &(struct duplicates_visitor){visit_group, &visiting});
        for (unsigned int i = 0; i < n_workers; i++) {
                r = of_workers[i].error < 0 ? of_workers[i].error : r;
                free(of_workers[i].copies);
        }
        return r;
}

struct summing {
        const struct census_counter *counter;
        uint64_t *numbers; /* of all workers: scratch and sums of each */
};

static uint64_t *scratch_of(const struct summing *summing, unsigned int worker)
{
        return summing->numbers + worker * (summing->counter->n_scratch + summing->counter->n_sums);
}

static void sum_content(void *context, unsigned int worker, const struct census_copy *copies, size_t n_copies)
{
        const struct summing *summing = context;
        const struct census_counter *counter = summing->counter;
        uint64_t *scratch = scratch_of(summing, worker);

        counter->count(counter->context, scratch, scratch + counter->n_scratch, copies, n_copies);
}

int census_count_duplicates(const struct census *census, struct pool *pool,
                            const struct census_counter *counter, uint64_t *ret_sums)
{
        const size_t n_workers = pool_n_threads(pool);
        CLEANUP_FREE uint64_t *numbers =
                calloc(n_workers * (counter->n_scratch + counter->n_sums), sizeof(*numbers));
        struct summing summing = {counter, numbers};
        int r = 0;

        if (!numbers)
                return -ENOMEM;
        r = census_for_each_duplicate(census, pool, sum_content, &summing);
        for (unsigned int worker = 0; r == 0 && worker < n_workers; worker++)
                for (size_t i = 0; i < counter->n_sums; i++)
                        ret_sums[i] += scratch_of(&summing, worker)[counter->n_scratch + i];
        return r;
}
