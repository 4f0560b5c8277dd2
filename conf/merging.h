/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the operator wants of merging: alike on the command line and in the service's configuration. */
#pragma once

#include <stdbool.h>

enum merging_policy {
        MERGING_POLICY_OFF,     /* KSM is none of our business */
        MERGING_POLICY_OBSERVE, /* reports say what KSM merged, and why not more */
        MERGING_POLICY_ADVISE,  /* and what it would save and cost, and what to do */
        MERGING_POLICY_ACT,     /* and that is done */
        MERGING_POLICY_MAX_,
};

const char *merging_policy_to_string(enum merging_policy policy);

/* One of KSM's own switches. */
enum merging_switch {
        MERGING_SWITCH_KEEP,
        MERGING_SWITCH_NO,
        MERGING_SWITCH_YES,
        MERGING_SWITCH_MAX_,
};

const char *merging_switch_to_string(enum merging_switch value);

/**
 * struct merging - the wishes
 * @cross_group: guests of different trust groups may share with each other
 * @group: the only group that may be merged; NULL: the one with the largest net gain
 * @cpu_percent: how much of a core ksmd may take while there is something to gain
 * @use_zero_pages, @smart_scan: KSM's settings of these names
 */
struct merging {
        char *group;
        unsigned int cpu_percent;
        enum merging_switch use_zero_pages;
        enum merging_switch smart_scan;
        bool cross_group;
};

#define MERGING_DEFAULT_CPU_PERCENT 100
