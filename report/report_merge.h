/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of a report about merging: forecast, plan, and what came of it. */
#pragma once

#include "base/failure.h"
#include "merge/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct report_merge_guest - one guest of the report, in its order
 * @is_known: it was scanned; otherwise the other members mean nothing
 * @is_chosen: it is to be merged
 * @left_out: merging it would be a net loss
 * @saved_bytes, @net_bytes: in its group, as the marginal figures of the sharing model
 * @change: what is to be done with it
 * @is_done: that was done, and checked
 * @failure: why not
 */
struct report_merge_guest {
        bool is_known;
        bool is_chosen;
        bool left_out;
        int64_t saved_bytes;
        int64_t net_bytes;
        enum plan_change change;
        bool is_done;
        struct failure failure;
};

/**
 * struct report_merge - forecast, plan and outcome
 * @merges: it is worthwhile; otherwise the figures are all 0
 * @group: of the guests to merge; NULL: they have none, or all groups are merged
 * @cross_group: guests of different groups may share
 * @self_bytes, @inter_bytes, @zero_bytes: that would be saved
 * @scanned_bytes: memory that KSM would scan
 * @bookkeeping_bytes: that KSM needs for it
 * @net_bytes: saved, less bookkeeping
 * @isolation_bytes: that would be saved in addition if all guests shared with each other
 * @mergeable_bytes: memory that KSM may merge, including pages that use no frame
 * @sharable_bytes: the part of it that would be merged
 * @huge_pages: that would be split
 * @reached_bytes: that the chosen guests save now; REPORT_UNKNOWN where frames are not known
 * @settings: KSM settings to write, including those that have their value already
 * @acts: it was carried out, or tried
 * @is_done: KSM's settings were written
 * @refusal: why it was not carried out, or not completely; empty when there is nothing to say
 * @may_pass: that may change by itself at another time
 */
struct report_merge {
        bool merges;
        char *group;
        bool cross_group;
        int64_t self_bytes;
        int64_t inter_bytes;
        int64_t zero_bytes;
        int64_t scanned_bytes;
        int64_t bookkeeping_bytes;
        int64_t net_bytes;
        int64_t isolation_bytes;
        int64_t mergeable_bytes;
        int64_t sharable_bytes;
        int64_t huge_pages;
        int64_t reached_bytes;
        struct plan_cost cost;
        struct ksm_settings settings;
        bool acts;
        bool is_done;
        struct failure refusal;
        bool may_pass;
        struct report_merge_guest *guests;
        size_t n_guests;
};

/* An empty one for @n_guests guests; NULL when out of memory. */
struct report_merge *report_merge_new(size_t n_guests);

struct report_merge *report_merge_free(struct report_merge *merge);
