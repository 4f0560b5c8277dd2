/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How often something took how long. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define METRICS_HISTOGRAM_MAX_BOUNDS 16

/**
 * struct metrics_histogram - durations, sorted into buckets
 * @bounds_usec: the longest duration of each bucket, ascending; borrowed. One more bucket has no bound.
 * @counts: durations in each bucket alone; the output sums them up
 */
struct metrics_histogram {
        const uint64_t *bounds_usec;
        size_t n_bounds;
        uint64_t counts[METRICS_HISTOGRAM_MAX_BOUNDS + 1];
        uint64_t sum_usec;
};

/* An empty one; @n_bounds is at most METRICS_HISTOGRAM_MAX_BOUNDS. */
void metrics_histogram_init(struct metrics_histogram *histogram, const uint64_t *bounds_usec,
                            size_t n_bounds);

/**
 * metrics_histogram_add() - add @n durations, of which only the sum is known
 *
 * They go into the bucket of their mean. A single duration is exact; for more, only count and sum are.
 */
void metrics_histogram_add(struct metrics_histogram *histogram, uint64_t n, uint64_t total_usec);
