/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Giving memory back, from start to result. */
#pragma once

#include "base/failure.h"
#include "conf/wishes.h"
#include "daemon/job/inventory.h"
#include "daemon/job/job_observer.h"
#include "daemon/reclaim/reclaim_guest.h"

#include <stddef.h>

/* What is wanted: of @scan, how memory is read and the longest pause. All is borrowed. */
struct reclaim_wish {
        const struct guest_choice *guests;
        const struct scan_wish *scan;
        const char *runtime_dir;
        bool apply;
};

/* What was found and done; @guests are those of @inventory, in its order. */
struct reclaim_result {
        struct inventory *inventory;
        struct bridge *bridge;
        struct reclaim_guest *guests;
        size_t n_guests;
        bool applied;
        double duration_seconds;
};

/**
 * struct reclaim_trace - how far the work is, for the process that reports it after this one was killed
 * @n_done: of @n_guests
 * @guest: name of the guest at work, cut if it is long
 */
struct reclaim_trace {
        size_t n_done;
        size_t n_guests;
        char guest[128];
};

/**
 * reclaim_job_run() - find what can be given back and, with wish->apply, give it back
 * @observer: told how the search goes on; may be NULL
 * @trace: kept up to date; may be NULL
 *
 * Forks the guard, so the process must have one thread. With wish->apply the guard may kill this process, see
 * lease_pause_exclusive(). No guest is paused when it returns.
 *
 * Return: 0, also when some or all guests failed; a negative errno with a sentence when there is no result.
 */
int reclaim_job_run(const struct reclaim_wish *wish, const struct job_observer *observer,
                    struct reclaim_trace *trace, struct reclaim_result *ret_result, struct failure *failure);

void reclaim_result_deinit(struct reclaim_result *result);
