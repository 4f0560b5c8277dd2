/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scan's side of a pause.
 *
 * The promise is that no guest stays paused because of us, whatever dies or hangs. Who sees to it:
 *
 *   the scan dies (any signal, abort, out of memory)   its guard sees the end of the control socket
 *   the scan is stopped, hangs, or is late             its guard keeps the deadline of every pause
 *   the guard dies or hangs                            the scan kills what is left of it, and resumes
 *   both die                                           `samepage resume --stale`, by lease files (stale.c)
 *   QEMU hangs                                         whoever waits for it goes on as long as it lives
 *
 * Only the guard sends stop and cont. The scan passes it a duplicate of the guest's connection: QEMU serves
 * one client per socket, so a guard that had to connect when the scan dies might find the place taken, while
 * a descriptor that it has keeps the place. While a guest is leased the guard alone reads that connection.
 *
 * The guard keeps the deadline without asking whether the scan still reads. The scan learns of it from the
 * answer to its RESUME, and drops what it read after that moment. That costs a late scan its work, but needs
 * no killing, and holds for a scan that is stopped, swapped out or starved alike.
 *
 * A caller that changes guest memory must finish before the guest runs again: what it read may have changed.
 * For such a pause (lease_pause_exclusive) the guard ends the scan before the guest runs, see guard_loop.c.
 *
 * The guard counts as hung when it does not answer a PING in time; it blocks in nothing but poll, so it can
 * be expected to. Taking over: the guard is killed (so that the two never speak on one connection at once),
 * then every guest that has a lease file of this guard gets a pause machine of this process's own, which asks
 * what a pause machine always asks before cont. A guest without a file was not paused by the guard, or is not
 * any more. Where the connection is broken too and the QEMU lives (the bridge to libvirt died with the
 * guard), the machine goes on over a new one, as `samepage resume --stale` does. Such a pause counts for
 * nothing: without a connection nobody tells that somebody else resumed the guest. A guest that is not
 * reached keeps its file, and its sentence says that it may be paused and what resumes it.
 *
 * Known gaps: events that the dead guard had read and not acted upon are lost to the one who takes over; if
 * somebody resumed the guest and paused it again just then, that pause is taken for ours. See pause.c for
 * what QMP does not show at all.
 */
#include "qmp/pause/lease.h"

#include "base/cleanup.h"
#include "base/passing.h"
#include "qmp/pause/guard_proto.h"
#include "qmp/pause/leasefile.h"
#include "qmp/pause/pause.h"
#include "qmp/pause/stale.h"
#include "qmp/virt/bridge.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PING_USEC (GUARD_ANSWER_USEC / 4)
/* What a killed guard gets to disappear. */
#define KILL_USEC (1 * USEC_PER_SEC)
/* For so long new connections are made, and so long each step of one may take. */
#define REACH_USEC      (10 * USEC_PER_SEC)
#define REACH_STEP_USEC (2 * USEC_PER_SEC)

/* Which leases are out */

static void hold(struct guard *guard, struct lease *lease)
{
        guard->held[guard->held_count++] = lease;
}

static void release(struct guard *guard, const struct lease *lease)
{
        for (size_t i = 0; i < guard->held_count; i++)
                if (guard->held[i] == lease) {
                        guard->held[i] = guard->held[--guard->held_count];
                        return;
                }
}

/* The lease ended: the scan's client may use the connection again. */
static void give_back(struct guard *guard, struct lease *lease)
{
        release(guard, lease);
        qmp_client_reclaim(lease->guest->client);
}

static struct lease *find_held(const struct guard *guard, uint32_t id)
{
        for (size_t i = 0; i < guard->held_count; i++)
                if (guard->held[i]->id == id)
                        return guard->held[i];
        return NULL;
}

/* Taking over from a guard that died or hangs */

static struct leasefile make_note(const struct guard *guard, const struct lease *lease)
{
        return (struct leasefile){
                .guest = lease->guest->name,
                .socket_path = lease->guest->socket_path,
                .qemu = {.pid = lease->guest->pid, .start_ticks = lease->guest->start_ticks},
                .scanner = guard->scanner,
                .guard = guard->self,
        };
}

/* A guest that the guard was asked about and that is not paused by it (any more). */
static void end_unpaused(const struct guard *guard, struct lease *lease)
{
        if (lease->state == PAUSE_OUTCOME_PAUSED) {
                lease->state = PAUSE_OUTCOME_RESUMED;
                lease->resumed_by_other = true;
        } else {
                lease->state = PAUSE_OUTCOME_FAILED;
                lease->failure = guard->lost_failure;
        }
}

/* A guest that the guard left paused, perhaps, and that this process did not get to resume. */
static void leave_paused(struct lease *lease, const char *why)
{
        lease->state = PAUSE_OUTCOME_FAILED;
        (void)failure_set(
                &lease->failure, 0,
                "it may be paused, and samepage resume --stale resumes it: its guard process is gone, and "
                "this one could not resume it: %s",
                why);
}

/* A guest that runs: whether the pause counts depends on what is known of it. */
static void end_running(const struct guard *guard, struct lease *lease, const struct pause *pause)
{
        const bool was_paused = lease->state == PAUSE_OUTCOME_PAUSED;

        lease->resumed_by_other = pause->outcome == PAUSE_OUTCOME_RUNNING;
        lease->state = was_paused && !lease->was_cut_off ? PAUSE_OUTCOME_RESUMED : PAUSE_OUTCOME_FAILED;
        if (!was_paused)
                lease->failure = guard->lost_failure;
        else if (lease->was_cut_off)
                (void)failure_set(
                        &lease->failure, 0,
                        "its guard process is gone and the connection to its QEMU broke while it was paused; "
                        "it runs again, reached over a new connection");
}

/* Puts what our own machine achieved into the lease. Returns whether the note is done with. */
static bool take_outcome(const struct guard *guard, struct lease *lease, const struct pause *pause)
{
        lease->cont_sent_usec = pause->cont_sent_usec;
        lease->resumed_usec = pause->resumed_usec;
        memcpy(lease->run_state, pause->run_state, sizeof(lease->run_state));
        lease->failure = pause->failure;
        if (pause->outcome == PAUSE_OUTCOME_RESUMED || pause->outcome == PAUSE_OUTCOME_RUNNING) {
                end_running(guard, lease, pause);
                return true;
        }
        lease->state = pause_outcome_simplify(pause->outcome);
        if (lease->state == PAUSE_OUTCOME_LEFT)
                return !pause_outcome_keeps_lease(pause->outcome);
        if (!qmp_guest_is_alive(lease->guest))
                return true;
        leave_paused(lease,
                     pause->outcome == PAUSE_OUTCOME_NONE ? "its QEMU does not answer" : pause->failure.text);
        return false;
}

static int adopt(struct pause *pause, const struct lease *lease)
{
        int fd = fcntl(qmp_client_get_fd(lease->guest->client), F_DUPFD_CLOEXEC, 3);

        return fd < 0 ? -errno : pause_adopt(pause, fd, NULL);
}

/*
 * Starts a machine of our own, of @machines, for each guest that the guard may have left paused; NULL for the
 * others.
 */
static void adopt_all(struct guard *guard, struct pause *machines, struct pause *pauses[])
{
        for (size_t i = 0; i < guard->held_count; i++) {
                struct leasefile note = make_note(guard, guard->held[i]);
                int r = 0;

                pauses[i] = NULL;
                if (leasefile_is_gone(guard->folder_fd, &note)) {
                        end_unpaused(guard, guard->held[i]);
                        continue;
                }
                r = machines ? adopt(&machines[i], guard->held[i]) : -ENOMEM;
                if (r < 0)
                        leave_paused(guard->held[i], strerror(-r));
                else
                        pauses[i] = &machines[i];
        }
}

static void finish_adopted(struct pause *pauses[], size_t count)
{
        struct pause *started[LEASE_GUESTS_MAX];
        size_t started_count = 0;

        for (size_t i = 0; i < count; i++)
                if (pauses[i])
                        started[started_count++] = pauses[i];
        pause_finish_all(started, started_count, clock_now_usec() + GUARD_STEP_USEC);
}

/*
 * Goes on over new connections where the old ones are broken and the QEMUs live. Connecting is done one by
 * one; the machines run side by side, as a domain may hang that libvirt answers for. Domains share one
 * bridge.
 */
static void reach_anew(const struct guard *guard, struct pause *pauses[], struct bridge **bridge)
{
        const uint64_t end_usec = clock_now_usec() + REACH_USEC;
        struct pause *reached[LEASE_GUESTS_MAX] = {NULL};

        for (size_t i = 0; i < guard->held_count && clock_now_usec() < end_usec; i++) {
                struct lease *lease = guard->held[i];
                struct leasefile note = make_note(guard, lease);

                if (!pauses[i] || pauses[i]->outcome != PAUSE_OUTCOME_FAILED ||
                    !qmp_guest_is_alive(lease->guest))
                        continue;
                lease->was_cut_off = true;
                /* QEMU serves one client per socket, and this process still holds the old one. */
                (void)shutdown(qmp_client_get_fd(lease->guest->client), SHUT_RDWR);
                pause_deinit(pauses[i]);
                stale_reach(&note, REACH_STEP_USEC, bridge, pauses[i]);
                reached[i] = pauses[i];
        }
        finish_adopted(reached, guard->held_count);
}

/* Kills the guard and resumes every guest that it held. */
static void take_over(struct guard *guard, const char *why)
{
        struct pause *pauses[LEASE_GUESTS_MAX];
        struct pause *machines = NULL;
        struct bridge *bridge = NULL;

        child_kill(&guard->child, KILL_USEC);
        guard->lost = true;
        (void)failure_set(&guard->lost_failure, 0,
                          "not paused: the guard process %s, and no guest is paused without one", why);
        machines = calloc(guard->held_count + 1, sizeof(*machines));
        adopt_all(guard, machines, pauses);
        finish_adopted(pauses, guard->held_count);
        reach_anew(guard, pauses, &bridge);
        for (size_t i = 0; i < guard->held_count; i++) {
                struct leasefile note = make_note(guard, guard->held[i]);

                if (!pauses[i])
                        continue;
                if (take_outcome(guard, guard->held[i], pauses[i]))
                        (void)leasefile_remove(guard->folder_fd, &note);
                pause_deinit(pauses[i]);
        }
        while (guard->held_count > 0)
                give_back(guard, guard->held[guard->held_count - 1]);
        bridge_free(bridge);
        free(machines);
}

/* Speaking with the guard */

static void take_answer(struct guard *guard, const struct guard_answer *answer)
{
        struct lease *lease = find_held(guard, answer->id);

        if (answer->operation == GUARD_OPERATION_PING || !lease)
                return;
        lease->state = answer->state;
        lease->stop_sent_usec = answer->stop_sent_usec;
        lease->stopped_usec = answer->stopped_usec;
        if (answer->state != PAUSE_OUTCOME_PAUSED) {
                lease->cont_sent_usec = answer->cont_sent_usec;
                lease->resumed_usec = answer->resumed_usec;
                lease->failure = answer->failure;
        }
        lease->resumed_at_deadline = answer->resumed_at_deadline;
        lease->resumed_by_other = answer->resumed_by_other;
        memcpy(lease->run_state, answer->run_state, sizeof(lease->run_state));
        lease->is_asked = false;
        if (answer->state != PAUSE_OUTCOME_PAUSED)
                give_back(guard, lease);
}

/* Takes what the guard has said. Returns whether it said anything; -EOWNERDEAD when it is gone. */
static int receive_answers(struct guard *guard)
{
        bool has_spoken = false;

        for (;;) {
                struct guard_answer answer;
                ssize_t got = recv(guard->child.control_fd, &answer, sizeof(answer), MSG_DONTWAIT);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                        return has_spoken;
                if (got != (ssize_t)sizeof(answer))
                        return -EOWNERDEAD;
                has_spoken = true;
                take_answer(guard, &answer);
        }
}

/* Sends a message with an optional descriptor; -EAGAIN when the guard's queue is full. */
static int send_request(const struct guard *guard, const struct guard_request *request, int fd)
{
        int r = passing_send(guard->child.control_fd, request, sizeof(*request), fd, MSG_DONTWAIT);

        return r == -ENOBUFS || r == -ETOOMANYREFS ? -EAGAIN : r;
}

/* Waits for something from the guard; 0 also when nothing came for a while. */
static int wait_for_guard(const struct guard *guard, short events)
{
        struct pollfd pollfds[] = {{.fd = guard->child.control_fd, .events = events},
                                   {.fd = guard->child.pidfd, .events = POLLIN}};

        if (poll(pollfds, ARRAY_SIZE(pollfds), (int)(PING_USEC / USEC_PER_MSEC)) < 0 && errno != EINTR)
                return -errno;
        return pollfds[1].revents & POLLIN && !(pollfds[0].revents & POLLIN) ? -EOWNERDEAD : 0;
}

/* Since when the guard has said nothing, and since when a PING waits for its answer (0: none does). */
struct silence {
        uint64_t since_usec;
        uint64_t pinged_usec;
};

/*
 * Waits for the guard and takes what it says; pings it when it is silent. NULL, or why the guard is lost.
 *
 * The clock is read before the socket: when it is this process that was stopped for a while, what the guard
 * said meanwhile is found before the silence is judged.
 */
static const char *listen_to_guard(struct guard *guard, struct silence *silence, short events)
{
        static const struct guard_request ping = {.operation = GUARD_OPERATION_PING};
        int r = wait_for_guard(guard, events);
        uint64_t now_usec = clock_now_usec();

        if (r == 0)
                r = receive_answers(guard);
        if (r < 0)
                return "died";
        if (r > 0) {
                *silence = (struct silence){.since_usec = now_usec};
        } else if (silence->pinged_usec) {
                if (now_usec - silence->pinged_usec >= GUARD_ANSWER_USEC)
                        return "did not answer in time and was ended";
        } else if (now_usec - silence->since_usec >= PING_USEC) {
                /* With its queue full, the guard has enough to answer. */
                (void)send_request(guard, &ping, -1);
                silence->pinged_usec = now_usec;
        }
        return NULL;
}

/* Sends, waiting for room. NULL, or why the guard is lost. */
static const char *send_patiently(struct guard *guard, const struct guard_request *request, int fd)
{
        struct silence silence = {.since_usec = clock_now_usec()};

        for (;;) {
                const char *why = NULL;
                int r = send_request(guard, request, fd);

                if (r == 0)
                        return NULL;
                if (r != -EAGAIN)
                        return "died";
                why = listen_to_guard(guard, &silence, POLLIN | POLLOUT);
                if (why)
                        return why;
        }
}

static bool is_any_asked(const struct guard *guard)
{
        for (size_t i = 0; i < guard->held_count; i++)
                if (guard->held[i]->is_asked)
                        return true;
        return false;
}

/* Waits until every lease that was asked for has its answer. NULL, or why the guard is lost. */
static const char *wait_for_answers(struct guard *guard)
{
        struct silence silence = {.since_usec = clock_now_usec()};
        const char *why = NULL;

        while (is_any_asked(guard) && !why)
                why = listen_to_guard(guard, &silence, POLLIN);
        return why;
}

/* The two operations */

static const char *ask_pause(struct guard *guard, struct lease *lease, uint64_t max_pause_usec,
                             bool is_exclusive)
{
        struct guard_request request = {
                .operation = GUARD_OPERATION_PAUSE,
                .id = ++guard->last_id,
                .max_pause_usec = max_pause_usec,
                .is_exclusive = is_exclusive,
                .qemu = {.pid = lease->guest->pid, .start_ticks = lease->guest->start_ticks},
        };
        struct qmp_guest *guest = lease->guest;

        *lease = (struct lease){.guest = guest, .id = request.id, .is_asked = true};
        (void)snprintf(request.guest, sizeof(request.guest), "%s", guest->name);
        (void)snprintf(request.socket_path, sizeof(request.socket_path), "%s", guest->socket_path);
        hold(guard, lease);
        return send_patiently(guard, &request, qmp_client_get_fd(guest->client));
}

static const char *ask_resume(struct guard *guard, struct lease *lease)
{
        struct guard_request request = {.operation = GUARD_OPERATION_RESUME, .id = lease->id};

        lease->is_asked = true;
        return send_patiently(guard, &request, -1);
}

static int fail_all(const struct guard *guard, struct lease *leases[], size_t count)
{
        for (size_t i = 0; i < count; i++) {
                leases[i]->state = PAUSE_OUTCOME_FAILED;
                leases[i]->failure = guard->lost_failure;
        }
        return -EOWNERDEAD;
}

static int pause_all(struct guard *guard, struct lease *leases[], size_t count, uint64_t max_pause_usec,
                     bool is_exclusive)
{
        const char *why = NULL;

        if (guard->lost)
                return fail_all(guard, leases, count);
        if (count > LEASE_GUESTS_MAX - guard->held_count)
                return -E2BIG;
        for (size_t i = 0; i < count; i++)
                *leases[i] = (struct lease){.guest = leases[i]->guest};
        for (size_t i = 0; i < count && !why; i++)
                why = ask_pause(guard, leases[i], max_pause_usec, is_exclusive);
        if (!why)
                why = wait_for_answers(guard);
        if (!why)
                return 0;
        take_over(guard, why);
        for (size_t i = 0; i < count; i++)
                if (leases[i]->state == PAUSE_OUTCOME_NONE)
                        (void)fail_all(guard, &leases[i], 1);
        return -EOWNERDEAD;
}

int lease_pause(struct guard *guard, struct lease *leases[], size_t count, uint64_t max_pause_usec)
{
        return pause_all(guard, leases, count, max_pause_usec, false);
}

int lease_pause_exclusive(struct guard *guard, struct lease *leases[], size_t count, uint64_t max_pause_usec)
{
        return pause_all(guard, leases, count, max_pause_usec, true);
}

int lease_resume(struct guard *guard, struct lease *leases[], size_t count)
{
        const char *why = NULL;

        if (guard->lost)
                return -EOWNERDEAD;
        for (size_t i = 0; i < count && !why; i++)
                if (leases[i]->state == PAUSE_OUTCOME_PAUSED)
                        why = ask_resume(guard, leases[i]);
        if (!why)
                why = wait_for_answers(guard);
        if (!why)
                return 0;
        take_over(guard, why);
        return -EOWNERDEAD;
}
