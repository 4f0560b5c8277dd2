/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of guests before they are scanned, as a report. */
#pragma once

#include "daemon/job/inventory.h"
#include "report/report.h"

/**
 * describe_inventory() - a report about these guests, without figures yet
 * @inventory: names, blocks and failures are copied
 *
 * Return: 0 or -ENOMEM.
 */
int describe_inventory(const struct scan_wish *scan, const struct inventory *inventory, struct report **ret);
