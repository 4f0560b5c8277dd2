/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What metrics.c keeps and metrics_render.c reads; private to the two. */
#pragma once

#include "metrics/metrics.h"
#include "metrics/metrics_histogram.h"
#include "metrics/metrics_merge.h"

/**
 * struct metrics_guest - one guest; its name is unique
 * @uuid, @group: NULL when not known
 * @figures: valid if @scanned
 * @failed: its last scan gave no figures
 * @last_scan_usec: when the last scan that gave figures ended, since 1970; 0: never
 */
struct metrics_guest {
        char *name;
        char *uuid;
        char *group;
        const char *via;
        bool scanned;
        bool failed;
        enum report_consistency consistency;
        struct report_figures figures;
        uint64_t last_scan_usec;
};

/**
 * struct metrics_host - figures over all guests
 * @gap_bytes: by reason, REPORT_UNKNOWN when the gap is not known
 */
struct metrics_host {
        bool known;
        struct report_figures total;
        int64_t gap_bytes[GAP_REASON_COUNT_];
};

struct metrics {
        char *version;
        uint64_t started_usec;
        uint64_t last_scan_usec;
        struct metrics_guest *guests; /* sorted by name */
        size_t n_guests;
        struct metrics_host host;
        struct metrics_histogram pauses;
        struct metrics_histogram scans;
        uint64_t n_scans[METRICS_SCAN_RESULT_MAX_];
        unsigned int n_paused;
        struct metrics_merge merge;
        char *source; /* of guests; NULL: none that can fall silent */
        bool source_is_up;
        int64_t n_known_guests; /* REPORT_UNKNOWN before the first metrics_keep_guests() */
};
