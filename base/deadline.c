/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/deadline.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>

int deadline_poll(int fd, short events, uint64_t deadline_usec)
{
        struct pollfd pollfd = {.fd = fd, .events = events};
        int n = 0;

        do
                n = poll(&pollfd, 1, clock_poll_timeout_msec(deadline_usec));
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        return n == 0 ? -ETIMEDOUT : 0;
}
