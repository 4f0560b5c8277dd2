/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is at the other end of a unix socket, as the kernel says. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct peer {
        uid_t uid;
        gid_t gid;
};

/* Return: 0 or a negative errno. */
int peer_get(int fd, struct peer *ret);

/**
 * peer_is_allowed() - whether the other end may give commands
 * @group: its members may, besides root and our own user; (gid_t)-1: nobody else
 */
bool peer_is_allowed(int fd, const struct peer *peer, gid_t group);
