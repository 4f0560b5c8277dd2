/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/survive.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Ignores the signals that would end or stop the process; the mask blocks all others. */
static void ignore_signals(void)
{
        static const int ignored[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGTSTP, SIGTTIN,
                                      SIGTTOU, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD};

        for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
                (void)signal(ignored[i], SIG_IGN);
}

static void detach_stdio(void)
{
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        for (int standard = 0; fd >= 0 && standard < 3; standard++)
                (void)dup2(fd, standard);
}

/* Closes every descriptor above the standard ones except these two, which are above them too. */
static void close_others(int a, int b)
{
        unsigned int low = (unsigned int)(a < b ? a : b);
        unsigned int high = (unsigned int)(a < b ? b : a);

        if (low > 3)
                (void)close_range(3, low - 1, 0);
        if (high > low + 1)
                (void)close_range(low + 1, high - 1, 0);
        (void)close_range(high + 1, UINT_MAX, 0);
}

static void avoid_oom_killer(void)
{
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return;
        (void)!write(fd, "-1000", strlen("-1000"));
        (void)close(fd);
}

pid_t survive_fork(void)
{
        sigset_t all;
        sigset_t before;
        pid_t pid = 0;
        int error = 0;

        (void)sigfillset(&all);
        (void)sigprocmask(SIG_SETMASK, &all, &before);
        pid = fork();
        if (pid == 0)
                return 0;
        error = errno;
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        return pid < 0 ? -error : pid;
}

int survive_detach(const char *name, int *fd_a, int *fd_b)
{
        int a = -1;
        int b = -1;

        (void)setsid();
        ignore_signals();
        (void)prctl(PR_SET_NAME, name);
        a = fcntl(*fd_a, F_DUPFD_CLOEXEC, 3);
        b = fd_b ? fcntl(*fd_b, F_DUPFD_CLOEXEC, 3) : a;
        if (a < 0 || b < 0)
                return -errno;
        *fd_a = a;
        if (fd_b)
                *fd_b = b;
        detach_stdio();
        close_others(a, b);
        (void)!chdir("/");
        (void)umask(077);
        avoid_oom_killer();
        return 0;
}
