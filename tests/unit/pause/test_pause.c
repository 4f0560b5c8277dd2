/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pause machine against a scripted QEMU in the same thread: turn by turn, so that every order can be
 * played. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/wire.h"
#include "qmp/pause/pause.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct pause machine;
static int other = -1;

/* The scripted QEMU. */
static const char *run_state;
static const char *migration;  /* NULL: query-migrate has no status */
static const char *refused;    /* a command that is answered with an error */
static const char *unanswered; /* a command that is not answered at all */
static char heard[4096];

static void say(const char *text)
{
        CU_ASSERT_EQUAL_FATAL(write(other, text, strlen(text)), (ssize_t)strlen(text));
}

static void reset(void)
{
        run_state = "running";
        migration = NULL;
        refused = NULL;
        unanswered = NULL;
        heard[0] = '\0';
}

static int make_pair(void)
{
        int pair[2];

        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        other = pair[1];
        return pair[0];
}

static void end(void)
{
        pause_deinit(&machine);
        close_fd(&other);
}

static void answer(const char *command, const char *id)
{
        char line[256];

        if (unanswered && strcmp(command, unanswered) == 0)
                return;
        if (refused && strcmp(command, refused) == 0) {
                (void)snprintf(line, sizeof(line),
                               "{\"id\":\"%s\",\"error\":{\"class\":\"G\",\"desc\":\"why\"}}\n", id);
        } else if (strcmp(command, "query-status") == 0) {
                (void)snprintf(line, sizeof(line), "{\"id\":\"%s\",\"return\":{\"status\":\"%s\"}}\n", id,
                               run_state);
        } else if (strcmp(command, "query-migrate") == 0 && migration) {
                (void)snprintf(line, sizeof(line), "{\"id\":\"%s\",\"return\":{\"status\":\"%s\"}}\n", id,
                               migration);
        } else {
                if (strcmp(command, "stop") == 0 && strcmp(run_state, "running") == 0) {
                        run_state = "paused";
                        say("{\"event\":\"STOP\"}\n");
                }
                if (strcmp(command, "cont") == 0) {
                        run_state = "running";
                        say("{\"event\":\"RESUME\"}\n");
                }
                (void)snprintf(line, sizeof(line), "{\"id\":\"%s\",\"return\":{}}\n", id);
        }
        say(line);
}

/* Answers every command that was sent so far; their names go to @heard. */
static bool serve(void)
{
        char text[4096];
        ssize_t got = recv(other, text, sizeof(text) - 1, MSG_DONTWAIT);
        char *rest = NULL;

        if (got <= 0)
                return false;
        text[got] = '\0';
        for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
                char command[64];
                char id[64];

                if (*line == '\xff')
                        line++;
                CU_ASSERT_EQUAL_FATAL(
                        sscanf(line, "{\"execute\":\"%63[^\"]\",\"id\":\"%63[^\"]\"}", command, id), 2);
                (void)snprintf(heard + strlen(heard), sizeof(heard) - strlen(heard), "%s ", command);
                answer(command, id);
        }
        return true;
}

/* Lets both sides speak until neither has anything to say. */
static void play(void)
{
        bool more = true;

        while (more) {
                more = pause_process(&machine);
                more |= serve();
        }
        (void)pause_process(&machine);
}

static void begin(void)
{
        CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, make_pair(), NULL), 0);
        play();
}

/* Up to the phase PAUSED. */
static void begin_paused(void)
{
        reset();
        begin();
        CU_ASSERT_EQUAL_FATAL(machine.phase, PAUSE_PHASE_READY);
        pause_stop(&machine);
        play();
        CU_ASSERT_EQUAL_FATAL(machine.phase, PAUSE_PHASE_PAUSED);
        heard[0] = '\0';
}

static void test_whole(void)
{
        reset();
        begin();
        CU_ASSERT_STRING_EQUAL(heard, "query-status query-migrate ");
        pause_stop(&machine);
        play();
        CU_ASSERT_EQUAL(machine.phase, PAUSE_PHASE_PAUSED);
        CU_ASSERT(machine.stop_sent_usec && machine.stopped_usec >= machine.stop_sent_usec);
        pause_end(&machine);
        play();
        CU_ASSERT_STRING_EQUAL(heard, "query-status query-migrate stop query-status query-migrate cont ");
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_RESUMED);
        CU_ASSERT(machine.cont_sent_usec >= machine.stopped_usec);
        CU_ASSERT(machine.resumed_usec >= machine.cont_sent_usec);
        CU_ASSERT_STRING_EQUAL(run_state, "running");
        end();
}

/* All run states of QEMU 11 and one that it may get. */
static const char *const run_states[] = {
        "running",     "debug",     "inmigrate",      "internal-error", "io-error",  "paused",
        "postmigrate", "prelaunch", "finish-migrate", "restore-vm",     "shutdown",  "suspended",
        "save-vm",     "watchdog",  "guest-panicked", "colo",           "unheard-of"};

static const struct {
        const char *status;
        bool is_over, is_undone;
} migrations[] = {
        {NULL, true, false},
        {"none", true, false},
        {"completed", true, false},
        {"cancelled", true, true},
        {"failed", true, true},
        {"setup", false, false},
        {"cancelling", false, false},
        {"active", false, false},
        {"postcopy-active", false, false},
        {"postcopy-device", false, false},
        {"postcopy-paused", false, false},
        {"postcopy-recover", false, false},
        {"postcopy-recover-setup", false, false},
        {"colo", false, false},
        {"pre-switchover", false, false},
        {"device", false, false},
        {"wait-unplug", false, false},
        {"unheard-of", false, false},
};

/* Only a guest that runs and does not migrate is stopped. */
static void test_begin_table(void)
{
        for (size_t i = 0; i < ARRAY_SIZE(run_states); i++)
                for (size_t j = 0; j < ARRAY_SIZE(migrations); j++) {
                        reset();
                        run_state = run_states[i];
                        migration = migrations[j].status;
                        begin();
                        CU_ASSERT_PTR_NULL(strstr(heard, "stop"));
                        if (i == 0 && migrations[j].is_over) {
                                CU_ASSERT_EQUAL(machine.phase, PAUSE_PHASE_READY);
                        } else {
                                CU_ASSERT_EQUAL(machine.outcome,
                                                i == 0 ? PAUSE_OUTCOME_MIGRATING : PAUSE_OUTCOME_NOT_RUNNING);
                                CU_ASSERT(machine.failure.text[0]);
                        }
                        end();
                }
}

static enum pause_outcome expected_end(const char *state, size_t j, bool event)
{
        if (strcmp(state, "running") == 0)
                return PAUSE_OUTCOME_RUNNING;
        if (!migrations[j].is_over)
                return PAUSE_OUTCOME_LEFT_MIGRATING;
        if (strcmp(state, "paused") != 0)
                return PAUSE_OUTCOME_LEFT;
        return event && !migrations[j].is_undone ? PAUSE_OUTCOME_LEFT : PAUSE_OUTCOME_RESUMED;
}

/* Only a guest that is paused, and that no migration took over, is resumed. */
static void test_end_table(void)
{
        for (size_t i = 0; i < ARRAY_SIZE(run_states); i++)
                for (size_t j = 0; j < ARRAY_SIZE(migrations); j++)
                        for (int event = 0; event < 2; event++) {
                                enum pause_outcome expected = expected_end(run_states[i], j, event);

                                begin_paused();
                                if (event)
                                        say("{\"event\":\"MIGRATION\",\"data\":{\"status\":\"setup\"}}\n");
                                run_state = run_states[i];
                                migration = migrations[j].status;
                                play();
                                pause_end(&machine);
                                play();
                                CU_ASSERT_EQUAL(machine.outcome, expected);
                                CU_ASSERT_EQUAL(strstr(heard, "cont") != NULL,
                                                expected == PAUSE_OUTCOME_RESUMED);
                                end();
                        }
}

static void test_resumed_by_other(void)
{
        begin_paused();
        say("{\"event\":\"RESUME\"}\n{\"event\":\"STOP\"}\n");
        play();
        CU_ASSERT_EQUAL(machine.phase, PAUSE_PHASE_PAUSED);
        pause_end(&machine);
        play();
        /* It is paused again, but that is somebody else's pause. */
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_RUNNING);
        CU_ASSERT_STRING_EQUAL(heard, "");
        CU_ASSERT(machine.resumed_usec);
        end();
        begin_paused();
        unanswered = "query-status";
        pause_end(&machine);
        play();
        say("{\"event\":\"RESUME\"}\n");
        CU_ASSERT_EQUAL(machine.phase, PAUSE_PHASE_ENDING);
        play();
        CU_ASSERT_PTR_NULL(strstr(heard, "cont"));
        end();
}

/* A RESUME from before our stop is no news. */
static void test_old_events(void)
{
        reset();
        begin();
        say("{\"event\":\"RESUME\"}\n{\"event\":\"MIGRATION\",\"data\":{\"status\":\"completed\"}}\n");
        pause_stop(&machine);
        play();
        pause_end(&machine);
        play();
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_RESUMED);
        end();
}

static void test_migration_that_fails_later(void)
{
        begin_paused();
        say("{\"event\":\"MIGRATION\",\"data\":{\"status\":\"setup\"}}\n");
        migration = "active";
        pause_end(&machine);
        play();
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_LEFT_MIGRATING);
        CU_ASSERT_PTR_NOT_NULL(strstr(machine.failure.text, "a migration began meanwhile (active)"));
        migration = "failed";
        pause_end(&machine);
        play();
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_RESUMED);
        end();
}

static void test_refusals(void)
{
        reset();
        refused = "query-status";
        begin();
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_FAILED);
        end();
        reset();
        refused = "stop";
        begin();
        pause_stop(&machine);
        play();
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_NOT_STOPPED);
        CU_ASSERT_PTR_NOT_NULL(strstr(machine.failure.text, "QEMU refused to stop it: why"));
        end();
        begin_paused();
        refused = "cont";
        pause_end(&machine);
        play();
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_REFUSED);
        refused = NULL;
        pause_end(&machine);
        play();
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_RESUMED);
        end();
}

/* The stop is not answered until after the pause is to end: then it ends at once. */
static void test_late_stop(void)
{
        char line[128];

        reset();
        begin();
        unanswered = "stop";
        pause_stop(&machine);
        play();
        CU_ASSERT_EQUAL(machine.phase, PAUSE_PHASE_STOPPING);
        pause_end(&machine);
        play();
        CU_ASSERT_EQUAL(machine.phase, PAUSE_PHASE_STOPPING);
        run_state = "paused";
        (void)snprintf(line, sizeof(line), "{\"id\":\"samepage-%d-%u\",\"return\":{}}\n", (int)getpid(),
                       machine.stop.id);
        say(line);
        play();
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_RESUMED);
        end();
}

static void test_given_up(void)
{
        reset();
        unanswered = "query-migrate";
        begin();
        CU_ASSERT_EQUAL(machine.phase, PAUSE_PHASE_CHECKING);
        pause_end(&machine);
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_NOT_STOPPED);
        play();
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_NOT_STOPPED);
        CU_ASSERT_PTR_NULL(strstr(heard, "stop"));
        end();
}

static void test_foreign_replies(void)
{
        reset();
        unanswered = "query-status";
        begin();
        say("{\"return\":{\"status\":\"running\"},\"id\":1}\n{\"return\":{\"status\":\"running\"}}\n"
            "{\"return\":{\"status\":\"running\"},\"id\":\"samepage-1-1\"}\n{\"error\":{\"desc\":\"x\"}}\n{}"
            "\n");
        play();
        CU_ASSERT_EQUAL(machine.phase, PAUSE_PHASE_CHECKING);
        end();
}

static void test_garbage_and_death(void)
{
        static const char *const texts[] = {"\x01garbage\n", "[]\n", "{\"a\":", ""};

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                begin_paused();
                say(texts[i]);
                if (i >= 2)
                        close_fd(&other);
                (void)pause_process(&machine);
                CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_FAILED);
                CU_ASSERT(machine.failure.text[0]);
                pause_end(&machine);
                CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_FAILED);
                end();
        }
        reset();
        run_state = "\",\"x\":\"";
        begin();
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_NOT_RUNNING);
        end();
}

static void test_flood_is_bounded(void)
{
        static const char event[] = "{\"event\":\"X\"}\n";
        static char flood[1000 * sizeof(event)];
        int turns = 0;

        for (int i = 0; i < 1000; i++)
                memcpy(flood + (size_t)i * strlen(event), event, sizeof(event));
        begin_paused();
        say(flood);
        while (pause_process(&machine))
                turns++;
        CU_ASSERT(turns >= 30);
        CU_ASSERT_EQUAL(machine.phase, PAUSE_PHASE_PAUSED);
        end();
}

static void test_adopt(void)
{
        static const char *const states[] = {"paused", "running", "postmigrate"};
        static const enum pause_outcome outcomes[] = {PAUSE_OUTCOME_RESUMED, PAUSE_OUTCOME_RUNNING,
                                                      PAUSE_OUTCOME_LEFT};

        for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
                reset();
                run_state = states[i];
                CU_ASSERT_EQUAL_FATAL(pause_adopt(&machine, make_pair(), NULL), 0);
                say("half\"}\n{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error\"}}\n");
                play();
                CU_ASSERT_EQUAL(machine.outcome, outcomes[i]);
                end();
        }
}

static void test_finish_all(void)
{
        struct pause *pauses[] = {&machine};
        uint64_t start_usec = clock_now_usec();

        begin_paused();
        pause_end(&machine);
        pause_finish_all(pauses, 1, start_usec + 20000);
        CU_ASSERT_EQUAL(machine.phase, PAUSE_PHASE_ENDING);
        CU_ASSERT(clock_now_usec() >= start_usec + 20000);
        CU_ASSERT_TRUE(serve());
        pause_finish_all(pauses, 1, clock_now_usec() + 20000);
        CU_ASSERT_EQUAL(machine.phase, PAUSE_PHASE_RESUMING);
        CU_ASSERT_TRUE(serve());
        pause_finish_all(pauses, 1, clock_now_usec() + 1000000);
        CU_ASSERT_EQUAL(machine.outcome, PAUSE_OUTCOME_RESUMED);
        end();
}

/* What `samepage resume` prints of each outcome is part of its format. */
static void test_outcomes(void)
{
        static const char *const printed[] = {
                [PAUSE_OUTCOME_NONE] = "failed",
                [PAUSE_OUTCOME_PAUSED] = "paused",
                [PAUSE_OUTCOME_RESUMED] = "resumed",
                [PAUSE_OUTCOME_RUNNING] = "running",
                [PAUSE_OUTCOME_NOT_RUNNING] = "not-running",
                [PAUSE_OUTCOME_MIGRATING] = "migrating",
                [PAUSE_OUTCOME_HELD] = "held",
                [PAUSE_OUTCOME_NOT_STOPPED] = "failed",
                [PAUSE_OUTCOME_LEFT] = "left",
                [PAUSE_OUTCOME_LEFT_MIGRATING] = "left",
                [PAUSE_OUTCOME_REFUSED] = "failed",
                [PAUSE_OUTCOME_GONE] = "gone",
                [PAUSE_OUTCOME_FAILED] = "failed",
        };

        for (enum pause_outcome outcome = 0; outcome < PAUSE_OUTCOME_COUNT_; outcome++) {
                const enum pause_outcome simple = pause_outcome_simplify(outcome);

                CU_ASSERT_STRING_EQUAL(pause_outcome_to_string(simple), printed[outcome]);
                CU_ASSERT_EQUAL(pause_outcome_simplify(simple), simple);
                /* What pause_end() tries again is not over: its file stays. */
                CU_ASSERT(!pause_outcome_is_retried(outcome) || pause_outcome_keeps_lease(outcome));
        }
        CU_ASSERT_TRUE(pause_outcome_keeps_lease(PAUSE_OUTCOME_NONE));
        CU_ASSERT_TRUE(pause_outcome_keeps_lease(PAUSE_OUTCOME_FAILED));
        CU_ASSERT_FALSE(pause_outcome_keeps_lease(PAUSE_OUTCOME_RESUMED));
        CU_ASSERT_FALSE(pause_outcome_keeps_lease(PAUSE_OUTCOME_RUNNING));
        CU_ASSERT_FALSE(pause_outcome_keeps_lease(PAUSE_OUTCOME_LEFT));
}

static const struct unit_test tests[] = {
        {"outcomes", test_outcomes},
        {"from the first question to cont", test_whole},
        {"every run state and migration before stop", test_begin_table},
        {"every run state and migration before cont", test_end_table},
        {"somebody else resumed it", test_resumed_by_other},
        {"events from before the stop", test_old_events},
        {"a migration that fails in the end", test_migration_that_fails_later},
        {"QEMU refuses", test_refusals},
        {"stop is answered late", test_late_stop},
        {"given up before stop", test_given_up},
        {"replies to others", test_foreign_replies},
        {"garbage and death", test_garbage_and_death},
        {"a flood of events is taken in turns", test_flood_is_bounded},
        {"taking over", test_adopt},
        {"waiting for several", test_finish_all},
};
UNIT_MAIN("pause/pause", tests)
