/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A forked process and its socket: one that greets, one that ends at its start, one that says nothing. */
#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/deadline.h"
#include "unit.h"
#include "with_pidfd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static struct failure failure;

/* Says what it was given, then waits for the end of its socket, which it sees only if it holds no copy of our end. */
static void greet(int control_fd, void *context)
{
        char byte = 0;

        (void)send(control_fd, context, 5, 0);
        _exit(recv(control_fd, &byte, 1, 0) == 0 ? 0 : 1);
}

static void end_at_once(int control_fd, void *context)
{
        (void)control_fd;
        (void)context;
}

static void say_nothing(int control_fd, void *context)
{
        (void)control_fd;
        (void)context;
        for (;;)
                (void)pause();
}

static void test_greeting_and_end(void)
{
        struct child child = CHILD_NONE;
        const uint64_t begin_usec = clock_now_usec();
        char text[5] = "";

        CU_ASSERT_EQUAL_FATAL(child_start(&child, "the process", greet, (char[]){"hello"}, &failure), 0);
        CU_ASSERT_EQUAL(child_greeted(&child, text, sizeof(text), 5 * USEC_PER_SEC, &failure), 0);
        CU_ASSERT(memcmp(text, "hello", sizeof(text)) == 0);
        child_end(&child, 5 * USEC_PER_SEC);
        CU_ASSERT(clock_now_usec() - begin_usec < 4 * USEC_PER_SEC);
        CU_ASSERT_EQUAL(child.control_fd, -1);
        CU_ASSERT_EQUAL(child.pidfd, -1);
        CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1); /* it was waited for */
        child_end(&child, 0);
}

static void test_no_greeting(void)
{
        struct child child = CHILD_NONE;
        char text[5] = "";

        CU_ASSERT_EQUAL_FATAL(child_start(&child, "the process", end_at_once, NULL, &failure), 0);
        CU_ASSERT_EQUAL(child_greeted(&child, text, sizeof(text), 5 * USEC_PER_SEC, &failure), -EOWNERDEAD);
        CU_ASSERT_STRING_EQUAL(failure.text, "the process ended at its start");
        child_end(&child, 5 * USEC_PER_SEC);
        CU_ASSERT_EQUAL_FATAL(child_start(&child, "the process", say_nothing, NULL, &failure), 0);
        CU_ASSERT_EQUAL(child_greeted(&child, text, sizeof(text), 50 * USEC_PER_MSEC, &failure), -ETIMEDOUT);
        CU_ASSERT_STRING_EQUAL(failure.text, "the process does not start");
        child_kill(&child, 5 * USEC_PER_SEC);
        CU_ASSERT_EQUAL(child.control_fd, -1);
        CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1);
        child_end(&child, 5 * USEC_PER_SEC);
}

static void on_signal(int signal)
{
        (void)signal;
}

/* Signals neither end a wait nor make it longer. */
static void test_deadline(void)
{
        const struct itimerval often = {{0, 5000}, {0, 5000}};
        const struct itimerval never = {{0, 0}, {0, 0}};
        const uint64_t begin_usec = clock_now_usec();
        int pair[2];

        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        (void)sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_signal}, NULL);
        (void)setitimer(ITIMER_REAL, &often, NULL);
        CU_ASSERT_EQUAL(deadline_poll(pair[0], POLLIN, begin_usec + 50 * USEC_PER_MSEC), -ETIMEDOUT);
        (void)setitimer(ITIMER_REAL, &never, NULL);
        CU_ASSERT(clock_now_usec() >= begin_usec + 50 * USEC_PER_MSEC);
        CU_ASSERT_EQUAL(deadline_poll(pair[0], POLLOUT, 0), 0);
        CU_ASSERT_EQUAL(write(pair[1], "x", 1), 1);
        CU_ASSERT_EQUAL(deadline_poll(pair[0], POLLIN, USEC_INFINITY), 0);
        (void)close(pair[0]);
        (void)close(pair[1]);
}

static const struct unit_test tests[] = {
        {"a greeting, and the end", test_greeting_and_end},
        {"no greeting", test_no_greeting},
        {"a deadline", test_deadline},
};
UNIT_MAIN_WITH_PIDFD("base/child", tests)
