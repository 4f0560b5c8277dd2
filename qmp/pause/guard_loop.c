/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guard does all day: one loop over the control socket, the connections of the guests, and the
 * nearest deadline.
 *
 * Each guest has a slot with its own pause machine, and goes on independently: a QEMU that hangs keeps no
 * other waiting, and the loop itself never waits for anybody but in poll. A slot ends a pause for one of
 * three reasons: the scan asks (RESUME), stop_sent + max_pause has come, or the scan is gone. It does not
 * need to know whether the scan hangs, is stopped, or is merely late: in all cases the guest runs, and a scan
 * that lives learns from the answer to its RESUME that it was late, and from when on what it read does not
 * count.
 *
 * An exclusive pause (lease_pause_exclusive) is one under which the scan changes the guest's memory. There the scan has to be
 * dead before the guest runs, unless it asked for it: it may have been stopped between looking at a page and changing
 * it, and would lose what the guest wrote in between. So it is killed, and its pidfd waited for, which becomes readable
 * when the last of its threads has left the kernel; the end of the control socket alone would not tell. That is so at
 * the deadline, when the connection breaks (the guest is then resumed over another), when the scan closes the socket
 * with the pause unfinished, and at once when somebody else has resumed the guest. A scan that was not told of the pause
 * yet is not told of it then, and lives. It makes the pause longer by the
 * time that a process takes to die; one that the kernel holds in an uninterruptible wait holds the guest with it.
 *
 * The order of things on disk: the lease file is written after the guest was found fit to be paused and
 * before stop is sent, and removed after it runs (or is somebody else's again). Whenever the guard dies, a
 * guest that could have been paused by it therefore has a file.
 *
 * When QEMU does not answer, the scan is told so after GUARD_STEP_USEC, and the slot stays: once a stop was
 * sent it waits for as long as that QEMU lives, then does what remains to be done. A migration that began
 * under the pause, and a cont that QEMU refused, are tried again now and then. When the connection itself
 * breaks while the QEMU lives, the guest has to be resumed over a new one, which takes blocking calls: a
 * short-lived child does that.
 *
 * The guard exits when the scan is gone and no slot is left.
 */
#include "qmp/pause/guard_proto.h"

#include "base/cleanup.h"
#include "base/passing.h"
#include "base/pidfd.h"
#include "qmp/pause/lease.h"
#include "qmp/pause/leasefile.h"
#include "qmp/pause/pause.h"
#include "qmp/pause/stale.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* How often, and how many times, a guest that is left paused is looked at again: for an hour. */
#define RETRY_USEC  (500 * USEC_PER_MSEC)
#define RETRIES_MAX 7200
/* The same over new connections, by the child; each try may take several seconds. */
#define MENDING_TRIES 60
/* Requests taken before the guests get their turn. */
#define REQUESTS_PER_TURN 64

struct slot {
        uint32_t id;
        struct pause pause;
        struct leasefile note;
        bool is_noted;     /* the lease file is written */
        bool is_buffered;  /* the machine has more to do without polling */
        bool wants_pause;  /* PAUSE is not answered yet */
        bool wants_resume; /* RESUME is not answered yet */
        bool is_orphan;    /* the scan has its final answer, or is gone */
        bool at_deadline;  /* ended by the deadline, or before the scan was told of the pause */
        bool is_exclusive; /* the scan may be changing its memory, until it asks for RESUME */
        bool awaits_death; /* the scan was killed for its sake and is not dead yet */
        bool is_settled;   /* nothing remains to be done about the guest */
        uint64_t max_pause_usec;
        uint64_t end_usec;    /* stop_sent + max_pause */
        uint64_t answer_usec; /* the scan is told of a hang then */
        uint64_t retry_usec;
        unsigned int retries;
};

struct loop {
        int control_fd; /* -1: the scan is gone */
        int folder_fd;
        struct process self;
        struct process scanner;
        int scanner_pidfd; /* -1: it could not be opened, and no pause can be an exclusive one */
        bool is_answer_blocked;
        struct slot **slots;
        size_t slot_count;
        struct pollfd *pollfds;
};

static struct slot *find_slot(const struct loop *loop, uint32_t id)
{
        for (size_t i = 0; i < loop->slot_count; i++)
                if (loop->slots[i]->id == id)
                        return loop->slots[i];
        return NULL;
}

static void slot_free(struct slot *slot)
{
        pause_deinit(&slot->pause);
        leasefile_deinit(&slot->note);
        free(slot);
}

/* Exclusive pauses */

/*
 * Whether the scan could still change the guest's memory: it was told of the pause. Before that it knows of none, and
 * after the deadline it is not told of one any more (answer_pause).
 */
static bool is_armed(const struct slot *slot)
{
        return slot->is_exclusive && slot->pause.stopped_usec != 0 && !slot->wants_pause;
}

/* Whether the guest of an exclusive pause is going to run, or runs already, and not because the scan asked for it. */
static bool has_to_disarm(const struct slot *slot, uint64_t now_usec)
{
        return slot->is_orphan || slot->pause.event_resumed || slot->pause.phase == PAUSE_PHASE_DONE ||
               now_usec >= slot->end_usec;
}

/* Sees to it that the scan changes the slot's guest no more. Returns false while it is not dead yet. */
static bool disarm(const struct loop *loop, struct slot *slot)
{
        if (pidfd_is_alive(loop->scanner_pidfd)) {
                (void)pidfd_send_signal(loop->scanner_pidfd, SIGKILL, NULL, 0);
                slot->awaits_death = true;
                return false;
        }
        slot->awaits_death = false;
        slot->is_exclusive = false;
        return true;
}

/* The scan is gone, in whatever way. */
static void lose_scan(struct loop *loop)
{
        close_fd(&loop->control_fd);
        for (size_t i = 0; i < loop->slot_count; i++) {
                struct slot *slot = loop->slots[i];

                slot->wants_pause = false;
                slot->wants_resume = false;
                slot->is_orphan = true;
                slot->retry_usec = 0;
                if (!is_armed(slot))
                        pause_end(&slot->pause);
        }
}

/* Answers */

/* Returns false when the scan does not take it now: to be tried again. */
static bool send_answer(struct loop *loop, const struct guard_answer *answer)
{
        if (loop->control_fd < 0)
                return true;
        if (send(loop->control_fd, answer, sizeof(*answer), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                return true;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
                loop->is_answer_blocked = true;
                return false;
        }
        lose_scan(loop);
        return true;
}

static void refuse(struct loop *loop, const struct guard_request *request, const char *sentence)
{
        struct guard_answer answer = {
                .operation = request->operation, .id = request->id, .state = PAUSE_OUTCOME_FAILED};

        (void)failure_set(&answer.failure, 0, "%s", sentence);
        (void)send_answer(loop, &answer);
}

static struct guard_answer make_answer(const struct slot *slot, enum guard_operation operation,
                                       enum pause_outcome state)
{
        struct guard_answer answer = {
                .operation = operation,
                .id = slot->id,
                .state = state,
                .stop_sent_usec = slot->pause.stop_sent_usec,
                .stopped_usec = slot->pause.stopped_usec,
                .cont_sent_usec = slot->pause.cont_sent_usec,
                .resumed_usec = slot->pause.resumed_usec,
                .resumed_at_deadline = state == PAUSE_OUTCOME_RESUMED && slot->at_deadline,
                .resumed_by_other =
                        state == PAUSE_OUTCOME_RESUMED && slot->pause.outcome == PAUSE_OUTCOME_RUNNING,
                .failure = slot->pause.failure,
        };

        memcpy(answer.run_state, slot->pause.run_state, sizeof(answer.run_state));
        return answer;
}

static enum pause_outcome state_of_outcome(const struct slot *slot)
{
        return slot->pause.outcome == PAUSE_OUTCOME_RUNNING ? PAUSE_OUTCOME_RESUMED
                                                            : pause_outcome_simplify(slot->pause.outcome);
}

static void answer_pause(struct loop *loop, struct slot *slot, uint64_t now_usec)
{
        /* Who would change the guest's memory is not told of a pause that is ending already. */
        bool is_paused = slot->pause.stopped_usec != 0 && !(slot->is_exclusive && slot->at_deadline);
        bool is_late = now_usec >= slot->answer_usec;
        struct guard_answer answer;

        if (!is_paused && !is_late && slot->pause.phase != PAUSE_PHASE_DONE)
                return;
        if (!is_paused)
                pause_end(&slot->pause);
        answer = make_answer(slot, GUARD_OPERATION_PAUSE,
                             is_paused ? PAUSE_OUTCOME_PAUSED : state_of_outcome(slot));
        if (!is_paused && slot->pause.phase != PAUSE_PHASE_DONE)
                (void)failure_set(
                        &answer.failure, 0,
                        "its QEMU did not answer to stop within %.1f s; it will be resumed as soon as "
                        "its QEMU answers",
                        (double)GUARD_STEP_USEC / (double)USEC_PER_SEC);
        if (!send_answer(loop, &answer))
                return;
        slot->wants_pause = false;
        slot->is_orphan |= !is_paused;
        slot->is_exclusive &= is_paused;
}

static void answer_resume(struct loop *loop, struct slot *slot, uint64_t now_usec)
{
        bool is_late = now_usec >= slot->answer_usec;
        bool is_done = slot->pause.phase == PAUSE_PHASE_DONE && slot->pause.outcome != PAUSE_OUTCOME_REFUSED;
        struct guard_answer answer;

        if (!is_done && !is_late)
                return;
        answer = make_answer(slot, GUARD_OPERATION_RESUME, state_of_outcome(slot));
        if (slot->pause.phase != PAUSE_PHASE_DONE)
                (void)failure_set(
                        &answer.failure, 0,
                        "its QEMU did not answer within %.1f s; it will be resumed as soon as its QEMU "
                        "answers",
                        (double)GUARD_STEP_USEC / (double)USEC_PER_SEC);
        if (!send_answer(loop, &answer))
                return;
        slot->wants_resume = false;
        slot->is_orphan = true;
}

/* The life of a slot */

/* The connection is broken but the pause may last: resumes the guest over a new one, in a child. */
static void mend(struct loop *loop, struct slot *slot)
{
        pid_t pid = 0;

        /* QEMU serves one client per socket, and the scan may still hold this one. */
        (void)shutdown(slot->pause.wire.fd, SHUT_RDWR);
        pid = fork();
        if (pid != 0)
                return;
        close_fd(&loop->control_fd);
        for (size_t i = 0; i < loop->slot_count; i++)
                close_fd(&loop->slots[i]->pause.wire.fd);
        for (int tries = 0; tries < MENDING_TRIES; tries++) {
                struct stale_result result = {0};

                stale_resume_note(loop->folder_fd, &slot->note, &result);
                if (result.outcome != PAUSE_OUTCOME_FAILED)
                        _exit(EXIT_SUCCESS);
                (void)usleep((useconds_t)USEC_PER_SEC);
        }
        _exit(EXIT_FAILURE);
}

static bool may_retry(const struct slot *slot)
{
        return pause_outcome_is_retried(slot->pause.outcome) && slot->retries < RETRIES_MAX;
}

/* The machine is DONE: looks after what remains. */
static void settle(struct loop *loop, struct slot *slot, uint64_t now_usec)
{
        if (slot->is_settled)
                return;
        if (may_retry(slot)) {
                if (slot->retry_usec == 0) {
                        slot->retry_usec = now_usec + RETRY_USEC;
                } else if (now_usec >= slot->retry_usec) {
                        slot->retry_usec = 0;
                        slot->retries++;
                        pause_end(&slot->pause);
                }
                return;
        }
        slot->is_settled = true;
        if (!slot->is_noted)
                return;
        if (slot->pause.outcome == PAUSE_OUTCOME_FAILED && process_is_alive(&slot->note.qemu))
                mend(loop, slot);
        else if (!pause_outcome_is_retried(slot->pause.outcome))
                (void)leasefile_remove(loop->folder_fd, &slot->note);
}

static void stop_guest(struct loop *loop, struct slot *slot)
{
        struct failure failure = {0};
        int r = leasefile_write(loop->folder_fd, &slot->note, &failure);

        if (r < 0) {
                pause_give_up(&slot->pause, r == -EBUSY ? PAUSE_OUTCOME_HELD : PAUSE_OUTCOME_NOT_STOPPED,
                              &failure);
                return;
        }
        slot->is_noted = true;
        pause_stop(&slot->pause);
        slot->end_usec = lease_end_usec(slot->pause.stop_sent_usec, slot->max_pause_usec);
}

/* Lets nothing happen to an armed slot that would let its guest run, before the scan is dead. */
static bool may_advance(struct loop *loop, struct slot *slot, uint64_t now_usec)
{
        if (!slot->is_exclusive || !slot->pause.stopped_usec || slot->at_deadline ||
            !has_to_disarm(slot, now_usec))
                return true;
        /* A scan that was not told of the pause is not told of it now, and lives. */
        if (!is_armed(slot))
                slot->at_deadline = true;
        else if (!disarm(loop, slot))
                return false;
        pause_end(&slot->pause);
        return true;
}

/* Everything about a slot that does not depend on its connection having something to say. */
static void advance(struct loop *loop, struct slot *slot, uint64_t now_usec)
{
        if (slot->pause.phase == PAUSE_PHASE_READY)
                stop_guest(loop, slot);
        if (!may_advance(loop, slot, now_usec))
                return;
        if (now_usec >= slot->end_usec &&
            (slot->pause.phase == PAUSE_PHASE_PAUSED ||
             (slot->pause.phase == PAUSE_PHASE_STOPPING && !slot->at_deadline))) {
                slot->at_deadline = true;
                pause_end(&slot->pause);
        }
        if (slot->pause.phase == PAUSE_PHASE_DONE)
                settle(loop, slot, now_usec);
        if (slot->wants_pause)
                answer_pause(loop, slot, now_usec);
        if (slot->wants_resume)
                answer_resume(loop, slot, now_usec);
        if (slot->pause.phase == PAUSE_PHASE_DONE)
                settle(loop, slot, now_usec);
}

static void drop_finished(struct loop *loop)
{
        size_t kept = 0;

        for (size_t i = 0; i < loop->slot_count; i++) {
                struct slot *slot = loop->slots[i];

                if (slot->is_settled && slot->is_orphan && !slot->wants_pause && !slot->wants_resume)
                        slot_free(slot);
                else
                        loop->slots[kept++] = slot;
        }
        loop->slot_count = kept;
}

/* Requests */

/* Makes a slot and starts its machine. Takes @fd. */
static struct slot *make_slot(const struct loop *loop, const struct guard_request *request, int fd,
                              struct failure *failure)
{
        struct slot *slot = calloc(1, sizeof(*slot));

        if (!slot) {
                (void)close(fd);
                (void)failure_set(failure, 0, "the guard process has not enough memory");
                return NULL;
        }
        slot->pause.wire.fd = -1;
        slot->id = request->id;
        slot->wants_pause = true;
        slot->max_pause_usec = request->max_pause_usec;
        slot->is_exclusive = request->is_exclusive;
        slot->end_usec = USEC_INFINITY;
        slot->answer_usec = clock_now_usec() + GUARD_STEP_USEC;
        slot->note = (struct leasefile){
                .guest = strdup(request->guest),
                .socket_path = strdup(request->socket_path),
                .qemu = request->qemu,
                .scanner = loop->scanner,
                .guard = loop->self,
        };
        if (!slot->note.guest || !slot->note.socket_path || pause_begin(&slot->pause, fd, NULL) < 0) {
                if (!slot->note.guest || !slot->note.socket_path)
                        (void)close(fd);
                (void)failure_set(failure, 0, "the guard process has not enough memory");
                slot_free(slot);
                return NULL;
        }
        return slot;
}

/* Takes @fd. */
static void take_pause(struct loop *loop, const struct guard_request *request, int fd)
{
        const bool is_unkillable = request->is_exclusive && loop->scanner_pidfd < 0;
        struct failure failure = {0};
        struct slot *slot = NULL;

        if (fd < 0 || loop->slot_count == LEASE_GUESTS_MAX || is_unkillable) {
                if (fd >= 0)
                        (void)close(fd);
                refuse(loop, request,
                       fd < 0          ? "the guard process did not get its connection"
                       : is_unkillable ? "the guard process could not end who changes its memory"
                                       : "the guard process has too many guests already");
                return;
        }
        slot = make_slot(loop, request, fd, &failure);
        if (slot)
                loop->slots[loop->slot_count++] = slot;
        else
                refuse(loop, request, failure.text);
}

static void take_resume(struct loop *loop, const struct guard_request *request)
{
        struct slot *slot = find_slot(loop, request->id);

        if (!slot) {
                refuse(loop, request, "the guard process does not know it");
                return;
        }
        slot->wants_resume = true;
        slot->is_exclusive = false;
        slot->awaits_death = false;
        slot->answer_usec = clock_now_usec() + GUARD_STEP_USEC;
        pause_end(&slot->pause);
}

static void take_request(struct loop *loop, const struct guard_request *request, int fd)
{
        struct guard_answer pong = {.operation = GUARD_OPERATION_PING};

        switch (request->operation) {
        case GUARD_OPERATION_PING:
                (void)send_answer(loop, &pong);
                break;
        case GUARD_OPERATION_PAUSE:
                take_pause(loop, request, fd);
                return;
        case GUARD_OPERATION_RESUME:
                take_resume(loop, request);
                break;
        }
        if (fd >= 0)
                (void)close(fd);
}

/* Returns false when nothing (more) has come. */
static bool receive_request(struct loop *loop)
{
        static struct guard_request request;
        CLEANUP_CLOSE int fd = -1;
        ssize_t got = passing_receive(loop->control_fd, &request, sizeof(request), MSG_DONTWAIT, &fd);

        if (got == -EAGAIN || got == -EINTR)
                return false;
        if (got != (ssize_t)sizeof(request)) {
                lose_scan(loop);
                return false;
        }
        request.guest[sizeof(request.guest) - 1] = '\0';
        request.socket_path[sizeof(request.socket_path) - 1] = '\0';
        take_request(loop, &request, TAKE_FD(fd));
        return loop->control_fd >= 0;
}

static void receive_requests(struct loop *loop)
{
        for (int taken = 0; taken < REQUESTS_PER_TURN; taken++)
                if (!receive_request(loop))
                        return;
}

/* The loop */

static uint64_t earlier(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

/* When the slot needs attention though nothing arrives. */
static uint64_t slot_deadline(const struct slot *slot, bool is_answer_blocked)
{
        uint64_t deadline_usec = USEC_INFINITY;

        if (slot->is_buffered)
                return 0;
        if (slot->awaits_death)
                return USEC_INFINITY; /* the scan's pidfd tells */
        if (!slot->at_deadline &&
            (slot->pause.phase == PAUSE_PHASE_PAUSED || slot->pause.phase == PAUSE_PHASE_STOPPING))
                deadline_usec = slot->end_usec;
        if ((slot->wants_pause || slot->wants_resume) && !is_answer_blocked)
                deadline_usec = earlier(deadline_usec, slot->answer_usec);
        if (!slot->is_settled && slot->pause.phase == PAUSE_PHASE_DONE)
                deadline_usec = earlier(deadline_usec, slot->retry_usec);
        return deadline_usec;
}

static bool is_listening(const struct slot *slot)
{
        /* A connection that broke would be readable all the time until the scan is dead. */
        return !slot->is_settled && !slot->awaits_death && slot->pause.phase != PAUSE_PHASE_READY;
}

static bool is_death_awaited(const struct loop *loop)
{
        for (size_t i = 0; i < loop->slot_count; i++)
                if (loop->slots[i]->awaits_death)
                        return true;
        return false;
}

/*
 * Waits until something happens or is due. pollfds[0] is the control socket, slot i is behind pollfds[i + 1], and behind
 * those is the scan itself, when its death is awaited.
 */
static void wait_for_something(struct loop *loop)
{
        uint64_t deadline_usec = USEC_INFINITY;
        uint64_t now_usec = 0;
        struct timespec timeout = {0};

        loop->pollfds[0] = (struct pollfd){
                .fd = loop->control_fd,
                .events = (short)(loop->is_answer_blocked ? POLLIN | POLLOUT : POLLIN),
        };
        for (size_t i = 0; i < loop->slot_count; i++) {
                const struct slot *slot = loop->slots[i];

                loop->pollfds[i + 1] = (struct pollfd){
                        .fd = is_listening(slot) ? slot->pause.wire.fd : -1,
                        .events = pause_poll_events(&slot->pause),
                };
                deadline_usec = earlier(deadline_usec, slot_deadline(slot, loop->is_answer_blocked));
        }
        loop->pollfds[loop->slot_count + 1] = (struct pollfd){
                .fd = is_death_awaited(loop) ? loop->scanner_pidfd : -1,
                .events = POLLIN,
        };
        now_usec = clock_now_usec();
        if (deadline_usec > now_usec) {
                timeout.tv_sec = (time_t)((deadline_usec - now_usec) / USEC_PER_SEC);
                timeout.tv_nsec = (long)((deadline_usec - now_usec) % USEC_PER_SEC * 1000);
        }
        if (ppoll(loop->pollfds, loop->slot_count + 2, deadline_usec == USEC_INFINITY ? NULL : &timeout,
                  NULL) < 0)
                for (size_t i = 0; i <= loop->slot_count; i++)
                        loop->pollfds[i].revents = POLLIN;
}

static void run_once(struct loop *loop)
{
        size_t polled = loop->slot_count;
        uint64_t now_usec = 0;

        wait_for_something(loop);
        loop->is_answer_blocked = false;
        for (size_t i = 0; i < polled; i++) {
                struct slot *slot = loop->slots[i];

                if (loop->pollfds[i + 1].revents || slot->is_buffered)
                        slot->is_buffered = pause_process(&slot->pause);
        }
        if (loop->control_fd >= 0 && loop->pollfds[0].revents)
                receive_requests(loop);
        now_usec = clock_now_usec();
        for (size_t i = 0; i < loop->slot_count; i++)
                advance(loop, loop->slots[i], now_usec);
        drop_finished(loop);
}

/* The scan as something that can be killed and waited for; -1 when it ended already. */
static int open_scanner(const struct process *scanner)
{
        CLEANUP_CLOSE int pidfd = pidfd_open(scanner->pid, 0);

        return pidfd >= 0 && process_is_alive(scanner) ? TAKE_FD(pidfd) : -1;
}

void guard_loop_run(int control_fd, int folder_fd, const struct process *self, const struct process *scanner)
{
        struct loop loop = {
                .control_fd = control_fd, .folder_fd = folder_fd, .self = *self, .scanner = *scanner};

        loop.scanner_pidfd = open_scanner(scanner);
        loop.slots = calloc(LEASE_GUESTS_MAX, sizeof(struct slot *));
        loop.pollfds = calloc(LEASE_GUESTS_MAX + 2, sizeof(*loop.pollfds));
        while (loop.slots && loop.pollfds && (loop.control_fd >= 0 || loop.slot_count > 0))
                run_once(&loop);
        close_fd(&loop.scanner_pidfd);
        free(loop.slots);
        free(loop.pollfds);
}
