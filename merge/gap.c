/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ideally every content needs one frame. A content that has f frames keeps one of them, and the other f - 1
 * are the gap: summed over all contents that is ideal less actual sharing exactly, so every page of the gap
 * belongs to one frame that need not be there, and that frame has a reason.
 *
 * The frame that is kept is the one with the best chance of being kept by KSM: one that KSM made, else the
 * one whose reason comes last. So a content with one copy in a guest that KSM cannot touch and three in a
 * guest that it has not scanned yet gives 1 x "shared-mapping" and 2 x "not-scanned-yet".
 *
 * Only what the evidence of one scan proves is said; the rest is "unexplained":
 *
 *   not-scanned-yet   KSM has completed fewer than two passes since boot, or has met no page of this QEMU
 *   sharing-limit     c copies need ceil(c / max_page_sharing) KSM pages; it does not explain more than that
 */
#include "merge/gap.h"
#include "base/cleanup.h"

#include "scanner/page.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Ranks above every reason: a frame that KSM made is the one to keep. */
#define RANK_KSM GAP_REASON_MAX_

struct attribution {
        const struct census *census;
        const struct gap_facts *facts;
        struct gap **parts; /* of each worker */
};

const char *gap_reason_to_string(enum gap_reason reason)
{
        static const char *const names[] = {
                [GAP_REASON_SHARED_MAPPING] = "shared-mapping",   [GAP_REASON_HUGETLB] = "hugetlb",
                [GAP_REASON_NOT_MERGEABLE] = "not-mergeable",     [GAP_REASON_KSM_OFF] = "ksm-off",
                [GAP_REASON_NOT_SCANNED_YET] = "not-scanned-yet", [GAP_REASON_HUGE_PAGE] = "huge-page",
                [GAP_REASON_SHARING_LIMIT] = "sharing-limit",     [GAP_REASON_UNEXPLAINED] = "unexplained",
        };

        static_assert(sizeof(names) / sizeof(names[0]) == GAP_REASON_MAX_, "every reason has a name");
        return names[reason];
}

enum gap_reason gap_reason_of_region(const struct region *region)
{
        if (region->shared)
                return GAP_REASON_SHARED_MAPPING;
        if (region->hugetlb)
                return GAP_REASON_HUGETLB;
        return region->mergeable ? GAP_REASON_MAX_ : GAP_REASON_NOT_MERGEABLE;
}

static bool is_not_scanned_yet(const struct gap_facts *facts, uint32_t guest)
{
        if (facts->full_scans >= 0 && facts->full_scans < GAP_PASSES_NEEDED)
                return true;
        return facts->visited_pages && facts->visited_pages[guest] == 0;
}

/* Why this frame was not merged away, or RANK_KSM. */
static unsigned int rank_of_frame(const struct attribution *attribution, const struct census_copy *copy)
{
        const struct guest_block *block = &attribution->census->rams[copy->guest]->blocks[copy->block];
        const enum gap_reason reason = gap_reason_of_region(&guest_block_region(block, copy->page)->region);
        const struct gap_facts *facts = attribution->facts;

        if (reason != GAP_REASON_MAX_)
                return reason;
        if (copy->frame & FRAME_KSM)
                return RANK_KSM;
        if (!facts->ksm_known)
                return GAP_REASON_UNEXPLAINED;
        if (!facts->ksm_runs)
                return GAP_REASON_KSM_OFF;
        if (is_not_scanned_yet(facts, copy->guest))
                return GAP_REASON_NOT_SCANNED_YET;
        if (copy->frame & FRAME_HUGE)
                return GAP_REASON_HUGE_PAGE;
        return GAP_REASON_UNEXPLAINED;
}

static void charge(struct gap *gap, uint32_t guest, enum gap_reason reason)
{
        gap->by_guest[(size_t)guest * GAP_REASON_MAX_ + reason]++;
        gap->by_reason[reason]++;
        gap->pages++;
}

/* How many KSM pages beyond the first one the sharing limit forces on @n_copies merged copies. */
static uint64_t forced_by_limit(const struct gap_facts *facts, uint64_t n_copies)
{
        return facts->max_page_sharing && n_copies ? (n_copies - 1) / facts->max_page_sharing : 0;
}

static bool begins_frame(const struct census_copy *copies, size_t i)
{
        return i == 0 || copies[i].frame == FRAME_OWN || copies[i].frame != copies[i - 1].frame;
}

struct content {
        size_t kept;         /* the copy whose frame is kept */
        uint64_t ksm_copies; /* copies that KSM merged */
};

static struct content survey(const struct attribution *attribution, const struct census_copy *copies,
                             size_t n_copies)
{
        struct content content = {0};
        unsigned int best = 0;

        for (size_t i = 0; i < n_copies; i++) {
                unsigned int rank = rank_of_frame(attribution, &copies[i]);

                content.ksm_copies += rank == RANK_KSM;
                if (begins_frame(copies, i) && (i == 0 || rank > best)) {
                        best = rank;
                        content.kept = i;
                }
        }
        return content;
}

static void attribute_content(void *context, unsigned int worker, const struct census_copy *copies,
                              size_t n_copies)
{
        const struct attribution *attribution = context;
        struct gap *gap = attribution->parts[worker];
        const struct content content = survey(attribution, copies, n_copies);
        uint64_t forced = forced_by_limit(attribution->facts, content.ksm_copies);

        for (size_t i = 0; i < n_copies; i++) {
                unsigned int rank = 0;

                if (!begins_frame(copies, i) || i == content.kept)
                        continue;
                rank = rank_of_frame(attribution, &copies[i]);
                if (rank == RANK_KSM) {
                        rank = forced > 0 ? GAP_REASON_SHARING_LIMIT : GAP_REASON_UNEXPLAINED;
                        forced -= forced > 0;
                }
                charge(gap, copies[i].guest, (enum gap_reason)rank);
        }
}

static struct gap *make(size_t n_guests)
{
        struct gap *gap = calloc(1, sizeof(*gap));

        if (!gap)
                return NULL;
        gap->by_guest = calloc((n_guests + 1) * GAP_REASON_MAX_, sizeof(*gap->by_guest));
        return gap->by_guest ? gap : gap_free(gap);
}

static void add(struct gap *gap, const struct gap *part, size_t n_guests)
{
        for (size_t i = 0; i < n_guests * GAP_REASON_MAX_; i++)
                gap->by_guest[i] += part->by_guest[i];
        for (size_t i = 0; i < GAP_REASON_MAX_; i++)
                gap->by_reason[i] += part->by_reason[i];
        gap->pages += part->pages;
}

/* Each worker attributes for itself, and the sums are put together. */
static int attribute(struct attribution *attribution, struct pool *pool, struct gap *gap)
{
        const size_t n_guests = attribution->census->n_guests;
        const unsigned int n_workers = pool_n_threads(pool);
        int r = 0;

        for (unsigned int i = 0; r == 0 && i < n_workers; i++) {
                attribution->parts[i] = make(n_guests);
                r = attribution->parts[i] ? 0 : -ENOMEM;
        }
        if (r == 0)
                r = census_for_each_duplicate(attribution->census, pool, attribute_content, attribution);
        for (unsigned int i = 0; i < n_workers; i++) {
                if (r == 0)
                        add(gap, attribution->parts[i], n_guests);
                gap_free(attribution->parts[i]);
        }
        return r;
}

int gap_new(const struct census *census, struct pool *pool, const struct gap_facts *facts, struct gap **ret)
{
        CLEANUP_FREE struct gap **parts = calloc(pool_n_threads(pool), sizeof(struct gap *));
        struct attribution attribution = {.census = census, .facts = facts, .parts = parts};
        struct gap *gap = make(census->n_guests);
        int r = gap && parts ? attribute(&attribution, pool, gap) : -ENOMEM;

        if (r < 0) {
                gap_free(gap);
                return r;
        }
        *ret = gap;
        return 0;
}

struct gap *gap_free(struct gap *gap)
{
        if (!gap)
                return NULL;
        free(gap->by_guest);
        free(gap);
        return NULL;
}
