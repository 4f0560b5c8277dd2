/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting the guard and making it hard to kill by accident.
 *
 * The guard is the one process that must outlive a scan that goes wrong. So it is forked before the scan has
 * threads or memory worth speaking of, leads a session of its own (a terminal's signals and hang-up do not
 * reach it), has every signal blocked that can be, holds no descriptor but its control socket and the lease
 * folder (nobody waits for a pipe because of it), is locked in memory, is the last that the kernel's
 * out-of-memory killer looks at, and goes before ordinary processes on the CPU. All of that but the session
 * is best effort: where a container forbids it, the guard still guards.
 *
 * It learns of the scan's death by the end of the control socket, whatever the scan died of, and not by
 * PR_SET_PDEATHSIG, which follows the thread that forked. SIGKILL to the guard itself is met by the scan, see
 * lease.c, and SIGKILL to both by the lease files, see stale.c.
 */
#include "qmp/pause/guard.h"

#include "base/cleanup.h"
#include "base/survive.h"
#include "qmp/pause/guard_proto.h"
#include "qmp/pause/leasefile.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUARD_NAME     "samepage-guard"
#define GUARD_PRIORITY 1
/* How long guard_free() waits for the guard to resume what is left. */
#define GUARD_EXIT_USEC (2 * USEC_PER_SEC)

static void raise_limits(void)
{
        struct sched_param priority = {.sched_priority = GUARD_PRIORITY};
        struct rlimit files = {0};

        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &files);
        }
        (void)sched_setscheduler(0, SCHED_FIFO, &priority);
        (void)mlockall(MCL_CURRENT | MCL_FUTURE);
}

/* The guard's whole life. */
static _Noreturn void run_guard(int control_fd, int folder_fd, const struct process *scanner)
{
        struct process self = {0};

        if (survive_detach(GUARD_NAME, &control_fd, &folder_fd) < 0)
                _exit(EXIT_FAILURE);
        raise_limits();
        if (process_identify(getpid(), &self) < 0)
                _exit(EXIT_FAILURE);
        guard_loop_run(control_fd, folder_fd, &self, scanner);
        _exit(EXIT_SUCCESS);
}

static pid_t fork_guard(int control_fd, int folder_fd, const struct process *scanner)
{
        pid_t pid = survive_fork();

        if (pid == 0)
                run_guard(control_fd, folder_fd, scanner);
        return pid;
}

/* Waits for the guard's first word, which it says when nothing can end it by accident any more. */
static int wait_for_guard(const struct guard *guard, struct failure *failure)
{
        struct guard_request ping = {.operation = GUARD_OPERATION_PING};
        struct guard_answer answer;
        struct pollfd pollfd = {.fd = guard->control_fd, .events = POLLIN};
        uint64_t deadline_usec = clock_now_usec() + GUARD_ANSWER_USEC * 5;
        int n = 0;

        if (send(guard->control_fd, &ping, sizeof(ping), MSG_NOSIGNAL) < 0)
                return failure_errno(failure, -errno, "the guard process does not start");
        do
                n = poll(&pollfd, 1, clock_poll_timeout_msec(deadline_usec));
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return failure_set(failure, -ETIMEDOUT, "the guard process does not start");
        if (recv(guard->control_fd, &answer, sizeof(answer), 0) != sizeof(answer))
                return failure_set(failure, -EOWNERDEAD, "the guard process ended at its start");
        return 0;
}

static int start(struct guard *guard, struct failure *failure)
{
        CLEANUP_CLOSE int ours = -1;
        CLEANUP_CLOSE int theirs = -1;
        int pair[2];
        pid_t pid = 0;
        int r = process_identify(getpid(), &guard->scanner);

        if (r < 0)
                return failure_errno(failure, r, "cannot read /proc/self/stat");
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return failure_errno(failure, -errno, "cannot make the guard's socket");
        ours = pair[0];
        theirs = pair[1];
        pid = fork_guard(theirs, guard->folder_fd, &guard->scanner);
        if (pid < 0)
                return failure_errno(failure, (int)pid, "cannot fork the guard process");
        guard->pid = pid;
        guard->control_fd = TAKE_FD(ours);
        close_fd(&theirs);
        guard->pidfd = pidfd_open(pid, 0);
        if (guard->pidfd < 0)
                return failure_errno(failure, -errno, "cannot open the guard process");
        r = wait_for_guard(guard, failure);
        if (r < 0)
                return r;
        r = process_identify(pid, &guard->self);
        return r < 0 ? failure_errno(failure, r, "the guard process ended at its start") : 0;
}

int guard_start(const char *runtime_dir, struct guard **ret_guard, struct failure *failure)
{
        struct guard *guard = calloc(1, sizeof(*guard));
        int r = 0;

        if (!guard)
                return failure_errno(failure, -ENOMEM, "cannot start the guard process");
        guard->pidfd = -1;
        guard->control_fd = -1;
        guard->folder_fd = -1;
        r = leasefile_open_folder(runtime_dir, true, &guard->folder_fd, failure);
        if (r == 0)
                r = start(guard, failure);
        if (r < 0) {
                guard_free(guard);
                return r;
        }
        *ret_guard = guard;
        return 0;
}

bool guard_is_alive(const struct guard *guard)
{
        struct pollfd pollfd = {.fd = guard->pidfd, .events = POLLIN};

        return poll(&pollfd, 1, 0) == 0;
}

void guard_free(struct guard *guard)
{
        if (!guard)
                return;
        close_fd(&guard->control_fd);
        if (guard->pidfd >= 0) {
                struct pollfd pollfd = {.fd = guard->pidfd, .events = POLLIN};
                uint64_t deadline_usec = clock_now_usec() + GUARD_EXIT_USEC;

                while (poll(&pollfd, 1, clock_poll_timeout_msec(deadline_usec)) < 0 && errno == EINTR)
                        ;
                (void)waitpid(guard->pid, NULL, WNOHANG);
        }
        close_fd(&guard->pidfd);
        close_fd(&guard->folder_fd);
        free(guard);
}
