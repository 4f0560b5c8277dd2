/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The second look of a scan at what KSM could have merged and has not. */
#pragma once

#include "base/pool.h"
#include "daemon/job/job_observer.h"
#include "merge/census.h"
#include "merge/ksm/ksm.h"
#include "merge/ksm/ksm_settings.h"
#include "pages/fingerprint.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct first_look - what the second one follows; everything is borrowed
 * @key: of its fingerprints
 * @kpageflags_fd: from frames_open()
 * @ended_usec: when the frames had been read
 * @recheck_usec: how much later the second one is wanted; 0: never
 * @observer: who is told how long the second one is waited for; NULL: nobody
 */
struct first_look {
        struct pool *pool;
        const struct ksm_settings_place *place;
        const struct fingerprint_key *key;
        int kpageflags_fd;
        uint64_t ended_usec;
        uint64_t recheck_usec;
        const struct job_observer *observer;
};

/**
 * struct second_look - what came of it
 * @seconds: between the two looks; 0 when there was no second one
 * @was_met_twice: KSM visited every page twice in between
 */
struct second_look {
        double seconds;
        bool was_met_twice;
};

/* Blocks EVENTS_HURRY_SIGNAL in this thread and in those that it starts. */
void second_look_prepare(void);

/**
 * second_look_run() - wait, or until somebody hurries us, and look again, if that is wanted and of use
 * @census: whose guests' frames are known
 * @ksm: as it was after the first look
 *
 * Marks pages as scanner/recheck.h says.
 *
 * Return: 0 or -ENOMEM.
 */
int second_look_run(const struct first_look *first, const struct census *census, const struct ksm *ksm,
                    struct second_look *ret);
