/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a census to the forecast and the plan in the report. */
#pragma once

#include "base/pool.h"
#include "conf/wishes.h"
#include "merge/actual.h"
#include "merge/census.h"
#include "report/report.h"

#include <stddef.h>

/**
 * struct merge_plan_input - what a plan is made from, and where it goes; everything is borrowed
 * @census, @actual: of the scanned guests
 * @indexes: their places in @report
 * @report: receives forecast and plan
 */
struct merge_plan_input {
        const struct merging *merging;
        const struct census *census;
        const struct actual *actual;
        const size_t *indexes;
        struct report *report;
};

/**
 * merge_plan_run() - fill in what merging would save and cost, and what is to be done
 *
 * Return: 0 or -ENOMEM.
 */
int merge_plan_run(const struct merge_plan_input *in, struct pool *pool);
