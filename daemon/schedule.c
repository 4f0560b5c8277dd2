/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/schedule.h"

#include "base/clock.h"

uint64_t schedule_first_usec(const struct options *config, uint64_t random)
{
        if (config->interval_usec == USEC_INFINITY)
                return USEC_INFINITY;
        return config->jitter_usec > 0 ? random % config->jitter_usec : 0;
}

uint64_t schedule_next_usec(const struct options *config, uint64_t random)
{
        const uint64_t interval = config->interval_usec;
        /* At most the interval, so that no time is below 0. */
        const uint64_t jitter = config->jitter_usec < interval ? config->jitter_usec : interval;
        uint64_t latest = 0;

        if (interval == USEC_INFINITY)
                return USEC_INFINITY;
        if (__builtin_add_overflow(interval, jitter, &latest) || latest == USEC_INFINITY)
                return interval;
        return interval - jitter + (jitter > 0 ? random % (2 * jitter + 1) : 0);
}
