/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What metrics say about merging: the last forecast, and what follows from it. */
#pragma once

#include "metrics/metrics_text.h"
#include "report/report_merge.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * struct metrics_merge - the exported figures; initialise with METRICS_MERGE_NONE
 * @forecast_known: the bytes are those of the last forecast
 * @reached_bytes: negative when not known
 * @gap, @gap_error: share of the pages that could be merged and are not, by a sample; negative when not known
 * @is_fast: KSM runs fast
 * @acts: the service sets KSM's speed
 * @n_refused: how often it gave up acting
 * @ksmd_usec: CPU time of ksmd since boot; 0: not known
 */
struct metrics_merge {
        bool forecast_known;
        int64_t self_bytes;
        int64_t inter_bytes;
        int64_t zero_bytes;
        int64_t bookkeeping_bytes;
        int64_t net_bytes;
        int64_t isolation_bytes;
        int64_t huge_pages;
        int64_t reached_bytes;
        double gap;
        double gap_error;
        bool is_fast;
        bool acts;
        uint64_t n_refused;
        uint64_t ksmd_usec;
};

#define METRICS_MERGE_NONE ((struct metrics_merge){.reached_bytes = -1, .gap = -1})

/* Takes over a forecast. */
void metrics_merge_note(struct metrics_merge *merge, const struct report_merge *report);

void metrics_merge_render(struct metrics_text *text, const struct metrics_merge *merge);
