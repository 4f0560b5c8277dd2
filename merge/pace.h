/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How fast KSM is to go from moment to moment: the closed loop. Pure: a state and what was observed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum pace_speed {
        PACE_STOPPED, /* nothing to gain: what is merged stays so */
        PACE_FAST,    /* there is */
        PACE_SPEED_COUNT_,
};

const char *pace_speed_to_string(enum pace_speed speed);

/**
 * struct pace_sample - what a small sample of pages says, as shares of all present pages that KSM may merge
 * @number: of the look, from 1; every look is at the same pages
 * @pages: how many pages were looked at; 0: nothing is known
 * @merged, @merged_error: merged, or without a frame as zero pages are; and the half width of the 95 % interval
 * @changed, @changed_error: of other content than when they were looked at first, after the last scan
 */
struct pace_sample {
        uint64_t number;
        uint64_t pages;
        double merged;
        double merged_error;
        double changed;
        double changed_error;
};

/**
 * struct pace_facts - what is known now
 * @now_usec: of the monotonic clock
 * @sharable: share of the pages that would be merged, by the last scan; negative: not known
 * @full_scans: passes of KSM since boot
 * @merged_pages: KSM's pages_shared + pages_sharing, of the whole host
 * @scanned_pages: pages that KSM looks at in a pass
 */
struct pace_facts {
        uint64_t now_usec;
        struct pace_sample sample;
        double sharable;
        int64_t full_scans;
        int64_t merged_pages;
        int64_t scanned_pages;
};

/**
 * struct pace - the loop's state; initialise with pace_init()
 * @speed: the present one
 * @wants_scan: what is known of the guests' content is too old: a scan is needed
 * @has_gained: KSM has come to its end and had merged something: what was forecast can be compared with what came. The
 *              owner takes it back
 * @gap, @gap_error: share of the pages that could be merged and are not, as last estimated; negative: not known
 *
 * The other members are the loop's own.
 */
struct pace {
        enum pace_speed speed;
        bool wants_scan;
        bool has_gained;
        double gap;
        double gap_error;
        double residual;
        int64_t pass;
        int64_t pass_merged;
        unsigned int n_idle;
        unsigned int n_passes;
        uint64_t begin_usec;
        uint64_t stopped_usec;
        uint64_t burst_usec;
        int64_t begin_merged;
        uint64_t sample_number;
        double sample_merged;
        bool sample_is_idle;
        uint64_t retry_usec;
        uint64_t hold_until_usec;
};

void pace_init(struct pace *pace);

/**
 * pace_kick() - go fast until nothing more is gained: the guests or their memory are others now
 * @hold_usec: and at least for so long, as a guest that has just come is still filling its memory
 */
void pace_kick(struct pace *pace, const struct pace_facts *facts, uint64_t hold_usec);

/* What is known of their content is new: @facts->sharable. */
void pace_scanned(struct pace *pace);

/* One step; to be called every second or so. */
void pace_step(struct pace *pace, const struct pace_facts *facts);
