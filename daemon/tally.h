/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the pages of the scanned guests to the figures of the report. */
#pragma once

#include "conf/settings.h"
#include "daemon/inventory.h"
#include "report/report.h"
#include "scanner/pool.h"

/**
 * tally() - compute the figures of all guests that the report marks as scanned
 * @pool: borrowed for the call
 *
 * Return: 0, or a negative errno.
 */
int tally(struct pool *pool, const struct settings *settings, const struct inventory *inventory,
          struct report *report);
