/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all code that pauses guests repeatedly has in common. */
#pragma once

#include "qmp/pause/lease.h"

#include <stdint.h>
#include <unistd.h>

/* Between two pauses the guest runs for this many times the length of the first one. */
#define PAUSE_PACE_RUN_FACTOR 4

/* After this many pauses in a row in which nothing could be done, the pauses are too short. */
#define PAUSE_PACE_FRUITLESS_MAX 3

/* How long the guest was paused in the pause that just ended; 0 when it did not end. */
static inline uint64_t pause_pace_usec(const struct lease *lease)
{
        return lease->resumed_usec > lease->stop_sent_usec ? lease->resumed_usec - lease->stop_sent_usec : 0;
}

/* Lets guests run that were paused for @paused_usec. */
static inline void pause_pace_rest(uint64_t paused_usec)
{
        (void)usleep((useconds_t)(PAUSE_PACE_RUN_FACTOR * paused_usec));
}
