/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why less is merged than could be: the gap between ideal and actual sharing, frame by frame, by reason. */
#pragma once

#include "merge/census.h"

#include <stdbool.h>
#include <stdint.h>

/* In the order in which a frame is given a reason: the first one that holds. */
enum gap_reason {
        GAP_REASON_SHARED_MAPPING,
        GAP_REASON_HUGETLB,
        GAP_REASON_NOT_MERGEABLE,
        GAP_REASON_KSM_OFF,
        GAP_REASON_NOT_SCANNED_YET,
        GAP_REASON_HUGE_PAGE,
        GAP_REASON_SHARING_LIMIT,
        GAP_REASON_UNEXPLAINED,
        GAP_REASON_MAX_,
};

/* The reason's name in JSON and metrics. */
const char *gap_reason_to_string(enum gap_reason reason);

/**
 * gap_reason_of_region() - why KSM can never merge pages of this mapping
 *
 * Return: GAP_REASON_SHARED_MAPPING, GAP_REASON_HUGETLB or GAP_REASON_NOT_MERGEABLE; GAP_REASON_MAX_ when it
 * can.
 */
enum gap_reason gap_reason_of_region(const struct region *region);

/**
 * struct gap_facts - what has to be known besides the census to tell reasons
 * @ksm_known: the kernel has KSM and its settings could be read
 * @ksm_runs: ksmd is switched on (run = 1)
 * @full_scans: passes that KSM has completed since boot; negative when not known
 * @max_page_sharing: most users per KSM page; 0 when not known
 * @visited_pages: by guest, how many pages of its QEMU KSM has met; UINT64_MAX when not known. Borrowed.
 */
struct gap_facts {
        bool ksm_known;
        bool ksm_runs;
        int64_t full_scans;
        uint64_t max_page_sharing;
        const uint64_t *visited_pages;
};

/**
 * struct gap - the gap
 * @pages: ideal self and inter sharing less the actual one, in pages
 * @by_guest: pages by guest and reason: [guest * GAP_REASON_MAX_ + reason]; they add up to @pages
 * @by_reason: the same over all guests
 */
struct gap {
        uint64_t pages;
        uint64_t by_reason[GAP_REASON_MAX_];
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

/* Passes that a page needs before KSM merges it: one to note its checksum, one to find that it kept it. */
#define GAP_PASSES_NEEDED 2
