/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Giving memory back, from start to result. */
#pragma once

#include "base/failure.h"
#include "conf/settings.h"
#include "daemon/inventory.h"
#include "daemon/job.h"
#include "daemon/reclaim_guest.h"

#include <stddef.h>

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
 * reclaim_job_run() - find what can be given back and, with settings->apply, give it back
 * @observer: told how the search goes on; may be NULL
 *
 * Forks the guard, so the process must have one thread. With settings->apply the guard may kill this process, see
 * lease_pause_deadly(). No guest is paused when it returns.
 *
 * Return: 0, also when some or all guests failed; a negative errno with a sentence when there is no result.
 */
int reclaim_job_run(const struct settings *settings, const struct job_observer *observer,
                    struct reclaim_result *ret_result, struct failure *failure);

void reclaim_result_deinit(struct reclaim_result *result);
