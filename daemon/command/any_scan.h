/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A scan for a command, in this process or by the service: shows its progress and prints its report. */
#pragma once

#include "base/failure.h"
#include "conf/options.h"
#include "report/report.h"

#include <stdbool.h>

/**
 * any_scan_run() - scan
 * @ret: the report, also when guests could not be scanned; report_free() it
 *
 * Return: 0, or a negative errno with a sentence when there is no report.
 */
int any_scan_run(const struct options *options, struct report **ret, struct failure *failure);

/* Prints the report in the format asked for. Return: whether all of it could be written. */
bool any_scan_print(const struct options *options, const struct report *report);
