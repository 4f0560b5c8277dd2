/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KSM merges every page of private, mergeable memory whose content another such page has. So the census tells
 * what KSM would save. For a content with c copies within a group, c_V of them in guest V, and
 * F(c) = ceil(c / max):
 *
 *      the group saves                 c - F(c)
 *      of which within guests          sum of c_V - F(c_V)
 *      V adds to it                    (c - F(c)) - ((c - c_V) - F(c - c_V))
 *
 * Memory that is not marked mergeable yet counts as if it were, since the plan includes marking it.
 *
 * KSM splits a huge page as soon as it merges one page in it. A bit map for each block notes which huge pages
 * KSM would split.
 */
#include "merge/forecast.h"

#include "base/cleanup.h"
#include "merge/ksm/ksm.h"
#include "pages/page.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Pages of a huge page on x86-64. */
#define HUGE_SHIFT 21

/* Numbers in a set of figures. */
#define N_SUMS (sizeof(struct forecast_figures) / sizeof(uint64_t))

/* Bit maps of huge pages: of each guest and block. */
struct huge_maps {
        _Atomic uint64_t ***words;
        size_t n_guests;
};

struct reckoning {
        const struct census *census;
        const struct forecast_request *request;
        struct huge_maps maps;
};

/* What a worker needs beside its sums: copies by guest, copies by group, and which of them have copies. */
struct scratch {
        uint64_t *of_guest;
        uint64_t *of_group;
        uint64_t *guests;
        uint64_t *groups;
        size_t n_guests;
        size_t n_groups;
};

static struct scratch lay_out(const struct reckoning *reckoning, uint64_t *words)
{
        const size_t n_guests = reckoning->census->n_guests;
        const size_t n_groups = reckoning->request->n_groups;

        return (struct scratch){
                .of_guest = words,
                .guests = words + n_guests,
                .of_group = words + 2 * n_guests,
                .groups = words + 2 * n_guests + n_groups,
        };
}

static size_t n_scratch(const struct reckoning *reckoning)
{
        return 2 * (reckoning->census->n_guests + reckoning->request->n_groups);
}

static bool can_merge_range(const struct pages_range *range)
{
        return !range->shared && !range->hugetlb;
}

static bool takes_copy(const struct reckoning *reckoning, const struct census_copy *copy)
{
        const struct pages_block *block = &reckoning->census->pages[copy->guest]->blocks[copy->block];

        return !reckoning->request->left_out[copy->guest] &&
               can_merge_range(pages_range_of(block, copy->page));
}

static uint64_t huge_index(const struct pages_block *block, uint64_t page)
{
        const uint64_t start = block->ranges[0].hva;

        return ((start + page * PAGE_BYTES) >> HUGE_SHIFT) - (start >> HUGE_SHIFT);
}

static size_t huge_words(const struct pages_block *block)
{
        return block->n_pages == 0 ? 1 : (size_t)(huge_index(block, block->n_pages - 1) / 64 + 1);
}

static void note_huge(const struct huge_maps *maps, const struct pages *pages, size_t guest, size_t block,
                      uint64_t page)
{
        const uint64_t index = huge_index(&pages->blocks[block], page);

        (void)atomic_fetch_or_explicit(&maps->words[guest][block][index / 64], UINT64_C(1) << index % 64,
                                       memory_order_relaxed);
}

static uint64_t saving_of(const struct reckoning *reckoning, uint64_t copies)
{
        return copies - ksm_frames_needed(copies, reckoning->request->max_page_sharing);
}

static void count_copies(const struct reckoning *reckoning, struct scratch *scratch,
                         const struct census_copy *copies, size_t n_copies)
{
        for (size_t i = 0; i < n_copies; i++) {
                const uint32_t guest = copies[i].guest;
                const uint32_t group = reckoning->request->groups[guest];

                if (!takes_copy(reckoning, &copies[i]))
                        continue;
                if (scratch->of_guest[guest]++ == 0)
                        scratch->guests[scratch->n_guests++] = guest;
                if (scratch->of_group[group]++ == 0)
                        scratch->groups[scratch->n_groups++] = group;
        }
}

/* Adds what @copies copies in some guests save; @self of that is saved within single guests. */
static void add_saving(const struct reckoning *reckoning, struct forecast_figures *figures, uint64_t copies,
                       uint64_t self)
{
        if (copies < 2)
                return;
        figures->sharable += copies;
        figures->self += self;
        figures->inter += saving_of(reckoning, copies) - self;
}

/* Adds the savings of each guest; what a guest saves on its own is added to its group too. */
static void add_guest_savings(const struct reckoning *reckoning, const struct scratch *scratch,
                              struct forecast_figures *guests, uint64_t *self_of_group, uint64_t *ret_self)
{
        for (size_t i = 0; i < scratch->n_guests; i++) {
                const uint64_t guest = scratch->guests[i];
                const uint64_t copies = scratch->of_guest[guest];
                const uint32_t group = reckoning->request->groups[guest];
                const uint64_t all = scratch->of_group[group];
                const uint64_t self = saving_of(reckoning, copies);
                const uint64_t others = all == copies ? 0 : saving_of(reckoning, all - copies);

                if (all >= 2)
                        guests[guest].sharable += copies;
                guests[guest].self += self;
                guests[guest].inter += saving_of(reckoning, all) - others - self;
                self_of_group[group] += self;
                *ret_self += self;
        }
}

static void note_huge_pages(const struct reckoning *reckoning, const struct scratch *scratch,
                            const struct census_copy *copies, size_t n_copies)
{
        for (size_t i = 0; i < n_copies; i++)
                if (copies[i].frame & FRAME_HUGE && takes_copy(reckoning, &copies[i]) &&
                    scratch->of_group[reckoning->request->groups[copies[i].guest]] >= 2)
                        note_huge(&reckoning->maps, reckoning->census->pages[copies[i].guest],
                                  copies[i].guest, copies[i].block, copies[i].page);
}

/*
 * The sums: figures across, of the groups, of the guests. Scratch ends with what guests save alone, by group.
 */
static void forecast_content(void *context, uint64_t *words, uint64_t *sums, const struct census_copy *copies,
                             size_t n_copies)
{
        const struct reckoning *reckoning = context;
        const size_t n_groups = reckoning->request->n_groups;
        struct forecast_figures *figures = (struct forecast_figures *)(void *)sums;
        struct scratch scratch = lay_out(reckoning, words);
        uint64_t *self_of_group = words + n_scratch(reckoning);
        uint64_t self = 0;
        uint64_t all = 0;

        count_copies(reckoning, &scratch, copies, n_copies);
        add_guest_savings(reckoning, &scratch, figures + 1 + n_groups, self_of_group, &self);
        note_huge_pages(reckoning, &scratch, copies, n_copies);
        for (size_t i = 0; i < scratch.n_groups; i++) {
                const uint64_t group = scratch.groups[i];

                add_saving(reckoning, &figures[1 + group], scratch.of_group[group], self_of_group[group]);
                all += scratch.of_group[group];
                scratch.of_group[group] = 0;
                self_of_group[group] = 0;
        }
        add_saving(reckoning, &figures[0], all, self);
        for (size_t i = 0; i < scratch.n_guests; i++)
                scratch.of_guest[scratch.guests[i]] = 0;
}

/* Figures that are not counted content by content. */
struct walk {
        uint64_t scanned;
        uint64_t zero;       /* zero pages with a frame */
        uint64_t zero_saved; /* without one */
};

static void walk_range(const struct pages_block *block, const struct pages_range *range, struct walk *walk)
{
        const uint64_t end = range->first_page + range->n_pages;

        for (uint64_t page = range->first_page; page < end; page++) {
                const bool is_zero = block->fingerprints[page] == PAGE_ZERO;
                const bool has_no_frame = is_zero && block->frames[page] & FRAME_ZERO;

                if (!page_is_present(block->fingerprints[page]))
                        continue;
                walk->scanned += !has_no_frame;
                walk->zero += is_zero && !has_no_frame;
                walk->zero_saved += has_no_frame;
        }
}

static void walk_guest(const struct pages *pages, struct walk *walk)
{
        for (size_t b = 0; b < pages->n_blocks; b++)
                for (size_t r = 0; r < pages->blocks[b].n_ranges; r++)
                        if (can_merge_range(&pages->blocks[b].ranges[r]))
                                walk_range(&pages->blocks[b], &pages->blocks[b].ranges[r], walk);
}

/* Notes the huge pages of one guest in which a zero page would be merged. */
static void note_huge_zero(const struct huge_maps *maps, const struct pages *pages, size_t guest)
{
        for (size_t b = 0; b < pages->n_blocks; b++) {
                const struct pages_block *block = &pages->blocks[b];

                for (uint64_t page = 0; page < block->n_pages; page++)
                        if (block->fingerprints[page] == PAGE_ZERO && block->frames[page] & FRAME_HUGE &&
                            can_merge_range(pages_range_of(block, page)))
                                note_huge(maps, pages, guest, b, page);
        }
}

/* What zero pages save: @zero with a frame of their own now, @zero_saved without. */
static uint64_t zero_saving(const struct forecast_request *request, uint64_t zero, uint64_t zero_saved)
{
        return zero_saved +
               (request->use_zero_pages ? zero : zero - ksm_frames_needed(zero, request->max_page_sharing));
}

static int walk_all(struct forecast *forecast, const struct reckoning *reckoning)
{
        const struct forecast_request *request = reckoning->request;
        CLEANUP_FREE struct walk *groups = calloc(request->n_groups + 1, sizeof(*groups));
        struct walk across = {0};

        if (!groups)
                return -ENOMEM;
        for (size_t g = 0; g < forecast->n_guests; g++) {
                struct walk walk = {0};
                struct walk *group = &groups[request->groups[g]];

                if (request->left_out[g])
                        continue;
                walk_guest(reckoning->census->pages[g], &walk);
                forecast->guests[g].scanned = walk.scanned;
                forecast->guests[g].zero_now = walk.zero_saved;
                forecast->guests[g].zero = zero_saving(request, walk.zero, walk.zero_saved);
                group->scanned += walk.scanned;
                group->zero += walk.zero;
                group->zero_saved += walk.zero_saved;
                across.scanned += walk.scanned;
                across.zero += walk.zero;
                across.zero_saved += walk.zero_saved;
        }
        for (size_t i = 0; i < request->n_groups; i++) {
                forecast->groups[i].scanned = groups[i].scanned;
                forecast->groups[i].zero_now = groups[i].zero_saved;
                forecast->groups[i].zero = zero_saving(request, groups[i].zero, groups[i].zero_saved);
        }
        forecast->across.scanned = across.scanned;
        forecast->across.zero_now = across.zero_saved;
        forecast->across.zero = zero_saving(request, across.zero, across.zero_saved);
        for (size_t g = 0; g < forecast->n_guests; g++)
                if (!request->left_out[g] &&
                    (request->use_zero_pages || groups[request->groups[g]].zero >= 2))
                        note_huge_zero(&reckoning->maps, reckoning->census->pages[g], g);
        return 0;
}

static void free_maps(struct huge_maps *maps, const struct census *census)
{
        for (size_t g = 0; maps->words && g < maps->n_guests; g++) {
                for (size_t b = 0; maps->words[g] && b < census->pages[g]->n_blocks; b++)
                        free(maps->words[g][b]);
                free(maps->words[g]);
        }
        free(maps->words);
}

static int make_maps(struct huge_maps *maps, const struct census *census)
{
        maps->words = calloc(census->n_guests + 1, sizeof(*maps->words));
        maps->n_guests = census->n_guests;
        for (size_t g = 0; maps->words && g < census->n_guests; g++) {
                const struct pages *pages = census->pages[g];

                maps->words[g] = calloc(pages->n_blocks + 1, sizeof(*maps->words[g]));
                for (size_t b = 0; maps->words[g] && b < pages->n_blocks; b++) {
                        maps->words[g][b] = calloc(huge_words(&pages->blocks[b]), sizeof(*maps->words[g][b]));
                        if (!maps->words[g][b])
                                return -ENOMEM;
                }
                if (!maps->words[g])
                        return -ENOMEM;
        }
        return maps->words ? 0 : -ENOMEM;
}

static void count_huge_pages(struct forecast *forecast, const struct reckoning *reckoning)
{
        for (size_t g = 0; g < forecast->n_guests; g++) {
                const struct pages *pages = reckoning->census->pages[g];

                for (size_t b = 0; b < pages->n_blocks; b++)
                        for (size_t i = 0; i < huge_words(&pages->blocks[b]); i++)
                                forecast->huge_pages[g] +=
                                        (uint64_t)__builtin_popcountll(reckoning->maps.words[g][b][i]);
        }
}

static struct forecast *make_forecast(size_t n_groups, size_t n_guests)
{
        struct forecast *forecast = calloc(1, sizeof(*forecast));

        if (!forecast)
                return NULL;
        forecast->groups = calloc(n_groups + 1, sizeof(*forecast->groups));
        forecast->guests = calloc(n_guests + 1, sizeof(*forecast->guests));
        forecast->huge_pages = calloc(n_guests + 1, sizeof(*forecast->huge_pages));
        forecast->n_groups = n_groups;
        forecast->n_guests = n_guests;
        return forecast->groups && forecast->guests && forecast->huge_pages ? forecast
                                                                            : forecast_free(forecast);
}

static int count_sharing(struct forecast *forecast, struct reckoning *reckoning, struct pool *pool)
{
        const size_t n_groups = forecast->n_groups;
        const size_t n_figures = 1 + n_groups + forecast->n_guests;
        CLEANUP_FREE struct forecast_figures *sums = calloc(n_figures, sizeof(*sums));
        const struct census_counter counter = {
                .count = forecast_content,
                .context = reckoning,
                .n_scratch = n_scratch(reckoning) + n_groups,
                .n_sums = n_figures * N_SUMS,
        };
        int r = sums ? census_count_duplicates(reckoning->census, pool, &counter, (uint64_t *)(void *)sums)
                     : -ENOMEM;

        if (r < 0)
                return r;
        forecast->across = sums[0];
        memcpy(forecast->groups, sums + 1, n_groups * sizeof(*sums));
        memcpy(forecast->guests, sums + 1 + n_groups, forecast->n_guests * sizeof(*sums));
        return 0;
}

int forecast_new(const struct census *census, struct pool *pool, const struct forecast_request *request,
                 struct forecast **ret)
{
        struct reckoning reckoning = {.census = census, .request = request};
        struct forecast *forecast = make_forecast(request->n_groups, census->n_guests);
        int r = forecast ? make_maps(&reckoning.maps, census) : -ENOMEM;

        if (r == 0)
                r = count_sharing(forecast, &reckoning, pool);
        if (r == 0)
                r = walk_all(forecast, &reckoning);
        if (r == 0)
                count_huge_pages(forecast, &reckoning);
        free_maps(&reckoning.maps, census);
        if (r < 0) {
                forecast_free(forecast);
                return r;
        }
        *ret = forecast;
        return 0;
}

struct forecast *forecast_free(struct forecast *forecast)
{
        if (!forecast)
                return NULL;
        free(forecast->groups);
        free(forecast->guests);
        free(forecast->huge_pages);
        free(forecast);
        return NULL;
}

int64_t forecast_saved_bytes(const struct forecast_figures *figures)
{
        return (int64_t)((figures->self + figures->inter + figures->zero) * PAGE_BYTES);
}

int64_t forecast_net_bytes(const struct forecast_figures *figures)
{
        return forecast_saved_bytes(figures) - (int64_t)(figures->zero_now * PAGE_BYTES) -
               (int64_t)(figures->scanned * KSM_ITEM_BYTES);
}

/* Returns how many more guests are left out. */
static size_t leave_out_more(const struct forecast *forecast, bool *left_out)
{
        size_t n = 0;

        for (size_t g = 0; g < forecast->n_guests; g++) {
                if (left_out[g] || forecast_net_bytes(&forecast->guests[g]) >= 0)
                        continue;
                left_out[g] = true;
                n++;
        }
        return n;
}

int forecast_leave_out_losses(const struct census *census, struct pool *pool,
                              const struct forecast_request *request, bool *left_out, struct forecast **ret)
{
        struct forecast_request without = *request;
        struct forecast *forecast = NULL;
        struct forecast_figures across;
        int r = 0;

        without.left_out = left_out;
        r = forecast_new(census, pool, &without, &forecast);
        if (r < 0)
                return r;
        across = forecast->across;
        while (r == 0 && leave_out_more(forecast, left_out) > 0) {
                forecast_free(forecast);
                r = forecast_new(census, pool, &without, &forecast);
        }
        if (r < 0)
                return r;
        forecast->across = across;
        *ret = forecast;
        return 0;
}
