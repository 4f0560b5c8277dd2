/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Carrying out a plan: the only code that changes what KSM does with guests. */
#pragma once

#include "conf/settings.h"
#include "daemon/job/inventory.h"
#include "report/report.h"

/**
 * acting_run() - carry out the plan of a report
 * @inventory: the guests of @report, in its order
 *
 * Notes in the report what was done and what not. Without a plan that is worth while, does nothing.
 */
void acting_run(const struct settings *settings, const struct inventory *inventory, struct report *report);
