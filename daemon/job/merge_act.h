/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carries out the first part of a plan: which guests are marked. Whoever asked for it writes KSM's settings,
 * with ksm_settings_write().
 */
#pragma once

#include "daemon/job/inventory.h"
#include "merge/ksm/ksm_settings.h"
#include "report/report.h"

#include <stdbool.h>
#include <sys/types.h>

/**
 * merge_act_run() - mark the guests that the plan of a report merges, and no others
 * @inventory: the guests of @report, in its order
 *
 * Records in the report what was done and what was not. Without a refusal, KSM may run. Does nothing without
 * a plan that is worthwhile.
 */
void merge_act_run(const struct ksm_settings_place *place, pid_t service_pid, bool uses_monitor,
                   const struct inventory *inventory, struct report *report);
