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
#include "base/pidfd.h"
#include "base/survive.h"
#include "qmp/pause/guard_proto.h"
#include "qmp/pause/leasefile.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
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
static void run_guard(int control_fd, void *context)
{
        struct guard *guard = context;
        struct process self = {0};

        if (survive_detach(GUARD_NAME, &control_fd, &guard->folder_fd) < 0)
                _exit(EXIT_FAILURE);
        raise_limits();
        if (process_identify(getpid(), &self) < 0)
                _exit(EXIT_FAILURE);
        guard_loop_run(control_fd, guard->folder_fd, &self, &guard->scanner);
        _exit(EXIT_SUCCESS);
}

static int start(struct guard *guard, struct failure *failure)
{
        const struct guard_request ping = {.operation = GUARD_OPERATION_PING};
        struct guard_answer answer;
        int r = process_identify(getpid(), &guard->scanner);

        if (r < 0)
                return failure_errno(failure, r, "cannot read /proc/self/stat");
        r = child_start(&guard->child, "the guard process", run_guard, guard, failure);
        if (r < 0)
                return r;
        if (send(guard->child.control_fd, &ping, sizeof(ping), MSG_NOSIGNAL) < 0)
                return failure_errno(failure, -errno, "the guard process does not start");
        /* It answers when nothing can end it by accident any more. */
        r = child_greeted(&guard->child, &answer, sizeof(answer), GUARD_ANSWER_USEC * 5, failure);
        if (r < 0)
                return r;
        r = process_identify(guard->child.pid, &guard->self);
        return r < 0 ? failure_errno(failure, r, "the guard process ended at its start") : 0;
}

int guard_start(const char *runtime_dir, struct guard **ret_guard, struct failure *failure)
{
        struct guard *guard = calloc(1, sizeof(*guard));
        int r = 0;

        if (!guard)
                return failure_errno(failure, -ENOMEM, "cannot start the guard process");
        *guard = (struct guard){.child = CHILD_NONE, .folder_fd = -1};
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
        return pidfd_is_alive(guard->child.pidfd);
}

void guard_free(struct guard *guard)
{
        if (!guard)
                return;
        child_end(&guard->child, GUARD_EXIT_USEC);
        close_fd(&guard->folder_fd);
        free(guard);
}
