/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One guest, from "may I pause it" to "it runs again".
 *
 *   CHECKING ──► READY ──► STOPPING ──► PAUSED ──► ENDING ──► RESUMING ──► DONE
 *
 * Before stop, query-status must say `running`, and only that: a guest in `io-error`, `guest-panicked`,
 * `prelaunch` and so on is in somebody's care, and cont would bring it to life. query-migrate must show no
 * migration that is set up or under way: the far end would inherit the pause with nobody to end it.
 *
 * Before cont, the machine asks the same two questions again, and all of this must hold:
 *  - The state is exactly `paused`.
 *  - No RESUME event came since our stop was answered. Such an event says that somebody resumed the guest; if
 *    it is paused now, that pause is theirs.
 *  - No migration is under way, and none began and ran to its end since: cont in `postmigrate` succeeds and
 *    makes a second living copy of the guest. A migration that began and was undone leaves the guest to us.
 * The machine sends the two questions together: that costs one round trip, not two.
 *
 * QMP does not show the following, and so nothing here handles it:
 *  - Somebody's `stop` while we hold the guest paused gives no event and changes nothing. We resume the guest
 *    when we are done, and that stop is lost. (libvirt keeps its own list of reasons; there its API is used.)
 *  - Somebody's `stop` in the microseconds between the reply to query-status and our stop: the same.
 *  - A migration that begins in those microseconds meets a paused guest. The machine notices it before cont.
 *  - A migration that begins between the last question and cont meets that cont. QEMU allows this, and it is
 *    what the operator asked for. It could only do harm if that migration also completed within those
 *    microseconds.
 *
 * Nothing here waits. The caller decides what happens at which deadline, see guard_loop.c. Commands carry ids
 * that are unique to this process and machine: this tells their replies from those to commands of the
 * connection's earlier user. A turn takes a bounded number of lines, so that a QEMU that floods us keeps no
 * other guest waiting.
 */
#include "qmp/pause/pause.h"

#include "base/clock.h"
#include "base/json.h"
#include "qmp/runstate.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINES_PER_TURN 32
#define IDS_PER_PAUSE  1000000U
#define ID_BYTES       48
/* QEMU's JSON parser drops what it has of a command when it meets a byte that no JSON text contains; all
 * versions do so for 0xFF (qmp-spec, "Forcing the JSON parser into known-good state"). */
#define PARSER_RESET "\xff"

static void finish(struct pause *pause, enum pause_outcome outcome)
{
        pause->phase = PAUSE_PHASE_DONE;
        pause->outcome = outcome;
}

static void fail(struct pause *pause, int error, const char *what)
{
        if (!*pause->failure.text || error != 0)
                (void)failure_set(&pause->failure, error, "%s", what);
        finish(pause, PAUSE_OUTCOME_FAILED);
}

static void flush(struct pause *pause)
{
        int r = wire_flush(&pause->wire, NULL);

        if (r == -EPIPE || r == -ECONNRESET)
                fail(pause, r, "its QEMU closed the connection");
        else if (r < 0)
                fail(pause, r, "cannot write to the socket of its QEMU");
}

static void format_id(char id[ID_BYTES], unsigned int number)
{
        (void)snprintf(id, ID_BYTES, "samepage-%d-%u", (int)getpid(), number);
}

static void send_command(struct pause *pause, struct pause_command *command, const char *name)
{
        char id[ID_BYTES];
        char line[128];
        int length = 0;

        *command = (struct pause_command){.id = ++pause->sequence};
        format_id(id, command->id);
        length = snprintf(line, sizeof(line), "{\"execute\":\"%s\",\"id\":\"%s\"}\n", name, id);
        if (wire_queue_bytes(&pause->wire, line, (size_t)length) < 0)
                fail(pause, -ENOBUFS, "its QEMU does not read from its socket");
}

static void ask(struct pause *pause)
{
        pause->run_state[0] = '\0';
        pause->migration[0] = '\0';
        send_command(pause, &pause->status, "query-status");
        send_command(pause, &pause->migrate, "query-migrate");
        flush(pause);
}

static int init(struct pause *pause, int fd, struct failure *failure)
{
        /* Ids must not repeat on one connection: a later machine of this process goes on counting. */
        static unsigned int sequence;
        int r = 0;

        *pause = (struct pause){.sequence = __atomic_fetch_add(&sequence, IDS_PER_PAUSE, __ATOMIC_RELAXED)};
        r = wire_init(&pause->wire, fd, PAUSE_LINE_MAX_BYTES);
        if (r < 0)
                return failure_errno(failure, r, "cannot use the socket");
        /* The connection's earlier user may have read half of an event. */
        wire_resync(&pause->wire);
        return 0;
}

int pause_begin(struct pause *pause, int fd, struct failure *failure)
{
        int r = init(pause, fd, failure);

        if (r < 0)
                return r;
        pause->phase = PAUSE_PHASE_CHECKING;
        ask(pause);
        return 0;
}

int pause_adopt(struct pause *pause, int fd, struct failure *failure)
{
        int r = init(pause, fd, failure);

        if (r < 0)
                return r;
        pause->phase = PAUSE_PHASE_ENDING;
        if (wire_queue_bytes(&pause->wire, PARSER_RESET, strlen(PARSER_RESET)) < 0)
                fail(pause, -ENOMEM, "not enough memory");
        else
                ask(pause);
        return 0;
}

void pause_deinit(struct pause *pause)
{
        wire_deinit(&pause->wire);
}

void pause_stop(struct pause *pause)
{
        assert(pause->phase == PAUSE_PHASE_READY);
        pause->phase = PAUSE_PHASE_STOPPING;
        pause->stop_sent_usec = clock_now_usec();
        send_command(pause, &pause->stop, "stop");
        flush(pause);
}

void pause_give_up(struct pause *pause, enum pause_outcome outcome, const struct failure *failure)
{
        assert(pause->phase == PAUSE_PHASE_READY);
        pause->failure = *failure;
        finish(pause, outcome);
}

static void start_ending(struct pause *pause)
{
        if (pause->event_resumed) {
                finish(pause, PAUSE_OUTCOME_RUNNING);
                return;
        }
        pause->phase = PAUSE_PHASE_ENDING;
        pause->outcome = PAUSE_OUTCOME_NONE;
        pause->failure = (struct failure){0};
        ask(pause);
}

void pause_end(struct pause *pause)
{
        switch (pause->phase) {
        case PAUSE_PHASE_CHECKING:
        case PAUSE_PHASE_READY:
                (void)failure_set(&pause->failure, 0, "it was not paused: its QEMU did not answer in time");
                finish(pause, PAUSE_OUTCOME_NOT_STOPPED);
                break;
        case PAUSE_PHASE_STOPPING:
                pause->end_wanted = true;
                break;
        case PAUSE_PHASE_PAUSED:
                start_ending(pause);
                break;
        case PAUSE_PHASE_DONE:
                if (pause_outcome_is_retried(pause->outcome))
                        start_ending(pause);
                break;
        case PAUSE_PHASE_ENDING:
        case PAUSE_PHASE_RESUMING:
                break;
        }
}

/* What both answers mean before the stop. */
static void judge_begin(struct pause *pause)
{
        if (strcmp(pause->run_state, "running") != 0) {
                (void)failure_set(&pause->failure, 0, "it is not running but in the state \"%s\"",
                                  pause->run_state);
                finish(pause, PAUSE_OUTCOME_NOT_RUNNING);
        } else if (!runstate_migration_is_over(pause->migration)) {
                (void)failure_set(&pause->failure, 0, "a migration of it is under way (%s)",
                                  pause->migration);
                finish(pause, PAUSE_OUTCOME_MIGRATING);
        } else {
                pause->phase = PAUSE_PHASE_READY;
        }
}

/* What both answers mean before cont. */
static void judge_end(struct pause *pause)
{
        if (pause->event_resumed || strcmp(pause->run_state, "running") == 0) {
                if (!pause->resumed_usec)
                        pause->resumed_usec = clock_now_usec();
                finish(pause, PAUSE_OUTCOME_RUNNING);
        } else if (!runstate_migration_is_over(pause->migration)) {
                (void)failure_set(
                        &pause->failure, 0,
                        "left paused: a migration began meanwhile (%s), and resuming it now could make a "
                        "second copy of it run",
                        pause->migration);
                finish(pause, PAUSE_OUTCOME_LEFT_MIGRATING);
        } else if (strcmp(pause->run_state, "paused") != 0) {
                (void)failure_set(&pause->failure, 0,
                                  "left alone: it is no longer paused but in the state \"%s\"",
                                  pause->run_state);
                finish(pause, PAUSE_OUTCOME_LEFT);
        } else if (pause->event_migrating && !runstate_migration_is_undone(pause->migration)) {
                (void)failure_set(&pause->failure, 0, "left alone: it was migrated away meanwhile");
                finish(pause, PAUSE_OUTCOME_LEFT);
        } else {
                pause->phase = PAUSE_PHASE_RESUMING;
                pause->cont_sent_usec = clock_now_usec();
                send_command(pause, &pause->cont, "cont");
                flush(pause);
        }
}

static bool take_answer(struct pause_command *command, const char *id)
{
        char expected[ID_BYTES];

        if (command->id == 0 || command->answered)
                return false;
        format_id(expected, command->id);
        if (strcmp(id, expected) != 0)
                return false;
        command->answered = true;
        return true;
}

static const char *error_text(struct json_object *reply)
{
        struct json_object *error = NULL;
        const char *text = NULL;

        if (json_object_object_get_ex(reply, "return", NULL))
                return NULL;
        (void)json_object_object_get_ex(reply, "error", &error);
        text = json_get_text(error, "desc");
        return text ? text : "no reason given";
}

/* Keeps a state that QEMU told. One too long to be a name of QEMU's is cut, and so matches none. */
static void keep_state(char state[RUN_STATE_BYTES], const char *text)
{
        (void)snprintf(state, RUN_STATE_BYTES, "%s", text);
}

static void take_query(struct pause *pause, struct json_object *reply, char state[RUN_STATE_BYTES],
                       const char *command)
{
        struct json_object *value = NULL;
        const char *error = error_text(reply);
        const char *text = NULL;

        if (error) {
                (void)failure_set(&pause->failure, 0, "QEMU refused %s: %s", command, error);
                fail(pause, 0, "");
                return;
        }
        (void)json_object_object_get_ex(reply, "return", &value);
        text = json_get_text(value, "status");
        if (text)
                keep_state(state, text);
        else if (state == pause->run_state)
                fail(pause, -EBADMSG, "the reply of its QEMU to query-status has no status");
}

static void take_stop(struct pause *pause, struct json_object *reply)
{
        const char *error = error_text(reply);

        if (error) {
                (void)failure_set(&pause->failure, 0, "it was not paused: QEMU refused to stop it: %s",
                                  error);
                finish(pause, PAUSE_OUTCOME_NOT_STOPPED);
                return;
        }
        pause->stopped_usec = clock_now_usec();
        pause->phase = PAUSE_PHASE_PAUSED;
        if (pause->end_wanted)
                start_ending(pause);
}

static void take_cont(struct pause *pause, struct json_object *reply)
{
        const char *error = error_text(reply);

        if (error) {
                (void)failure_set(&pause->failure, 0, "it is still paused: QEMU refused to resume it: %s",
                                  error);
                finish(pause, PAUSE_OUTCOME_REFUSED);
                return;
        }
        pause->resumed_usec = clock_now_usec();
        finish(pause, PAUSE_OUTCOME_RESUMED);
}

static void take_reply(struct pause *pause, const char *id, struct json_object *reply)
{
        if (take_answer(&pause->status, id))
                take_query(pause, reply, pause->run_state, "query-status");
        else if (take_answer(&pause->migrate, id))
                take_query(pause, reply, pause->migration, "query-migrate");
        else if (take_answer(&pause->stop, id))
                take_stop(pause, reply);
        else if (take_answer(&pause->cont, id))
                take_cont(pause, reply);
        else
                return;
        if (!pause->status.answered || !pause->migrate.answered)
                return;
        if (pause->phase == PAUSE_PHASE_CHECKING)
                judge_begin(pause);
        else if (pause->phase == PAUSE_PHASE_ENDING)
                judge_end(pause);
}

/* Whether our stop took effect and we have not sent cont: what happens now is somebody else's doing. */
static bool is_holding(const struct pause *pause)
{
        return pause->phase == PAUSE_PHASE_PAUSED || pause->phase == PAUSE_PHASE_ENDING ||
               (pause->phase == PAUSE_PHASE_DONE && pause_outcome_is_retried(pause->outcome));
}

static void take_event(struct pause *pause, const char *event, struct json_object *object)
{
        struct json_object *data = NULL;
        const char *status = NULL;

        if (strcmp(event, "RESUME") == 0 && is_holding(pause)) {
                pause->event_resumed = true;
                if (!pause->resumed_usec)
                        pause->resumed_usec = clock_now_usec();
        } else if (strcmp(event, "MIGRATION") == 0 && pause->stop_sent_usec) {
                (void)json_object_object_get_ex(object, "data", &data);
                status = json_get_text(data, "status");
                pause->event_migrating |= !runstate_migration_is_over(status ? status : "unknown");
        }
}

/* Whether nothing that the connection says can matter any more. */
static bool is_final(const struct pause *pause)
{
        return pause->phase == PAUSE_PHASE_DONE && !pause_outcome_is_retried(pause->outcome);
}

static void take_object(struct pause *pause, struct json_object *object)
{
        const char *event = json_get_text(object, "event");
        const char *id = json_get_text(object, "id");

        if (event)
                take_event(pause, event, object);
        else if (id)
                take_reply(pause, id, object);
}

bool pause_process(struct pause *pause)
{
        if (!is_final(pause))
                flush(pause);
        for (int lines = 0; lines < LINES_PER_TURN; lines++) {
                struct json_object *object = NULL;
                int r = 0;

                if (is_final(pause))
                        return false;
                r = wire_next(&pause->wire, &object, &pause->failure);
                if (r == WIRE_E_NOTHING)
                        return false;
                if (r == WIRE_E_END)
                        fail(pause, -ECONNRESET, "its QEMU closed the connection");
                else if (r < 0)
                        fail(pause, 0, "cannot read from the socket of its QEMU");
                else
                        take_object(pause, object);
                json_object_put(object);
        }
        return true;
}

short pause_poll_events(const struct pause *pause)
{
        return (short)(wire_has_output(&pause->wire) ? POLLIN | POLLOUT : POLLIN);
}

void pause_finish_all(struct pause *pauses[], size_t count, uint64_t deadline_usec)
{
        struct pollfd pollfds[PAUSE_FINISH_MAX];

        assert(count <= PAUSE_FINISH_MAX);
        for (;;) {
                nfds_t waiting = 0;
                bool more = false;

                for (size_t i = 0; i < count; i++) {
                        if (pauses[i]->phase != PAUSE_PHASE_DONE)
                                more |= pause_process(pauses[i]);
                        if (pauses[i]->phase != PAUSE_PHASE_DONE)
                                pollfds[waiting++] = (struct pollfd){.fd = pauses[i]->wire.fd,
                                                                     .events = pause_poll_events(pauses[i])};
                }
                if (waiting == 0 || clock_now_usec() >= deadline_usec)
                        return;
                if (!more && poll(pollfds, waiting, clock_poll_timeout_msec(deadline_usec)) < 0 &&
                    errno != EINTR)
                        return;
        }
}
