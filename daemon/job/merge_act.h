/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carrying out the first part of a plan: who is marked. KSM's settings are left to who asked for it,
 * apply_settings_write().
 */
#pragma once

#include "daemon/job/inventory.h"
#include "merge/ksm/apply.h"
#include "report/report.h"

#include <stdbool.h>
#include <sys/types.h>

/**
 * merge_act_run() - mark the guests that the plan of a report merges, and no others
 * @inventory: the guests of @report, in its order
 *
 * Notes in the report what was done and what not: without a refusal, KSM may run. Without a plan that is
 * worth while, does nothing.
 */
void merge_act_run(const struct apply_place *place, pid_t service_pid, bool uses_monitor,
                   const struct inventory *inventory, struct report *report);
