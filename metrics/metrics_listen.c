/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "metrics/metrics_listen.h"

#include "base/cleanup.h"

#include <errno.h>
#include <netinet/in.h>

#define BACKLOG 128

int metrics_listen(const struct address *address, int *ret_fd, struct failure *failure)
{
        static const int on = 1;
        char text[ADDRESS_TEXT_BYTES] = "";
        CLEANUP_CLOSE int fd =
                socket(address->sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        address_format(address, text);
        if (fd < 0)
                return failure_errno(failure, -errno, "cannot make a socket to serve metrics at %s", text);
        /* After a restart, connections of the previous process linger and must not keep the port. */
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (address->sockaddr.ss_family == AF_INET6)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
        if (bind(fd, (const struct sockaddr *)&address->sockaddr, address->length) < 0 ||
            listen(fd, BACKLOG) < 0) {
                if (errno == EADDRINUSE)
                        return failure_set(failure, -EADDRINUSE,
                                           "cannot serve metrics at %s: another program listens there", text);
                return failure_errno(failure, -errno, "cannot serve metrics at %s", text);
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}
