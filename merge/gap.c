/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ideally every content needs one frame. A content that has f frames keeps one of them, and the other f - 1
 * are the gap. Summed over all contents this is exactly ideal less actual sharing. So every page of the gap
 * belongs to one frame that need not exist, and that frame has a reason.
 *
 * The kept frame is the one that KSM would most probably keep: one that KSM made, else the one whose reason
 * comes last. So a content with one copy in a guest that KSM cannot touch, and three copies in a guest that
 * KSM has not scanned yet, gives 1 x "shared-mapping" and 2 x "not-scanned-yet".
 *
 * Most reasons are a property of the frame itself: its rank. Two reasons depend on all frames of the content.
 * Frames get them when their rank comes later:
 *
 *   numa            Without merge_across_nodes KSM keeps a frame on each node. The best frame of each node
 *                   has this reason, except on the node of the kept frame, which must be known.
 *   sharing-limit   A full KSM page forces one more frame, as long as c users on its node need that many:
 *                   ceil(c / max_page_sharing). Users are the copies that KSM merged or could have merged,
 *                   and whatever else uses the KSM page. (The last of 257 copies stays alone without a
 *                   partner, and the limit causes that too.) While no KSM page is full the limit has forced
 *                   nothing, however many copies there are.
 *
 * A reason is given only where it is proved. The rest is "unexplained":
 *
 *   not-scanned-yet   KSM has completed fewer than two passes since boot or since QEMU started
 *                     (merge/ksm/ksm_clock.c), or has met no page of this QEMU, or merged the page between
 *                     two looks (scanner/recheck.c). The reason does not hold when KSM met the page twice
 *                     between the two looks and left it as it was.
 *   volatile          The page had another content at the second look.
 *   huge-page         KSM splits a huge page to merge any page in it, so lying in one explains nothing by
 *                     itself. It does when KSM met the page twice between the two looks, had another page
 *                     to merge it with, and the huge page is still whole: then it cannot be split. A page
 *                     that is known to be pinned is "pinned".
 */
#include "merge/gap.h"
#include "base/cleanup.h"

#include "merge/ksm/ksm.h"
#include "pages/page.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Ranks above every reason: a frame that KSM made is the one to keep. */
#define RANK_KSM GAP_REASON_COUNT_

/*
 * One node's part of a content. Without NUMA there is one part for all; with it, the last part has the frames
 * whose node is not known.
 * @is_node: the part is a node's, or the only one
 * @best, @best_rank: the frame to keep there; @best_rank 0: none
 * @users: copies that KSM merged or could have, and others who use the same KSM pages
 * @full: KSM pages that have as many users as the limit allows
 * @forced: frames besides @best that the sharing limit forces
 */
struct share {
        bool is_node;
        size_t best;
        unsigned int best_rank;
        uint64_t users;
        uint64_t full;
        uint64_t forced;
};

struct attribution {
        const struct census *census;
        const struct gap_facts *facts;
        struct gap **parts;   /* of each worker */
        struct share *shares; /* of each worker, @n_shares each */
        size_t n_shares;
};

const char *gap_reason_to_string(enum gap_reason reason)
{
        static const char *const names[] = {
                [GAP_REASON_SHARED_MAPPING] = "shared-mapping",
                [GAP_REASON_HUGETLB] = "hugetlb",
                [GAP_REASON_NOT_MERGEABLE] = "not-mergeable",
                [GAP_REASON_KSM_OFF] = "ksm-off",
                [GAP_REASON_NOT_SCANNED_YET] = "not-scanned-yet",
                [GAP_REASON_NUMA] = "numa",
                [GAP_REASON_VOLATILE] = "volatile",
                [GAP_REASON_HUGE_PAGE] = "huge-page",
                [GAP_REASON_SHARING_LIMIT] = "sharing-limit",
                [GAP_REASON_PINNED] = "pinned",
                [GAP_REASON_UNEXPLAINED] = "unexplained",
        };

        static_assert(sizeof(names) / sizeof(names[0]) == GAP_REASON_COUNT_, "every reason has a name");
        return names[reason];
}

enum gap_reason gap_reason_of_range(const struct pages_range *range)
{
        if (range->shared)
                return GAP_REASON_SHARED_MAPPING;
        if (range->hugetlb)
                return GAP_REASON_HUGETLB;
        return range->mergeable ? GAP_REASON_COUNT_ : GAP_REASON_NOT_MERGEABLE;
}

static const struct pages_block *block_of_copy(const struct census *census, const struct census_copy *copy)
{
        return &census->pages[copy->guest]->blocks[copy->block];
}

static const struct pages_range *range_of_copy(const struct census *census, const struct census_copy *copy)
{
        return pages_range_of(block_of_copy(census, copy), copy->page);
}

static bool is_below_needed(int64_t passes)
{
        return passes >= 0 && passes < GAP_PASSES_NEEDED;
}

static bool is_not_scanned_yet(const struct gap_facts *facts, uint32_t guest, uint8_t mark)
{
        const struct gap_guest_facts *of_guest = facts->guests ? &facts->guests[guest] : NULL;

        if (mark & PAGE_MARK_MERGED)
                return true;
        if (mark & PAGE_MARK_KEPT && facts->was_met_twice)
                return false;
        if (is_below_needed(facts->full_scans))
                return true;
        return of_guest && (of_guest->visited_pages == 0 || is_below_needed(of_guest->passes));
}

static bool is_pinned(const struct attribution *attribution, const struct census_copy *copy)
{
        const struct pages_range *range = range_of_copy(attribution->census, copy);

        return attribution->facts->guests &&
               pins_hold(&attribution->facts->guests[copy->guest].pins,
                         range->hva + (copy->page - range->first_page) * PAGE_BYTES);
}

/* Whether KSM has met it twice, with the same content, and left the huge page whole. */
static bool is_huge_and_met(const struct gap_facts *facts, const struct census_copy *copy, uint8_t mark)
{
        return copy->frame & FRAME_HUGE && mark & PAGE_MARK_KEPT && facts->was_met_twice &&
               !facts->passes_over;
}

/* Why KSM has not merged this frame although it runs and may. */
static enum gap_reason reason_of_mergeable(const struct attribution *attribution,
                                           const struct census_copy *copy)
{
        const uint8_t *marks = block_of_copy(attribution->census, copy)->marks;
        const uint8_t mark = marks ? marks[copy->page] : 0;

        if (is_not_scanned_yet(attribution->facts, copy->guest, mark))
                return GAP_REASON_NOT_SCANNED_YET;
        if (mark & PAGE_MARK_CHANGED)
                return GAP_REASON_VOLATILE;
        if (is_pinned(attribution, copy))
                return GAP_REASON_PINNED;
        return is_huge_and_met(attribution->facts, copy, mark) ? GAP_REASON_HUGE_PAGE
                                                               : GAP_REASON_UNEXPLAINED;
}

/* Why this frame was not merged away, judged by the frame alone; or RANK_KSM. */
static unsigned int rank_of_frame(const struct attribution *attribution, const struct census_copy *copy)
{
        const enum gap_reason reason = gap_reason_of_range(range_of_copy(attribution->census, copy));
        const struct gap_facts *facts = attribution->facts;

        if (reason != GAP_REASON_COUNT_)
                return reason;
        if (copy->frame & FRAME_KSM)
                return RANK_KSM;
        if (!facts->ksm_known)
                return GAP_REASON_UNEXPLAINED;
        if (!facts->ksm_runs)
                return GAP_REASON_KSM_OFF;
        return reason_of_mergeable(attribution, copy);
}

static void charge_frame(struct gap *gap, uint32_t guest, enum gap_reason reason)
{
        gap->by_guest[(size_t)guest * GAP_REASON_COUNT_ + reason]++;
        gap->by_reason[reason]++;
        gap->pages++;
}

static bool begins_frame(const struct census_copy *copies, size_t i)
{
        return i == 0 || copies[i].frame == FRAME_OWN || copies[i].frame != copies[i - 1].frame;
}

static struct share *share_of_node(const struct attribution *attribution, struct share *shares,
                                   const struct census_copy *copy)
{
        const struct numa *numa = attribution->facts->numa;
        int node = 0;

        /* A page that went away has no frame that would lie anywhere. */
        if (numa)
                node = copy->frame == FRAME_OWN ? -1 : numa_node_of_frame(numa, copy->frame & FRAME_PFN);
        return &shares[node < 0 ? numa->n_nodes : (size_t)node];
}

/* How many copies from @i on have the frame of copy @i. */
static size_t measure_frame(const struct census_copy *copies, size_t n_copies, size_t i)
{
        const size_t first = i;

        do
                i++;
        while (i < n_copies && !begins_frame(copies, i));
        return i - first;
}

/* Users of a KSM page of which @n are copies that were scanned. */
static uint64_t count_ksm_page_users(const struct gap_facts *facts, const struct census_copy *copy,
                                     uint64_t n)
{
        uint64_t others = 0;

        if (facts->count_users && n < facts->max_page_sharing)
                others = facts->count_users(facts->users_context, copy->frame & FRAME_PFN);
        return others > n ? others : n;
}

/* Whether KSM has merged it, or could have. */
static bool is_mergeable(unsigned int rank)
{
        return rank == GAP_REASON_HUGE_PAGE || rank > GAP_REASON_SHARING_LIMIT;
}

/* Takes a frame with @n copies of which the first is @copy. */
static void add_users(const struct attribution *attribution, struct share *share,
                      const struct census_copy *copy, unsigned int rank, uint64_t n)
{
        const uint64_t limit = attribution->facts->max_page_sharing;

        if (rank == RANK_KSM) {
                n = count_ksm_page_users(attribution->facts, copy, n);
                share->full += limit > 0 && n >= limit;
        }
        if (is_mergeable(rank))
                share->users += n;
}

/* Frames besides the kept one that the limit has forced. */
static uint64_t count_forced(const struct share *share, uint64_t limit)
{
        const uint64_t needed = ksm_frames_needed(share->users, limit);

        return needed > share->full ? share->full : needed > 0 ? needed - 1 : 0;
}

/* Fills in the shares, and returns the copy whose frame is kept. */
static size_t survey_frames(const struct attribution *attribution, struct share *shares,
                            const struct census_copy *copies, size_t n_copies)
{
        unsigned int best_rank = 0;
        size_t best = 0;

        for (size_t i = 0; i < attribution->n_shares; i++)
                shares[i] =
                        (struct share){.is_node = !attribution->facts->numa || i + 1 < attribution->n_shares};
        for (size_t i = 0, n = 0; i < n_copies; i += n) {
                const unsigned int rank = rank_of_frame(attribution, &copies[i]);
                struct share *share = share_of_node(attribution, shares, &copies[i]);

                n = measure_frame(copies, n_copies, i);
                add_users(attribution, share, &copies[i], rank, n);
                if (rank > GAP_REASON_NUMA && rank > share->best_rank) {
                        share->best_rank = rank;
                        share->best = i;
                }
                if (i == 0 || rank > best_rank) {
                        best_rank = rank;
                        best = i;
                }
        }
        for (size_t i = 0; i < attribution->n_shares; i++)
                shares[i].forced = count_forced(&shares[i], attribution->facts->max_page_sharing);
        return best;
}

/* Whether it is the frame that its node needs besides the kept one, which is known to lie on another. */
static bool is_forced_by_node(size_t i, unsigned int rank, const struct share *share,
                              const struct share *kept_share)
{
        return share->is_node && kept_share->is_node && share != kept_share && rank > GAP_REASON_NUMA &&
               share->best == i;
}

/* Whether KSM had something to merge a huge page's page with: a page of its own, or another one like that. */
static bool has_partner(const struct share *share)
{
        return share->is_node && (share->best_rank == RANK_KSM || share->best_rank == GAP_REASON_HUGE_PAGE);
}

/* The reason of a frame that is not kept. */
static enum gap_reason reason_of_frame(size_t i, unsigned int rank, struct share *share,
                                       const struct share *kept_share)
{
        if (is_forced_by_node(i, rank, share, kept_share))
                return GAP_REASON_NUMA;
        if (!is_mergeable(rank))
                return (enum gap_reason)rank;
        if (share->forced > 0) {
                share->forced--;
                return GAP_REASON_SHARING_LIMIT;
        }
        if (rank == RANK_KSM || (rank == GAP_REASON_HUGE_PAGE && !has_partner(share)))
                return GAP_REASON_UNEXPLAINED;
        return (enum gap_reason)rank;
}

static void attribute_content(void *context, unsigned int worker, const struct census_copy *copies,
                              size_t n_copies)
{
        const struct attribution *attribution = context;
        struct share *shares = attribution->shares + worker * attribution->n_shares;
        const struct share *kept_share = NULL;
        size_t kept = 0;

        if (measure_frame(copies, n_copies, 0) == n_copies)
                return;
        kept = survey_frames(attribution, shares, copies, n_copies);
        kept_share = share_of_node(attribution, shares, &copies[kept]);
        /* KSM's own frames come first: the limit forces them before it forces a frame without a partner. */
        for (int merged = 1; merged >= 0; merged--)
                for (size_t i = 0; i < n_copies; i++) {
                        const unsigned int rank = rank_of_frame(attribution, &copies[i]);

                        if ((rank == RANK_KSM) != merged || !begins_frame(copies, i) || i == kept)
                                continue;
                        charge_frame(attribution->parts[worker], copies[i].guest,
                                     reason_of_frame(i, rank, share_of_node(attribution, shares, &copies[i]),
                                                     kept_share));
                }
}

static struct gap *make_gap(size_t n_guests)
{
        struct gap *gap = calloc(1, sizeof(*gap));

        if (!gap)
                return NULL;
        gap->by_guest = calloc((n_guests + 1) * GAP_REASON_COUNT_, sizeof(*gap->by_guest));
        return gap->by_guest ? gap : gap_free(gap);
}

static void add_gap(struct gap *gap, const struct gap *part, size_t n_guests)
{
        for (size_t i = 0; i < n_guests * GAP_REASON_COUNT_; i++)
                gap->by_guest[i] += part->by_guest[i];
        for (size_t i = 0; i < GAP_REASON_COUNT_; i++)
                gap->by_reason[i] += part->by_reason[i];
        gap->pages += part->pages;
}

/* Each worker attributes to a gap of its own, and the gaps are added up. */
static int attribute_gap(struct attribution *attribution, struct pool *pool, struct gap *gap)
{
        const size_t n_guests = attribution->census->n_guests;
        const unsigned int n_workers = pool_n_threads(pool);
        int r = 0;

        for (unsigned int i = 0; r == 0 && i < n_workers; i++) {
                attribution->parts[i] = make_gap(n_guests);
                r = attribution->parts[i] ? 0 : -ENOMEM;
        }
        if (r == 0)
                r = census_for_each_duplicate(attribution->census, pool, attribute_content, attribution);
        for (unsigned int i = 0; i < n_workers; i++) {
                if (r == 0)
                        add_gap(gap, attribution->parts[i], n_guests);
                gap_free(attribution->parts[i]);
        }
        return r;
}

int gap_new(const struct census *census, struct pool *pool, const struct gap_facts *facts, struct gap **ret)
{
        const unsigned int n_workers = pool_n_threads(pool);
        const size_t n_shares = facts->numa ? facts->numa->n_nodes + 1 : 1;
        CLEANUP_FREE struct gap **parts = calloc(n_workers, sizeof(struct gap *));
        CLEANUP_FREE struct share *shares = calloc(n_workers * n_shares, sizeof(*shares));
        struct attribution attribution = {census, facts, parts, shares, n_shares};
        struct gap *gap = make_gap(census->n_guests);
        int r = gap && parts && shares ? attribute_gap(&attribution, pool, gap) : -ENOMEM;

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

static void mark_content(void *context, unsigned int worker, const struct census_copy *copies,
                         size_t n_copies)
{
        const struct census *census = context;
        size_t n_frames = 0;

        (void)worker;
        for (size_t i = 0; i < n_copies; i++)
                n_frames += begins_frame(copies, i);
        for (size_t i = 0; i < n_copies && n_frames > 1; i++)
                if (!(copies[i].frame & FRAME_KSM) &&
                    gap_reason_of_range(range_of_copy(census, &copies[i])) == GAP_REASON_COUNT_)
                        block_of_copy(census, &copies[i])->marks[copies[i].page] = PAGE_MARK_WANTED;
}

int gap_mark_candidates(const struct census *census, struct pool *pool)
{
        return census_for_each_duplicate(census, pool, mark_content, (void *)census);
}
