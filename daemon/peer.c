/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/peer.h"

#include "base/cleanup.h"

#include <errno.h>
#include <sys/socket.h>

/* The most groups that a process can have (NGROUPS_MAX of Linux). */
#define GROUPS_MAX 65536

int peer_get(int fd, struct peer *ret)
{
        struct ucred credentials = {0};
        socklen_t length = sizeof(credentials);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
                return -errno;
        *ret = (struct peer){credentials.uid, credentials.gid};
        return 0;
}

static bool has_group(int fd, gid_t group)
{
        CLEANUP_FREE gid_t *groups = calloc(GROUPS_MAX, sizeof(*groups));
        socklen_t length = GROUPS_MAX * sizeof(*groups);

        if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0)
                return false;
        for (size_t i = 0; i < length / sizeof(*groups); i++)
                if (groups[i] == group)
                        return true;
        return false;
}

bool peer_is_allowed(int fd, const struct peer *peer, gid_t group)
{
        if (peer->uid == 0 || peer->uid == geteuid())
                return true;
        return group != (gid_t)-1 && (peer->gid == group || has_group(fd, group));
}
