/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One guest of the guard's, as what the scan knows of its pause. The guest's own way is that of pause.c.
 *
 *              TOLD    ENTRUSTED  ANSWERED  RESUME     DEADLINE  RUNS     HANG     DEAD     GONE
 *   ASKED      PAUSED  ARMED      ORPHAN    RESUMING*  MISSED*   MISSED*  MISSED*           ORPHAN*
 *   MISSED     LATE               ORPHAN    TARDY*                                          ORPHAN*
 *   PAUSED                                  RESUMING*  LATE*                                ORPHAN*
 *   ARMED                                   RESUMING*  KILLING   KILLING                    KILLING
 *   KILLING                                 RESUMING*                              ORPHAN*
 *   LATE                                    TARDY*                                          ORPHAN*
 *   RESUMING                      ORPHAN    RESUMING*                                       ORPHAN*
 *   TARDY                         ORPHAN    TARDY*                                          ORPHAN*
 *   ORPHAN                                  RESUMING*                                       ORPHAN*
 *
 * A star says that the machine begins to end the pause (pause_end()). An empty field changes nothing.
 *
 * What the table guarantees, and its test walks:
 *  - From PAUSED, three events end the pause: the scan asks, the deadline comes, or the scan is gone. The
 *    guard need not know whether the scan hangs, is stopped, or is merely late: in all cases the guest runs.
 *    A scan that lives learns from the answer to its RESUME that it was late, and since when what it read
 *    does not count.
 *  - From ARMED, the scan's own RESUME alone ends the pause. Every other event first kills the scan and waits
 *    until it is dead, as it may have been stopped between looking at a page and changing it, and would
 *    destroy what the guest wrote in between.
 *  - A scan that was not told of a pause (ASKED, MISSED) does not change the guest's memory, and lives. An
 *    exclusive pause that ends already is not told to it any more.
 *  - Once the control socket has ended, a slot comes to ORPHAN without the scan.
 */
#include "qmp/pause/guard_slot.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* clang-format off */
#define TO(state)     {GUARD_SLOT_STATE_##state, false}
#define END_TO(state) {GUARD_SLOT_STATE_##state, true}
#define ON(event)     [GUARD_SLOT_EVENT_##event]
#define IN(state)     [GUARD_SLOT_STATE_##state]

static const struct guard_slot_step steps[GUARD_SLOT_STATE_COUNT_][GUARD_SLOT_EVENT_COUNT_] = {
        IN(ASKED) = {
                ON(TOLD) = TO(PAUSED), ON(ENTRUSTED) = TO(ARMED), ON(ANSWERED) = TO(ORPHAN),
                ON(RESUME) = END_TO(RESUMING), ON(DEADLINE) = END_TO(MISSED), ON(RUNS) = END_TO(MISSED),
                ON(HANG) = END_TO(MISSED), ON(GONE) = END_TO(ORPHAN),
        },
        IN(MISSED) = {
                ON(TOLD) = TO(LATE), ON(ANSWERED) = TO(ORPHAN), ON(RESUME) = END_TO(TARDY),
                ON(GONE) = END_TO(ORPHAN),
        },
        IN(PAUSED) = {
                ON(RESUME) = END_TO(RESUMING), ON(DEADLINE) = END_TO(LATE), ON(GONE) = END_TO(ORPHAN),
        },
        IN(ARMED) = {
                ON(RESUME) = END_TO(RESUMING), ON(DEADLINE) = TO(KILLING), ON(RUNS) = TO(KILLING),
                ON(GONE) = TO(KILLING),
        },
        IN(KILLING) = {ON(RESUME) = END_TO(RESUMING), ON(DEAD) = END_TO(ORPHAN)},
        IN(LATE) = {ON(RESUME) = END_TO(TARDY), ON(GONE) = END_TO(ORPHAN)},
        IN(RESUMING) = {ON(ANSWERED) = TO(ORPHAN), ON(RESUME) = END_TO(RESUMING), ON(GONE) = END_TO(ORPHAN)},
        IN(TARDY) = {ON(ANSWERED) = TO(ORPHAN), ON(RESUME) = END_TO(TARDY), ON(GONE) = END_TO(ORPHAN)},
        IN(ORPHAN) = {ON(RESUME) = END_TO(RESUMING), ON(GONE) = END_TO(ORPHAN)},
};
/* clang-format on */

struct guard_slot_step guard_slot_step(enum guard_slot_state state, enum guard_slot_event event)
{
        return steps[state][event];
}

void guard_slot_take(struct guard_slot *slot, enum guard_slot_event event)
{
        const struct guard_slot_step step = steps[slot->state][event];

        if (!step.to)
                return;
        slot->state = step.to;
        if (event == GUARD_SLOT_EVENT_RESUME)
                slot->answer_usec = clock_now_usec() + GUARD_STEP_USEC;
        if (!step.ends)
                return;
        slot->retry_usec = 0;
        pause_end(&slot->pause);
}

struct guard_slot *guard_slot_new(const struct guard_request *request, int fd, const struct process *scanner,
                                  const struct process *guard)
{
        struct guard_slot *slot = calloc(1, sizeof(*slot));
        CLEANUP_CLOSE int connection = fd;

        if (!slot)
                return NULL;
        *slot = (struct guard_slot){
                .id = request->id,
                .state = GUARD_SLOT_STATE_ASKED,
                .is_exclusive = request->is_exclusive,
                .pause.wire.fd = -1,
                .note = {.guest = strdup(request->guest),
                         .socket_path = strdup(request->socket_path),
                         .qemu = request->qemu,
                         .scanner = *scanner,
                         .guard = *guard},
                .max_pause_usec = request->max_pause_usec,
                .end_usec = USEC_INFINITY,
                .answer_usec = clock_now_usec() + GUARD_STEP_USEC,
        };
        if (slot->note.guest && slot->note.socket_path &&
            pause_begin(&slot->pause, TAKE_FD(connection), NULL) == 0)
                return slot;
        guard_slot_free(slot);
        return NULL;
}

void guard_slot_free(struct guard_slot *slot)
{
        pause_deinit(&slot->pause);
        leasefile_deinit(&slot->note);
        free(slot);
}

void guard_slot_stop(struct guard_slot *slot)
{
        slot->file = GUARD_SLOT_FILE_WRITTEN;
        pause_stop(&slot->pause);
        slot->end_usec = lease_end_usec(slot->pause.stop_sent_usec, slot->max_pause_usec);
}

static bool slot_is_done(const struct guard_slot *slot)
{
        return slot->pause.phase == PAUSE_PHASE_DONE;
}

/* Whether the scan can be told that the guest is paused. A late scan can, unless it would change memory. */
static bool slot_is_tellable(const struct guard_slot *slot)
{
        return slot->pause.stopped_usec != 0 &&
               !(slot->is_exclusive && slot->state == GUARD_SLOT_STATE_MISSED);
}

void guard_slot_watch(struct guard_slot *slot, uint64_t now_usec)
{
        if (now_usec >= slot->end_usec)
                guard_slot_take(slot, GUARD_SLOT_EVENT_DEADLINE);
        if (slot->is_exclusive && slot->pause.stopped_usec &&
            (slot->pause.event_resumed || slot_is_done(slot)))
                guard_slot_take(slot, GUARD_SLOT_EVENT_RUNS);
        if (now_usec >= slot->answer_usec && !slot_is_tellable(slot) && !slot_is_done(slot))
                guard_slot_take(slot, GUARD_SLOT_EVENT_HANG);
}

static struct guard_answer make_answer(const struct guard_slot *slot, enum guard_operation operation,
                                       enum pause_outcome outcome)
{
        const bool is_resumed = outcome == PAUSE_OUTCOME_RESUMED || outcome == PAUSE_OUTCOME_RUNNING;
        struct guard_answer answer = {
                .operation = operation,
                .id = slot->id,
                .state = is_resumed ? PAUSE_OUTCOME_RESUMED : pause_outcome_simplify(outcome),
                .stop_sent_usec = slot->pause.stop_sent_usec,
                .stopped_usec = slot->pause.stopped_usec,
                .cont_sent_usec = slot->pause.cont_sent_usec,
                .resumed_usec = slot->pause.resumed_usec,
                .resumed_at_deadline = is_resumed && (slot->state == GUARD_SLOT_STATE_MISSED ||
                                                      slot->state == GUARD_SLOT_STATE_TARDY),
                .resumed_by_other = outcome == PAUSE_OUTCOME_RUNNING,
                .failure = slot->pause.failure,
        };

        memcpy(answer.run_state, slot->pause.run_state, sizeof(answer.run_state));
        return answer;
}

static bool answer_pause(const struct guard_slot *slot, uint64_t now_usec, struct guard_answer *ret_answer,
                         enum guard_slot_event *ret_event)
{
        if (slot_is_tellable(slot)) {
                *ret_answer = make_answer(slot, GUARD_OPERATION_PAUSE, PAUSE_OUTCOME_PAUSED);
                *ret_event = slot->is_exclusive ? GUARD_SLOT_EVENT_ENTRUSTED : GUARD_SLOT_EVENT_TOLD;
                return true;
        }
        if (!slot_is_done(slot) && now_usec < slot->answer_usec)
                return false;
        *ret_answer = make_answer(slot, GUARD_OPERATION_PAUSE, slot->pause.outcome);
        *ret_event = GUARD_SLOT_EVENT_ANSWERED;
        if (!slot_is_done(slot))
                (void)failure_set(
                        &ret_answer->failure, 0,
                        "its QEMU did not answer to stop within %.1f s; it will be resumed as soon as "
                        "its QEMU answers",
                        (double)GUARD_STEP_USEC / (double)USEC_PER_SEC);
        return true;
}

static bool answer_resume(const struct guard_slot *slot, uint64_t now_usec, struct guard_answer *ret_answer,
                          enum guard_slot_event *ret_event)
{
        /* A cont that was refused is tried again first. */
        const bool is_over = slot_is_done(slot) && slot->pause.outcome != PAUSE_OUTCOME_REFUSED;

        if (!is_over && now_usec < slot->answer_usec)
                return false;
        *ret_answer = make_answer(slot, GUARD_OPERATION_RESUME, slot->pause.outcome);
        *ret_event = GUARD_SLOT_EVENT_ANSWERED;
        if (!slot_is_done(slot))
                (void)failure_set(&ret_answer->failure, 0,
                                  "its QEMU did not answer within %.1f s; it will be resumed as soon as its "
                                  "QEMU answers",
                                  (double)GUARD_STEP_USEC / (double)USEC_PER_SEC);
        return true;
}

static bool slot_awaits_pause(const struct guard_slot *slot)
{
        return slot->state == GUARD_SLOT_STATE_ASKED || slot->state == GUARD_SLOT_STATE_MISSED;
}

static bool slot_awaits_resume(const struct guard_slot *slot)
{
        return slot->state == GUARD_SLOT_STATE_RESUMING || slot->state == GUARD_SLOT_STATE_TARDY;
}

bool guard_slot_answer(const struct guard_slot *slot, uint64_t now_usec, struct guard_answer *ret_answer,
                       enum guard_slot_event *ret_event)
{
        if (slot_awaits_pause(slot))
                return answer_pause(slot, now_usec, ret_answer, ret_event);
        return slot_awaits_resume(slot) && answer_resume(slot, now_usec, ret_answer, ret_event);
}

uint64_t guard_slot_deadline(const struct guard_slot *slot, bool is_answer_blocked)
{
        uint64_t deadline_usec = USEC_INFINITY;

        if (slot->is_buffered)
                return 0;
        if (slot->state == GUARD_SLOT_STATE_KILLING)
                return USEC_INFINITY; /* the scan's pidfd tells */
        if (steps[slot->state][GUARD_SLOT_EVENT_DEADLINE].to)
                deadline_usec = slot->end_usec;
        if ((slot_awaits_pause(slot) || slot_awaits_resume(slot)) && !is_answer_blocked)
                deadline_usec = clock_earlier(deadline_usec, slot->answer_usec);
        if (slot->file != GUARD_SLOT_FILE_SETTLED && slot_is_done(slot))
                deadline_usec = clock_earlier(deadline_usec, slot->retry_usec);
        return deadline_usec;
}

bool guard_slot_is_listening(const struct guard_slot *slot)
{
        /* A broken connection is readable all the time. */
        return slot->file != GUARD_SLOT_FILE_SETTLED && slot->state != GUARD_SLOT_STATE_KILLING &&
               slot->pause.phase != PAUSE_PHASE_READY &&
               !(slot_is_done(slot) && !pause_outcome_is_retried(slot->pause.outcome));
}
