/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard's process: one loop over the control socket, the guests' connections, and the nearest deadline.
 *
 * Each guest has a slot (guard_slot.c) and goes on independently. A QEMU that hangs keeps no other waiting,
 * and the loop itself waits for nobody but in poll. What is done for a slot and needs a descriptor or a
 * process is here: its lease file, the answers to the scan, the scan's death, and resuming over a new
 * connection.
 *
 * An exclusive pause (lease_pause_exclusive) is one under which the scan changes the guest's memory. Unless
 * the scan asked for the end of such a pause, it has to be dead before the guest runs. So the guard kills it
 * and waits for its pidfd, which becomes readable when the last of its threads has left the kernel; the end
 * of the control socket alone would not tell. The guard does so at the deadline, when the connection breaks
 * (it then resumes the guest over another), when the scan closes the socket with the pause unfinished, and at
 * once when somebody else has resumed the guest. This makes the pause longer by the time that a process takes
 * to die. A scan that the kernel holds in an uninterruptible wait holds the guest with it.
 *
 * The order of things on disk: the guard writes the lease file after it found the guest fit to be paused and
 * before it sends stop, and removes the file after the guest runs (or is somebody else's again). Whenever the
 * guard dies, a guest that it could have paused therefore has a file.
 *
 * When QEMU does not answer, the guard tells the scan so after GUARD_STEP_USEC and keeps the slot. Once it
 * has sent stop, it waits for as long as that QEMU lives, then does what remains to be done. It tries again,
 * now and then, where a migration began under the pause or QEMU refused cont. When the connection itself
 * breaks while the QEMU lives, the guest has to be resumed over a new one. That takes blocking calls, so a
 * short-lived child does it; where no child can be made, the guard tries again as with a refused cont.
 *
 * The guard exits when the scan is gone and no slot is left.
 */
#include "qmp/pause/guard_slot.h"

#include "base/cleanup.h"
#include "base/passing.h"
#include "base/pidfd.h"
#include "qmp/pause/lease.h"
#include "qmp/pause/stale.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* How often, and how many times, a guest that is left paused is looked at again: for an hour. */
#define RETRY_USEC  (500 * USEC_PER_MSEC)
#define RETRIES_MAX 7200
/* The same over new connections, by the child; each try may take several seconds. */
#define ANEW_TRIES 60
/* Requests taken before the guests get their turn. */
#define REQUESTS_PER_TURN 64

struct loop {
        int control_fd; /* -1: the scan is gone */
        int folder_fd;
        struct process self;
        struct process scanner;
        int scanner_pidfd; /* -1: it could not be opened, and no pause can be an exclusive one */
        bool is_answer_blocked;
        struct guard_slot **slots;
        size_t slot_count;
        struct pollfd *pollfds;
};

static struct guard_slot *find_slot(const struct loop *loop, uint32_t id)
{
        for (size_t i = 0; i < loop->slot_count; i++)
                if (loop->slots[i]->id == id)
                        return loop->slots[i];
        return NULL;
}

/* The scan */

static bool is_death_awaited(const struct loop *loop)
{
        for (size_t i = 0; i < loop->slot_count; i++)
                if (loop->slots[i]->state == GUARD_SLOT_STATE_KILLING)
                        return true;
        return false;
}

/* Sees to it that the scan changes no guest any more. Returns false while it is not dead yet. */
static bool end_scan(const struct loop *loop)
{
        if (!pidfd_is_alive(loop->scanner_pidfd))
                return true;
        (void)pidfd_send_signal(loop->scanner_pidfd, SIGKILL, NULL, 0);
        return false;
}

/* The scan is gone, in whatever way. */
static void lose_scan(struct loop *loop)
{
        close_fd(&loop->control_fd);
        for (size_t i = 0; i < loop->slot_count; i++)
                guard_slot_take(loop->slots[i], GUARD_SLOT_EVENT_GONE);
        if (is_death_awaited(loop))
                (void)end_scan(loop);
}

/* Answers */

/* Returns false when the scan does not take it now, so that it is to be tried again, or is gone. */
static bool send_answer(struct loop *loop, const struct guard_answer *answer)
{
        if (send(loop->control_fd, answer, sizeof(*answer), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                return true;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
                loop->is_answer_blocked = true;
        else
                lose_scan(loop);
        return false;
}

static void refuse(struct loop *loop, const struct guard_request *request, const char *sentence)
{
        struct guard_answer answer = {
                .operation = request->operation, .id = request->id, .state = PAUSE_OUTCOME_FAILED};

        (void)failure_set(&answer.failure, 0, "%s", sentence);
        (void)send_answer(loop, &answer);
}

/* The life of a slot */

/*
 * The connection is broken but the pause may last: resumes the guest over a new one, in a child. Returns
 * false when no child can be made.
 */
static bool resume_anew(struct loop *loop, struct guard_slot *slot)
{
        pid_t pid = 0;

        /* QEMU serves one client per socket, and the scan may still hold this one. */
        (void)shutdown(slot->pause.wire.fd, SHUT_RDWR);
        pid = fork();
        if (pid != 0)
                return pid > 0;
        close_fd(&loop->control_fd);
        for (size_t i = 0; i < loop->slot_count; i++)
                close_fd(&loop->slots[i]->pause.wire.fd);
        for (int tries = 0; tries < ANEW_TRIES; tries++) {
                struct stale_result result = {0};

                stale_resume_note(loop->folder_fd, &slot->note, &result);
                if (result.outcome != PAUSE_OUTCOME_FAILED)
                        _exit(EXIT_SUCCESS);
                (void)usleep((useconds_t)USEC_PER_SEC);
        }
        _exit(EXIT_FAILURE);
}

/* The machine is DONE: does what remains. Returns false when that is to be tried again. */
static bool finish_guest(struct loop *loop, struct guard_slot *slot)
{
        if (slot->file == GUARD_SLOT_FILE_NONE)
                return true;
        if (slot->pause.outcome == PAUSE_OUTCOME_FAILED && process_is_alive(&slot->note.qemu))
                return resume_anew(loop, slot);
        if (pause_outcome_is_retried(slot->pause.outcome))
                return false;
        (void)leasefile_remove(loop->folder_fd, &slot->note);
        return true;
}

static void settle(struct loop *loop, struct guard_slot *slot, uint64_t now_usec)
{
        if (slot->file == GUARD_SLOT_FILE_SETTLED || now_usec < slot->retry_usec)
                return;
        if (slot->retry_usec && pause_outcome_is_retried(slot->pause.outcome)) {
                slot->retry_usec = 0;
                pause_end(&slot->pause);
        } else if (finish_guest(loop, slot) || slot->retries == RETRIES_MAX) {
                slot->file = GUARD_SLOT_FILE_SETTLED;
        } else {
                slot->retry_usec = now_usec + RETRY_USEC;
                slot->retries++;
        }
}

static void stop_guest(const struct loop *loop, struct guard_slot *slot)
{
        struct failure failure = {0};
        int r = leasefile_write(loop->folder_fd, &slot->note, &failure);

        if (r == 0)
                guard_slot_stop(slot);
        else
                pause_give_up(&slot->pause, r == -EBUSY ? PAUSE_OUTCOME_HELD : PAUSE_OUTCOME_NOT_STOPPED,
                              &failure);
}

/* Everything about a slot that does not depend on its connection having something to say. */
static void advance(struct loop *loop, struct guard_slot *slot, uint64_t now_usec)
{
        enum guard_slot_event event = GUARD_SLOT_EVENT_ANSWERED;
        struct guard_answer answer;

        if (slot->pause.phase == PAUSE_PHASE_READY)
                stop_guest(loop, slot);
        guard_slot_watch(slot, now_usec);
        if (slot->state == GUARD_SLOT_STATE_KILLING) {
                if (!end_scan(loop))
                        return;
                guard_slot_take(slot, GUARD_SLOT_EVENT_DEAD);
        }
        if (slot->pause.phase == PAUSE_PHASE_DONE)
                settle(loop, slot, now_usec);
        if (guard_slot_answer(slot, now_usec, &answer, &event) && send_answer(loop, &answer))
                guard_slot_take(slot, event);
}

static void drop_finished(struct loop *loop)
{
        size_t kept = 0;

        for (size_t i = 0; i < loop->slot_count; i++) {
                struct guard_slot *slot = loop->slots[i];

                if (slot->file == GUARD_SLOT_FILE_SETTLED && slot->state == GUARD_SLOT_STATE_ORPHAN)
                        guard_slot_free(slot);
                else
                        loop->slots[kept++] = slot;
        }
        loop->slot_count = kept;
}

/* Requests */

/* Takes @fd. */
static void take_pause(struct loop *loop, const struct guard_request *request, int fd)
{
        const bool is_unkillable = request->is_exclusive && loop->scanner_pidfd < 0;
        struct guard_slot *slot = NULL;

        if (fd < 0 || loop->slot_count == LEASE_GUESTS_MAX || is_unkillable) {
                if (fd >= 0)
                        (void)close(fd);
                refuse(loop, request,
                       fd < 0          ? "the guard process did not get its connection"
                       : is_unkillable ? "the guard process could not end who changes its memory"
                                       : "the guard process has too many guests already");
                return;
        }
        slot = guard_slot_new(request, fd, &loop->scanner, &loop->self);
        if (slot)
                loop->slots[loop->slot_count++] = slot;
        else
                refuse(loop, request, "the guard process has not enough memory");
}

static void take_resume(struct loop *loop, const struct guard_request *request)
{
        struct guard_slot *slot = find_slot(loop, request->id);

        if (slot)
                guard_slot_take(slot, GUARD_SLOT_EVENT_RESUME);
        else
                refuse(loop, request, "the guard process does not know it");
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

/*
 * Waits until something happens or is due. pollfds[0] is the control socket and pollfds[i + 1] slot i. Behind
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
                const struct guard_slot *slot = loop->slots[i];

                loop->pollfds[i + 1] = (struct pollfd){
                        .fd = guard_slot_is_listening(slot) ? slot->pause.wire.fd : -1,
                        .events = pause_poll_events(&slot->pause),
                };
                deadline_usec =
                        clock_earlier(deadline_usec, guard_slot_deadline(slot, loop->is_answer_blocked));
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
                struct guard_slot *slot = loop->slots[i];

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
        loop.slots = calloc(LEASE_GUESTS_MAX, sizeof(struct guard_slot *));
        loop.pollfds = calloc(LEASE_GUESTS_MAX + 2, sizeof(*loop.pollfds));
        while (loop.slots && loop.pollfds && (loop.control_fd >= 0 || loop.slot_count > 0))
                run_once(&loop);
        close_fd(&loop.scanner_pidfd);
        free(loop.slots);
        free(loop.pollfds);
}
