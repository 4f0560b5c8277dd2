/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "metrics/metrics_histogram.h"

#include <assert.h>

void metrics_histogram_init(struct metrics_histogram *histogram, const uint64_t *bounds_usec, size_t n_bounds)
{
        assert(n_bounds <= METRICS_HISTOGRAM_MAX_BOUNDS);
        *histogram = (struct metrics_histogram){.bounds_usec = bounds_usec, .n_bounds = n_bounds};
}

void metrics_histogram_add(struct metrics_histogram *histogram, uint64_t n, uint64_t total_usec)
{
        size_t bucket = 0;

        if (n == 0)
                return;
        /* Rounded up, since a mean just above a bound does not belong below it. */
        while (bucket < histogram->n_bounds &&
               total_usec / n + (total_usec % n > 0) > histogram->bounds_usec[bucket])
                bucket++;
        histogram->counts[bucket] += n;
        histogram->sum_usec += total_usec;
}
