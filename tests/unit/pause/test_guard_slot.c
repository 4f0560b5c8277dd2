/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guard's table, walked: every event in every state, with a real pause machine. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "qmp/pause/guard_slot.h"
#include "unit.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FOR_EACH_STATE(state)                                                                         \
        for (enum guard_slot_state state = GUARD_SLOT_STATE_ASKED; (state) < GUARD_SLOT_STATE_COUNT_; \
             (state)++)
#define FOR_EACH_EVENT(event) \
        for (enum guard_slot_event event = 0; (event) < GUARD_SLOT_EVENT_COUNT_; (event)++)

static const char *const names[GUARD_SLOT_STATE_COUNT_] = {
        "-", "asked", "missed", "paused", "armed", "killing", "late", "resuming", "tardy", "orphan",
};

/* What is to happen, in the order of the events; a star: the machine begins to end the pause. */
static const char *const expected[GUARD_SLOT_STATE_COUNT_][GUARD_SLOT_EVENT_COUNT_] = {
        /* clang-format off */
        /*  told      entrusted ansrd     resume       deadline   runs       hang       dead       gone */
        {0},
        {"paused", "armed",  "orphan", "resuming*", "missed*", "missed*", "missed*", "-",       "orphan*"},
        {"late",   "-",      "orphan", "tardy*",    "-",       "-",       "-",       "-",       "orphan*"},
        {"-",      "-",      "-",      "resuming*", "late*",   "-",       "-",       "-",       "orphan*"},
        {"-",      "-",      "-",      "resuming*", "killing", "killing", "-",       "-",       "killing"},
        {"-",      "-",      "-",      "resuming*", "-",       "-",       "-",       "orphan*", "-"},
        {"-",      "-",      "-",      "tardy*",    "-",       "-",       "-",       "-",       "orphan*"},
        {"-",      "-",      "orphan", "resuming*", "-",       "-",       "-",       "-",       "orphan*"},
        {"-",      "-",      "orphan", "tardy*",    "-",       "-",       "-",       "-",       "orphan*"},
        {"-",      "-",      "-",      "resuming*", "-",       "-",       "-",       "-",       "orphan*"},
        /* clang-format on */
};

/* A slot whose guest is paused, as far as its machine knows. */
static struct guard_slot *new_slot(enum guard_slot_state state, bool is_exclusive, int *ret_other)
{
        static const struct guard_request request = {
                .id = 7, .max_pause_usec = USEC_PER_SEC, .guest = "web1"};
        static const struct process process = {.pid = 1, .start_ticks = 1};
        struct guard_slot *slot = NULL;
        int pair[2];

        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        slot = guard_slot_new(&request, pair[0], &process, &process);
        assert(slot);
        CU_ASSERT_EQUAL(slot->state, GUARD_SLOT_STATE_ASKED);
        CU_ASSERT_EQUAL(slot->pause.phase, PAUSE_PHASE_CHECKING);
        slot->pause.phase = PAUSE_PHASE_READY;
        guard_slot_stop(slot);
        CU_ASSERT_EQUAL(slot->file, GUARD_SLOT_FILE_WRITTEN);
        slot->pause.phase = PAUSE_PHASE_PAUSED;
        slot->pause.stopped_usec = slot->pause.stop_sent_usec;
        slot->state = state;
        slot->is_exclusive = is_exclusive;
        *ret_other = pair[1];
        return slot;
}

static void test_every_event_in_every_state(void)
{
        FOR_EACH_STATE(state) FOR_EACH_EVENT(event)
        {
                CLEANUP_CLOSE int other = -1;
                struct guard_slot *slot = new_slot(state, false, &other);
                char got[16];

                guard_slot_take(slot, event);
                (void)snprintf(got, sizeof(got), "%s%s", slot->state == state ? "-" : names[slot->state],
                               slot->pause.phase == PAUSE_PHASE_ENDING ? "*" : "");
                /* A state that an event leads back to. */
                if (strcmp(got, "-*") == 0)
                        (void)snprintf(got, sizeof(got), "%s*", names[state]);
                if (strcmp(got, expected[state][event]) != 0)
                        (void)fprintf(stderr, "state %s, event %d: %s, not %s\n", names[state], (int)event,
                                      got, expected[state][event]);
                CU_ASSERT_STRING_EQUAL(got, expected[state][event]);
                guard_slot_free(slot);
        }
}

static bool may_read(enum guard_slot_state state)
{
        return state == GUARD_SLOT_STATE_PAUSED || state == GUARD_SLOT_STATE_ARMED;
}

/* The promises of guard_slot.c's top, of whatever the table says. */
static void test_promises(void)
{
        FOR_EACH_STATE(state) FOR_EACH_EVENT(event)
        {
                const struct guard_slot_step step = guard_slot_step(state, event);
                const bool is_armed = state == GUARD_SLOT_STATE_ARMED || state == GUARD_SLOT_STATE_KILLING;

                /* What the scan may change runs when the scan asks, or is dead. */
                if (is_armed && (step.ends || (step.to && step.to != GUARD_SLOT_STATE_KILLING)))
                        CU_ASSERT(event == GUARD_SLOT_EVENT_RESUME ||
                                  (event == GUARD_SLOT_EVENT_DEAD && state == GUARD_SLOT_STATE_KILLING));
                /* Only a scan that was told of a pause that it may change memory in is killed. */
                if (step.to == GUARD_SLOT_STATE_KILLING)
                        CU_ASSERT_EQUAL(state, GUARD_SLOT_STATE_ARMED);
                /* No pause goes on that has begun to end, and none ends without the machine. */
                if (may_read(step.to))
                        CU_ASSERT_EQUAL(state, GUARD_SLOT_STATE_ASKED);
                if (may_read(state) && step.to && step.to != GUARD_SLOT_STATE_KILLING)
                        CU_ASSERT_TRUE(step.ends);
        }
        /* Whatever it was in: without a scan, a slot is done with, and no scan holds a guest past the deadline. */
        FOR_EACH_STATE(state)
        {
                enum guard_slot_state gone = guard_slot_step(state, GUARD_SLOT_EVENT_GONE).to;

                if (gone == GUARD_SLOT_STATE_KILLING || !gone)
                        gone = guard_slot_step(GUARD_SLOT_STATE_KILLING, GUARD_SLOT_EVENT_DEAD).to;
                CU_ASSERT_EQUAL(gone, GUARD_SLOT_STATE_ORPHAN);
                if (may_read(state))
                        CU_ASSERT(guard_slot_step(state, GUARD_SLOT_EVENT_DEADLINE).to != 0);
        }
}

/* Which events the clock and the machine bring, and what the scan is told. */
static void test_watch_and_answer(void)
{
        enum guard_slot_event event = GUARD_SLOT_EVENT_COUNT_;
        struct guard_answer answer;

        for (int exclusive = 0; exclusive < 2; exclusive++) {
                CLEANUP_CLOSE int other = -1;
                struct guard_slot *slot = new_slot(GUARD_SLOT_STATE_ASKED, exclusive, &other);
                const uint64_t begin_usec = slot->pause.stop_sent_usec;

                CU_ASSERT(slot->end_usec > begin_usec && slot->end_usec <= begin_usec + USEC_PER_SEC);
                CU_ASSERT_EQUAL(guard_slot_deadline(slot, true), slot->end_usec);
                guard_slot_watch(slot, begin_usec);
                CU_ASSERT_EQUAL(slot->state, GUARD_SLOT_STATE_ASKED);
                CU_ASSERT_TRUE(guard_slot_answer(slot, begin_usec, &answer, &event));
                CU_ASSERT_EQUAL(event, exclusive ? GUARD_SLOT_EVENT_ENTRUSTED : GUARD_SLOT_EVENT_TOLD);
                CU_ASSERT_EQUAL(answer.state, PAUSE_OUTCOME_PAUSED);
                /* The scan did not take it until the deadline: it is told of a pause that it may only read in. */
                guard_slot_watch(slot, slot->end_usec);
                CU_ASSERT_EQUAL(slot->state, GUARD_SLOT_STATE_MISSED);
                CU_ASSERT_EQUAL(slot->pause.phase, PAUSE_PHASE_ENDING);
                CU_ASSERT_EQUAL(guard_slot_answer(slot, slot->end_usec, &answer, &event), !exclusive);
                guard_slot_free(slot);
        }
}

static void test_exclusive_runs(void)
{
        for (int exclusive = 0; exclusive < 2; exclusive++) {
                CLEANUP_CLOSE int other = -1;
                struct guard_slot *slot = new_slot(
                        exclusive ? GUARD_SLOT_STATE_ARMED : GUARD_SLOT_STATE_PAUSED, exclusive, &other);

                slot->pause.event_resumed = true;
                guard_slot_watch(slot, slot->pause.stop_sent_usec);
                CU_ASSERT_EQUAL(slot->state, exclusive ? GUARD_SLOT_STATE_KILLING : GUARD_SLOT_STATE_PAUSED);
                CU_ASSERT_EQUAL(slot->pause.phase, PAUSE_PHASE_PAUSED);
                CU_ASSERT_EQUAL(guard_slot_is_listening(slot), !exclusive);
                guard_slot_free(slot);
        }
}

/* Its QEMU does not answer to stop: the scan is told so, and the pause ends when the answer comes. */
static void test_hang(void)
{
        CLEANUP_CLOSE int other = -1;
        struct guard_slot *slot = new_slot(GUARD_SLOT_STATE_ASKED, false, &other);
        enum guard_slot_event event = GUARD_SLOT_EVENT_COUNT_;
        struct guard_answer answer;

        slot->pause.phase = PAUSE_PHASE_STOPPING;
        slot->pause.stopped_usec = 0;
        slot->end_usec = USEC_INFINITY;
        guard_slot_watch(slot, slot->answer_usec - 1);
        CU_ASSERT_EQUAL(slot->state, GUARD_SLOT_STATE_ASKED);
        CU_ASSERT_FALSE(guard_slot_answer(slot, slot->answer_usec - 1, &answer, &event));
        guard_slot_watch(slot, slot->answer_usec);
        CU_ASSERT_TRUE(slot->pause.end_wanted);
        CU_ASSERT_TRUE(guard_slot_answer(slot, slot->answer_usec, &answer, &event));
        CU_ASSERT_EQUAL(event, GUARD_SLOT_EVENT_ANSWERED);
        CU_ASSERT_EQUAL(answer.state, PAUSE_OUTCOME_FAILED);
        CU_ASSERT_PTR_NOT_NULL(strstr(answer.failure.text, "did not answer to stop"));
        guard_slot_free(slot);
}

/* Whether a scan learns that it was late, and by whose doing its guest runs. */
static void test_late(void)
{
        static const struct {
                enum guard_slot_state state;
                enum pause_outcome outcome, told;
                bool at_deadline, by_other;
        } rows[] = {
                {GUARD_SLOT_STATE_RESUMING, PAUSE_OUTCOME_RESUMED, PAUSE_OUTCOME_RESUMED, false, false},
                {GUARD_SLOT_STATE_TARDY, PAUSE_OUTCOME_RESUMED, PAUSE_OUTCOME_RESUMED, true, false},
                {GUARD_SLOT_STATE_TARDY, PAUSE_OUTCOME_RUNNING, PAUSE_OUTCOME_RESUMED, true, true},
                {GUARD_SLOT_STATE_RESUMING, PAUSE_OUTCOME_RUNNING, PAUSE_OUTCOME_RESUMED, false, true},
                {GUARD_SLOT_STATE_TARDY, PAUSE_OUTCOME_LEFT_MIGRATING, PAUSE_OUTCOME_LEFT, false, false},
                {GUARD_SLOT_STATE_TARDY, PAUSE_OUTCOME_FAILED, PAUSE_OUTCOME_FAILED, false, false},
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                CLEANUP_CLOSE int other = -1;
                struct guard_slot *slot = new_slot(rows[i].state, false, &other);
                enum guard_slot_event event = GUARD_SLOT_EVENT_COUNT_;
                struct guard_answer answer;

                slot->pause.phase = PAUSE_PHASE_DONE;
                slot->pause.outcome = rows[i].outcome;
                CU_ASSERT_TRUE(guard_slot_answer(slot, 0, &answer, &event));
                CU_ASSERT_EQUAL(answer.state, rows[i].told);
                CU_ASSERT_EQUAL(answer.resumed_at_deadline, rows[i].at_deadline);
                CU_ASSERT_EQUAL(answer.resumed_by_other, rows[i].by_other);
                slot->pause.outcome = PAUSE_OUTCOME_REFUSED;
                CU_ASSERT_FALSE(guard_slot_answer(slot, 0, &answer, &event));
                guard_slot_free(slot);
        }
}

static const struct unit_test tests[] = {
        {"every event in every state", test_every_event_in_every_state},
        {"the table keeps its promises", test_promises},
        {"the clock, and what the scan is told", test_watch_and_answer},
        {"an exclusive pause that somebody else ended", test_exclusive_runs},
        {"a QEMU that does not answer to stop", test_hang},
        {"a scan that is late", test_late},
};
UNIT_MAIN("pause/guard_slot", tests)
