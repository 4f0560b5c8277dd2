/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/child.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/deadline.h"
#include "base/survive.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int child_start(struct child *child, const char *what, void (*run)(int control_fd, void *context),
                void *context, struct failure *failure)
{
        CLEANUP_CLOSE int theirs = -1;
        int pair[2];

        child->what = what;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return failure_errno(failure, -errno, "cannot make the socket to %s", what);
        child->control_fd = pair[0];
        theirs = pair[1];
        child->pid = survive_fork();
        if (child->pid == 0) {
                /* Or it would not see our end where close_range(2) is refused. */
                close_fd(&child->control_fd);
                run(theirs, context);
                _exit(EXIT_FAILURE);
        }
        if (child->pid < 0)
                return failure_errno(failure, (int)child->pid, "cannot fork %s", what);
        child->pidfd = pidfd_open(child->pid, 0);
        return child->pidfd < 0 ? failure_errno(failure, -errno, "cannot open %s", what) : 0;
}

int child_greeted(const struct child *child, void *message, size_t size, uint64_t timeout_usec,
                  struct failure *failure)
{
        if (deadline_poll(child->control_fd, POLLIN, clock_now_usec() + timeout_usec) < 0)
                return failure_set(failure, -ETIMEDOUT, "%s does not start", child->what);
        if (recv(child->control_fd, message, size, 0) != (ssize_t)size)
                return failure_set(failure, -EOWNERDEAD, "%s ended at its start", child->what);
        return 0;
}

static void wait_for_end(const struct child *child, uint64_t timeout_usec)
{
        (void)deadline_poll(child->pidfd, POLLIN, clock_now_usec() + timeout_usec);
        (void)waitpid(child->pid, NULL, WNOHANG);
}

void child_end(struct child *child, uint64_t timeout_usec)
{
        close_fd(&child->control_fd);
        if (child->pidfd >= 0)
                wait_for_end(child, timeout_usec);
        close_fd(&child->pidfd);
}

void child_kill(struct child *child, uint64_t timeout_usec)
{
        (void)pidfd_send_signal(child->pidfd, SIGKILL, NULL, 0);
        wait_for_end(child, timeout_usec);
        close_fd(&child->control_fd);
}
