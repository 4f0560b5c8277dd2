/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A main() for tests that need pidfd_open(2), which valgrind before 3.21 does not know. */
#pragma once

#include "unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <unistd.h>

static inline bool pidfd_is_missing(void)
{
        int fd = pidfd_open(getpid(), 0);

        if (fd >= 0)
                (void)close(fd);
        return fd < 0 && errno == ENOSYS;
}

#define UNIT_MAIN_WITH_PIDFD(suite, tests)                                         \
        int main(void)                                                             \
        {                                                                          \
                if (pidfd_is_missing()) {                                          \
                        (void)printf("skipped: no pidfd_open(2) here\n");          \
                        return EXIT_SKIPPED;                                       \
                }                                                                  \
                return unit_run(suite, tests, sizeof(tests) / sizeof((tests)[0])); \
        }
