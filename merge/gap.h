/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why less is merged than could be: the gap between ideal and actual sharing, frame by frame, by reason. */
#pragma once

#include "merge/census.h"
#include "pages/numa.h"
#include "pages/pins.h"

#include <stdbool.h>
#include <stdint.h>

/* In the order in which a frame is given a reason: the first one that holds. */
enum gap_reason {
        GAP_REASON_SHARED_MAPPING,
        GAP_REASON_HUGETLB,
        GAP_REASON_NOT_MERGEABLE,
        GAP_REASON_KSM_OFF,
        GAP_REASON_NOT_SCANNED_YET,
        GAP_REASON_NUMA,
        GAP_REASON_VOLATILE,
        GAP_REASON_HUGE_PAGE,
        GAP_REASON_SHARING_LIMIT,
        GAP_REASON_PINNED,
        GAP_REASON_UNEXPLAINED,
        GAP_REASON_COUNT_,
};

/* The reason's name in JSON and metrics. */
const char *gap_reason_to_string(enum gap_reason reason);

/**
 * gap_reason_of_range() - why KSM can never merge pages of this range
 *
 * Return: GAP_REASON_SHARED_MAPPING, GAP_REASON_HUGETLB or GAP_REASON_NOT_MERGEABLE; GAP_REASON_COUNT_ when
 * it can.
 */
enum gap_reason gap_reason_of_range(const struct pages_range *range);

/* Passes that a page needs before KSM merges it: one to note its checksum, one to find that it kept it. */
#define GAP_PASSES_NEEDED 2

/**
 * struct gap_guest_facts - what has to be known of one guest
 * @visited_pages: how many pages of its QEMU KSM has met; UINT64_MAX when not known
 * @passes: KSM has ended no more passes than this since its QEMU started; negative when not known
 * @pins: what is known to be pinned
 */
struct gap_guest_facts {
        uint64_t visited_pages;
        int64_t passes;
        struct pins pins;
};

/**
 * struct gap_facts - what has to be known besides the census to tell reasons
 * @ksm_known: the kernel has KSM and its settings could be read
 * @ksm_runs: ksmd is switched on (run = 1), or stands still for now because samepaged sees nothing to merge
 * @full_scans: passes that KSM has completed since boot; negative when not known
 * @max_page_sharing: most users per KSM page; 0 when not known
 * @count_users: how many users the KSM page in a frame has, scanned or not; 0 when it has none any more, or
 *               that is not known. Called by the workers. NULL when it cannot be asked
 * @users_context: for @count_users
 * @was_met_twice: between the two looks at pages KSM met each of them twice
 * @passes_over: but not those that it passed over, as it met them in vain before (smart_scan)
 * @numa: where frames lie; NULL when KSM merges across nodes, or it is not known. Borrowed.
 * @guests: by guest; NULL when nothing is known. Borrowed.
 *
 * The marks of a second look (pages/page.h) are read where there are any.
 */
struct gap_facts {
        bool ksm_known;
        bool ksm_runs;
        int64_t full_scans;
        uint64_t max_page_sharing;
        uint64_t (*count_users)(const void *context, uint64_t pfn);
        const void *users_context;
        bool was_met_twice;
        bool passes_over;
        const struct numa *numa;
        const struct gap_guest_facts *guests;
};

/**
 * struct gap - the gap
 * @pages: ideal self and inter sharing less the actual one, in pages
 * @by_guest: pages by guest and reason: [guest * GAP_REASON_COUNT_ + reason]; they add up to @pages
 * @by_reason: the same over all guests
 */
struct gap {
        uint64_t pages;
        uint64_t by_reason[GAP_REASON_COUNT_];
        uint64_t *by_guest;
};

/**
 * gap_new() - attribute the gap
 * @census: whose guests' frames must all be known; borrowed for the call
 *
 * Return: 0 or -ENOMEM.
 */
int gap_new(const struct census *census, struct pool *pool, const struct gap_facts *facts, struct gap **ret);

struct gap *gap_free(struct gap *gap);

/**
 * gap_mark_candidates() - choose the pages that a second look is worth while for
 * @census: of guests that pages_add_marks() has been called for
 *
 * Marks, with PAGE_MARK_WANTED, every page of the gap that KSM may merge and has not.
 *
 * Return: 0 or -ENOMEM.
 */
int gap_mark_candidates(const struct census *census, struct pool *pool);
