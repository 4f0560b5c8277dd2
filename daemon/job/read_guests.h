/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the guests' memory: decides which guests are paused when, and which readings count. */
#pragma once

#include "daemon/job/inventory.h"
#include "daemon/job/job_observer.h"
#include "qmp/pause/guard.h"
#include "report/report.h"
#include "scanner/scan.h"

/**
 * struct read_guests_context - what the reading works with; everything is borrowed
 * @guard: NULL when it could not be started, @guard_failure then says why
 * @rams, @indexes: the @n_guests guests of @scan, and their indexes in @inventory and @report
 */
struct read_guests_context {
        const struct scan_wish *wish;
        const struct job_observer *observer;
        const struct inventory *inventory;
        struct report *report;
        struct scan *scan;
        struct guard *guard;
        const struct failure *guard_failure;
        struct guest_ram *const *rams;
        const size_t *indexes;
        size_t n_guests;
};

/**
 * read_guests_run() - read all guests
 *
 * Marks each guest of the report as scanned, with its consistency and pauses, or gives its error. No guest is
 * paused when it returns.
 *
 * Return: 0 or -ENOMEM.
 */
int read_guests_run(const struct read_guests_context *context);
