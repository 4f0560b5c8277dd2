/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The progress of a job: a bar on a terminal for what takes longer than a second, or events. */
#pragma once

#include "daemon/job/job_observer.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * struct progress - how far the work is
 * @done_bytes, @total_bytes: as last reported by an event
 */
struct progress {
        uint64_t begun_usec;
        uint64_t done_bytes;
        uint64_t total_bytes;
        bool enabled;
        bool shown;
};

/**
 * progress_init() - begin to report progress
 * @as_events: by events on standard output; else by a bar on standard error, if that is a terminal, once a
 *             second has passed
 *
 * Return: what the job is to call; it borrows @progress.
 */
struct job_observer progress_init(struct progress *progress, bool as_events);

/* Removes the bar. */
void progress_deinit(struct progress *progress);
