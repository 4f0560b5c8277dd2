/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One scan, from start to report. */
#pragma once

#include "base/failure.h"
#include "conf/settings.h"
#include "report/report.h"

#include <stdint.h>

/**
 * struct job_observer - who wants to know how the scan goes on
 * @progress: called about ten times a second while memory is read; may be NULL
 * @waiting: called once a second while the second look is waited for, with the time that is left; may be NULL
 */
struct job_observer {
        void (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes);
        void (*waiting)(void *context, uint64_t left_usec);
        void *context;
};

/**
 * job_run() - scan
 * @settings, @observer: borrowed
 * @ret: receives the report, also when some or all guests could not be scanned: each says why
 *
 * Forks the guard, so the process must have one thread. No guest is paused when it returns.
 *
 * Return: 0, or a negative errno with a sentence when there is no report.
 */
int job_run(const struct settings *settings, const struct job_observer *observer, struct report **ret,
            struct failure *failure);
