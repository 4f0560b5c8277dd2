/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The second look of a scan at what KSM could have merged and has not. */
#pragma once

#include "base/pool.h"
#include "daemon/job/job_observer.h"
#include "merge/census.h"
#include "merge/ksm/apply.h"
#include "merge/ksm/ksm.h"
#include "pages/fingerprint.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct first_look - what the second one follows
 * @key: of its fingerprints, borrowed
 * @kpageflags_fd: from frames_open(), borrowed
 * @ended_usec: when the frames had been read
 * @recheck_usec: how much later the second one is wanted; 0: never
 * @observer: who is told how long the second one is waited for; NULL: nobody; borrowed
 */
struct first_look {
        const struct fingerprint_key *key;
        int kpageflags_fd;
        uint64_t ended_usec;
        uint64_t recheck_usec;
        const struct job_observer *observer;
};

/* Blocks EVENTS_HURRY_SIGNAL in this thread and in those that it starts. */
void second_look_prepare(void);

/**
 * second_look_run() - wait, or until somebody hurries us, and look again, if that is wanted and of use
 * @census: whose guests' frames are known
 * @ksm: as it was after the first look
 * @ret_seconds: between the two looks; 0 when there was no second one
 * @ret_met_twice: KSM met every page twice in between
 *
 * Marks pages as scanner/recheck.h says.
 *
 * Return: 0 or -ENOMEM.
 */
int second_look_run(const struct apply_place *place, const struct first_look *first,
                    const struct census *census, struct pool *pool, const struct ksm *ksm,
                    double *ret_seconds, bool *ret_met_twice);
