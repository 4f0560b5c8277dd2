/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What became of a pause: one list for the machine, the lease, the guard's answers and `samepage resume`. */
#pragma once

#include <stdbool.h>

enum pause_outcome {
        PAUSE_OUTCOME_NONE,        /* not asked for, or not over */
        PAUSE_OUTCOME_PAUSED,      /* we paused it; its deadline runs */
        PAUSE_OUTCOME_RESUMED,     /* by us */
        PAUSE_OUTCOME_RUNNING,     /* it runs (or ran) without our doing */
        PAUSE_OUTCOME_NOT_RUNNING, /* never paused: it was not running */
        PAUSE_OUTCOME_MIGRATING,   /* never paused: a migration is set up or under way */
        PAUSE_OUTCOME_HELD,        /* never paused, or left alone: another scan that lives holds it */
        PAUSE_OUTCOME_NOT_STOPPED, /* never paused: given up before stop was sent, or QEMU refused it */
        PAUSE_OUTCOME_LEFT,        /* left alone for good: in a state that is not ours to end, or migrated */
        PAUSE_OUTCOME_LEFT_MIGRATING, /* left paused, as a migration began: to be tried again */
        PAUSE_OUTCOME_REFUSED,        /* QEMU answered cont with an error: to be tried again */
        PAUSE_OUTCOME_GONE,           /* its QEMU ended */
        PAUSE_OUTCOME_FAILED,         /* QEMU died, hung or spoke garbage, or its connection broke */
        PAUSE_OUTCOME_COUNT_,
};

/* The name that a report shows. */
const char *pause_outcome_to_string(enum pause_outcome outcome);

/**
 * pause_outcome_simplify() - the outcome for who does not run the machine
 *
 * LEFT_MIGRATING becomes LEFT; NONE, NOT_STOPPED and REFUSED become FAILED; all others stay.
 */
enum pause_outcome pause_outcome_simplify(enum pause_outcome outcome);

/* Whether the guest may still be paused by us, so that its lease file has to stay while its QEMU lives. */
bool pause_outcome_keeps_lease(enum pause_outcome outcome);

/* Whether pause_end() tries again. */
bool pause_outcome_is_retried(enum pause_outcome outcome);
