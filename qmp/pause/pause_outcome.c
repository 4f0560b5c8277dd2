/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/pause/pause_outcome.h"

#include "base/cleanup.h"

#include <assert.h>

static const struct {
        const char *name;
        enum pause_outcome simple;
        bool keeps_lease;
        bool is_retried;
} outcomes[] = {
        [PAUSE_OUTCOME_NONE] = {"none", PAUSE_OUTCOME_FAILED, true, false},
        [PAUSE_OUTCOME_PAUSED] = {"paused", PAUSE_OUTCOME_PAUSED, true, false},
        [PAUSE_OUTCOME_RESUMED] = {"resumed", PAUSE_OUTCOME_RESUMED, false, false},
        [PAUSE_OUTCOME_RUNNING] = {"running", PAUSE_OUTCOME_RUNNING, false, false},
        [PAUSE_OUTCOME_NOT_RUNNING] = {"not-running", PAUSE_OUTCOME_NOT_RUNNING, false, false},
        [PAUSE_OUTCOME_MIGRATING] = {"migrating", PAUSE_OUTCOME_MIGRATING, false, false},
        [PAUSE_OUTCOME_HELD] = {"held", PAUSE_OUTCOME_HELD, false, false},
        [PAUSE_OUTCOME_NOT_STOPPED] = {"not-stopped", PAUSE_OUTCOME_FAILED, false, false},
        [PAUSE_OUTCOME_LEFT] = {"left", PAUSE_OUTCOME_LEFT, false, false},
        [PAUSE_OUTCOME_LEFT_MIGRATING] = {"left-migrating", PAUSE_OUTCOME_LEFT, true, true},
        [PAUSE_OUTCOME_REFUSED] = {"refused", PAUSE_OUTCOME_FAILED, true, true},
        [PAUSE_OUTCOME_GONE] = {"gone", PAUSE_OUTCOME_GONE, false, false},
        [PAUSE_OUTCOME_FAILED] = {"failed", PAUSE_OUTCOME_FAILED, true, false},
};
static_assert(ARRAY_SIZE(outcomes) == PAUSE_OUTCOME_COUNT_, "a row for each");

const char *pause_outcome_to_string(enum pause_outcome outcome)
{
        return outcomes[outcome].name;
}

enum pause_outcome pause_outcome_simplify(enum pause_outcome outcome)
{
        return outcomes[outcome].simple;
}

bool pause_outcome_keeps_lease(enum pause_outcome outcome)
{
        return outcomes[outcome].keeps_lease;
}

bool pause_outcome_is_retried(enum pause_outcome outcome)
{
        return outcomes[outcome].is_retried;
}
