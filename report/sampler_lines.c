/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/sampler_lines.h"

#include "base/json.h"

#include <math.h>

/* 95 % of a normal distribution lie within this many standard deviations. */
#define Z95 1.96

static struct json_object *pids_to_json(const pid_t *pids, size_t n)
{
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < n; i++)
                (void)json_object_array_add(array, json_object_new_int64(pids[i]));
        return array;
}

struct json_object *sampler_line(const pid_t *pids, size_t n, const pid_t *others, size_t n_others)
{
        struct json_object *line = json_object_new_object();

        json_add(line, "pids", pids_to_json(pids, n));
        if (others)
                json_add(line, "others", pids_to_json(others, n_others));
        return line;
}

static double share_of(struct json_object *data, const char *key, int64_t pages)
{
        const int64_t part = json_get_int(data, key, 0);

        return part < 0 ? 0 : part > pages ? 1 : (double)part / (double)pages;
}

/*
 * The interval of Agresti and Coull ("Approximate is better than exact", 1998): it adds two hits and two
 * misses. So a few pages that all agree do not count as certainty.
 */
static double half_width(double share, double n)
{
        const double p = (share * n + 2) / (n + 4);

        return Z95 * sqrt(p * (1 - p) / (n + 4));
}

struct pace_sample sampler_parse(struct json_object *data)
{
        const int64_t pages = json_get_int(data, "pages", 0);
        const int64_t read = json_get_int(data, "read", 0);
        struct pace_sample sample = {0};

        if (pages <= 0)
                return sample;
        sample.pages = (uint64_t)pages;
        sample.merged = share_of(data, "merged", pages);
        sample.merged_error = half_width(sample.merged, (double)pages);
        if (read <= 0)
                return sample;
        sample.changed = share_of(data, "changed", read);
        sample.changed_error = half_width(sample.changed, (double)read);
        return sample;
}
