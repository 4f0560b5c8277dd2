/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wanted of one scan, in parts: each function takes the part that it needs, not all options. */
#pragma once

#include "base/tristate.h"
#include "conf/groups.h"
#include "conf/patterns.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum scan_mode {
        SCAN_MODE_SNAPSHOT, /* one pause; goes on sliced when the longest pause runs out */
        SCAN_MODE_SLICED,   /* pauses of at most max_pause, the guest running between them */
        SCAN_MODE_LIVE,     /* never pauses */
        SCAN_MODE_COUNT_,
};

/* The mode's name on the command line and in reports. */
const char *scan_mode_to_string(enum scan_mode mode);

/* Return: 0, or -EINVAL for what is no name of a mode. */
int scan_mode_from_string(const char *name, enum scan_mode *ret);

/* Guests of one scan. */
#define GUEST_CHOICE_MAX PATTERNS_MAX

/**
 * struct guest_choice - which guests, and how they are reached
 * @qmp_sockets: paths; in the service's configuration, patterns for glob(3)
 * @libvirt_uri: whose active domains are guests too; in the service's configuration also "auto"; NULL: none
 * @libvirt_monitor: find their RAM by their monitors
 * @names: only these; empty: all
 * @include: only names that match; empty: all
 * @exclude: none of these
 * @timeout_usec: of each step of talking to QEMU
 */
struct guest_choice {
        struct patterns qmp_sockets;
        char *libvirt_uri;
        bool libvirt_monitor;
        struct patterns names;
        struct patterns include;
        struct patterns exclude;
        uint64_t timeout_usec;
};

/* CPUs to work on. */
struct cpu_choice {
        cpu_set_t set; /* if @chosen */
        bool chosen;   /* otherwise all */
};

/**
 * struct scan_wish - how guests are read
 * @recheck_usec: until some pages are looked at again; 0: never
 * @careful: only readers that have no effect even on what changes meanwhile
 * @threads: 0: one per CPU
 */
struct scan_wish {
        enum scan_mode mode;
        uint64_t max_pause_usec;
        uint64_t recheck_usec;
        bool together;
        bool careful;
        unsigned int threads;
        struct cpu_choice cpus;
};

enum merging_policy {
        MERGING_POLICY_OFF,     /* KSM is none of our business */
        MERGING_POLICY_OBSERVE, /* reports say what KSM merged, and why not more */
        MERGING_POLICY_ADVISE,  /* and what it would save and cost, and what to do */
        MERGING_POLICY_ACT,     /* and that is done */
};

/**
 * struct merging - what is wanted of merging
 * @groups: the trust groups of guests, before those of libvirt's metadata
 * @cross_group: guests of different trust groups may share with each other
 * @group: the only group that may be merged; NULL: the one with the largest net gain
 * @cpu_percent: how much of a core ksmd may take while there is something to gain
 * @use_zero_pages, @smart_scan: KSM's settings of these names
 * @forecast: say what merging would save and cost
 * @acts: and do it
 * @service_pid: of the service that this is done for; 0: for a person
 */
struct merging {
        struct groups groups;
        char *group;
        unsigned int cpu_percent;
        enum tristate use_zero_pages;
        enum tristate smart_scan;
        bool cross_group;
        bool forecast;
        bool acts;
        pid_t service_pid;
};
