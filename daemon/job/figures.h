/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the pages of the scanned guests to the figures of the report. */
#pragma once

#include "conf/wishes.h"
#include "daemon/job/inventory.h"
#include "daemon/job/second_look.h"
#include "report/report.h"

/**
 * figures_fill() - compute the figures of all guests that the report marks as scanned
 * @first: what the figures are made from
 *
 * Looks at some pages a second time, if that is wanted; the guests run meanwhile.
 *
 * Return: 0, or a negative errno.
 */
int figures_fill(const struct first_look *first, const struct merging *merging,
                 const struct inventory *inventory, struct report *report);
