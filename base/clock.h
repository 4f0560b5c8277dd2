/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time inside the program: microseconds of CLOCK_MONOTONIC, which all processes of the host share. */
#pragma once

#include <stdint.h>
#include <time.h>

#define USEC_PER_SEC  UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
/* A deadline that never comes. */
#define USEC_INFINITY UINT64_MAX

/* Microseconds since boot; never 0. */
static inline uint64_t clock_now_usec(void)
{
        struct timespec now = {0};

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

/* The earlier of two moments; USEC_INFINITY is none. */
static inline uint64_t clock_earlier(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

/* The timeout for poll(2) until @deadline_usec: -1 for ever, 0 once it has passed, else milliseconds rounded
 * up. */
static inline int clock_poll_timeout_msec(uint64_t deadline_usec)
{
        uint64_t now = clock_now_usec();
        uint64_t msec = 0;

        if (deadline_usec == USEC_INFINITY)
                return -1;
        if (deadline_usec <= now)
                return 0;
        msec = (deadline_usec - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
        return msec > INT32_MAX ? INT32_MAX : (int)msec;
}
