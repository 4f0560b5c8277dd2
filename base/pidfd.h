/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <errno.h>
#include <poll.h>
#include <stdbool.h>

/* Whether the process of @pidfd lives; a zombie does not. While it lives, its number is not used again. */
static inline bool pidfd_is_alive(int pidfd)
{
        struct pollfd pollfd = {.fd = pidfd, .events = POLLIN};
        int r = 0;

        do
                r = poll(&pollfd, 1, 0);
        while (r < 0 && errno == EINTR);
        return pidfd >= 0 && r == 0;
}
