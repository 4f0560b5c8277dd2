/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decides which guests are merged, and at what rate, from what was observed. Pure: it changes nothing. */
#pragma once

#include "base/failure.h"
#include "base/tristate.h"
#include "merge/forecast.h"
#include "merge/ksm/ksm.h"
#include "merge/ksm/ksm_settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ksmd's rate, as KSM's settings of these names give it. */
struct plan_rate {
        int64_t pages_to_scan;
        int64_t sleep_millisecs;
};

/**
 * struct plan_rules - what the operator wants
 * @cross_group: guests of different groups may share with each other
 * @pinned: number of the one group that is wanted; negative: the one with the largest net gain
 * @use_zero_pages, @smart_scan: KSM's settings of these names
 */
struct plan_rules {
        bool cross_group;
        int64_t pinned;
        enum tristate use_zero_pages;
        enum tristate smart_scan;
};

/**
 * struct plan_guest - one guest, as observed
 * @group: its number; with cross_group, 0 for all
 * @can_merge: it has private RAM outside the hugetlb pool
 * @is_mergeable: some of that RAM is marked mergeable now
 * @is_whole: all of it is
 * @left_out: its merging is a net loss
 */
struct plan_guest {
        uint32_t group;
        bool can_merge;
        bool is_mergeable;
        bool is_whole;
        bool left_out;
};

/* What happens to a guest's memory. */
enum plan_change {
        PLAN_CHANGE_NONE,
        PLAN_CHANGE_MERGE,   /* to be marked mergeable */
        PLAN_CHANGE_UNMERGE, /* to be unmarked: KSM gives the guest its own pages back */
        PLAN_CHANGE_COUNT_,
};

const char *plan_change_to_string(enum plan_change change);

/**
 * struct plan - the decision
 * @merges: merging is worth while; otherwise nothing is changed, and the other members mean nothing
 * @group: whose guests are merged; with cross_group all guests are in it
 * @figures: the forecast for that group
 * @huge_pages: how many KSM will split
 * @isolation_bytes: what would be saved in addition if all guests were merged with each other
 * @changes: by guest
 */
struct plan {
        bool merges;
        uint32_t group;
        struct forecast_figures figures;
        uint64_t huge_pages;
        int64_t isolation_bytes;
        enum plan_change *changes;
        size_t n_guests;
};

/**
 * plan_new() - decide
 * @guests: as in @forecast
 *
 * Guests that are not to be merged are unmarked in any case, as long as somebody else is merged: KSM merges
 * whatever is marked with each other.
 *
 * Return: 0 or -ENOMEM.
 */
int plan_new(const struct plan_rules *rules, const struct forecast *forecast, const struct plan_guest *guests,
             size_t n_guests, struct plan **ret);

struct plan *plan_free(struct plan *plan);

/**
 * struct plan_cost - what merging takes
 * @seconds: until KSM has met every page often enough to merge it
 * @cpu_seconds: of ksmd until then
 * @cpu_seconds_per_hour: of ksmd, if it goes on at that rate
 */
struct plan_cost {
        double seconds;
        double cpu_seconds;
        double cpu_seconds_per_hour;
};

/**
 * plan_cost() - compute time and CPU time
 * @pages: how many KSM scans
 * @page_seconds: CPU time of ksmd for a page
 */
struct plan_cost plan_cost(uint64_t pages, const struct plan_rate *rate, double page_seconds);

/* A rate at which KSM looks at @pages in about PLAN_PASS_SECONDS, never below the kernel's default. */
struct plan_rate plan_rate_for(uint64_t pages);

#define PLAN_PASS_SECONDS 120

/* A rate that takes @cpu_percent of a core, 1 to 100. */
struct plan_rate plan_rate_of_cpu(unsigned int cpu_percent, double page_seconds);

/**
 * plan_settings() - the kernel's settings for it, in the order in which they are to be written
 * @now: the settings in force: an advisor is switched off, since it sets the rate itself; NULL where none is
 * @rate: NULL to stop KSM, which keeps what is merged
 */
struct ksm_settings plan_settings(const struct plan_rules *rules, const struct ksm *now,
                                  const struct plan_rate *rate);
