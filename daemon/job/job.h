/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One scan, from start to report. */
#pragma once

#include "base/failure.h"
#include "conf/wishes.h"
#include "daemon/job/job_observer.h"
#include "merge/ksm/ksm_settings.h"
#include "report/report.h"

/* What a scan is to do. All is borrowed. */
struct job_wish {
        const struct guest_choice *guests;
        const struct scan_wish *scan;
        const struct merging *merging;
        struct ksm_settings_place place;
};

/**
 * job_run() - scan
 * @wish, @observer: borrowed
 * @ret: receives the report, also when some or all guests could not be scanned: each says why
 *
 * Forks the guard, so the process must have one thread. No guest is paused when it returns.
 *
 * Return: 0, or a negative errno with a sentence when there is no report.
 */
int job_run(const struct job_wish *wish, const struct job_observer *observer, struct report **ret,
            struct failure *failure);
