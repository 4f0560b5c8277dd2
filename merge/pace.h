/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decides from moment to moment how fast KSM runs. Pure: it works on a state and on what was observed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum pace_speed {
        PACE_STOPPED, /* nothing to gain: what is merged stays merged */
        PACE_FAST,    /* there is something to gain */
        PACE_SPEED_COUNT_,
};

const char *pace_speed_to_string(enum pace_speed speed);

/**
 * struct pace_sample - what a small sample of pages shows, as shares of all present pages that KSM may merge
 * @number: number of the look, from 1; every look is at the same pages
 * @pages: how many pages the sample has; 0: nothing is known
 * @merged, @merged_error: share that is merged, or has no frame because it is zero; half width of the 95 %
 *                         interval
 * @changed, @changed_error: share whose content changed since the first look, after the last scan
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
 * @wants_scan: what is known of the guests' content is too old, and a scan is needed
 * @has_gained: a burst ended and had merged something, so the forecast can be compared with the result. The
 *              owner resets it
 * @gap, @gap_error: share of the pages that could be merged and are not, as last estimated; negative: not
 * known
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
 * pace_kick() - make KSM fast until it gains nothing more: the guests or their memory have changed
 * @hold_usec: the shortest time to stay fast, since a guest that has just come is still filling its memory
 */
void pace_kick(struct pace *pace, const struct pace_facts *facts, uint64_t hold_usec);

/* A scan has given a new share of sharable pages (@facts->sharable). */
void pace_scanned(struct pace *pace);

/* Takes one step. Call it about every second. */
void pace_step(struct pace *pace, const struct pace_facts *facts);
