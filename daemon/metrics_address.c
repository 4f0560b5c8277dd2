/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/metrics_address.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 128

/* What bind(2) takes. */
struct target {
        union {
                struct sockaddr any;
                struct sockaddr_in ipv4;
                struct sockaddr_in6 ipv6;
        } address;
        socklen_t length;
};

static bool parse_port(const char *text, in_port_t *ret)
{
        unsigned int port = 0;

        if (*text == '\0' || strlen(text) > 5)
                return false;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return false;
                port = port * 10 + (unsigned int)(*text - '0');
        }
        *ret = htons((uint16_t)port);
        return port <= UINT16_MAX;
}

/* @host is "127.0.0.1" or "[::1]". */
static bool parse_host(char *host, struct target *target)
{
        const size_t length = strlen(host);

        if (host[0] != '[') {
                target->address.ipv4.sin_family = AF_INET;
                target->length = sizeof(target->address.ipv4);
                return inet_pton(AF_INET, host, &target->address.ipv4.sin_addr) == 1;
        }
        if (host[length - 1] != ']')
                return false;
        host[length - 1] = '\0';
        target->address.ipv6.sin6_family = AF_INET6;
        target->length = sizeof(target->address.ipv6);
        return inet_pton(AF_INET6, host + 1, &target->address.ipv6.sin6_addr) == 1;
}

static bool parse(const char *address, struct target *ret)
{
        char host[64] = "";
        const char *colon = strrchr(address, ':');
        in_port_t port = 0;

        *ret = (struct target){0};
        if (!colon || colon == address || (size_t)(colon - address) >= sizeof(host))
                return false;
        memcpy(host, address, (size_t)(colon - address));
        if (!parse_port(colon + 1, &port) || !parse_host(host, ret))
                return false;
        if (ret->address.any.sa_family == AF_INET)
                ret->address.ipv4.sin_port = port;
        else
                ret->address.ipv6.sin6_port = port;
        return true;
}

static int parse_or_say(const char *address, struct target *ret, struct failure *failure)
{
        if (parse(address, ret))
                return 0;
        return failure_set(
                failure, -EINVAL,
                "\"%s\" is no address to serve metrics at: it takes a numeric address and a port, such "
                "as 127.0.0.1:9747 or [::1]:9747",
                address);
}

int metrics_address_check(const char *address, struct failure *failure)
{
        struct target target = {0};

        return parse_or_say(address, &target, failure);
}

int metrics_address_listen(const char *address, int *ret_fd, struct failure *failure)
{
        static const int on = 1;
        struct target target = {0};
        CLEANUP_CLOSE int fd = -1;
        int r = parse_or_say(address, &target, failure);

        if (r < 0)
                return r;
        fd = socket(target.address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return failure_errno(failure, -errno, "cannot make a socket to serve metrics at %s", address);
        /* After a restart, connections of the one before linger and must not keep the port. */
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (target.address.any.sa_family == AF_INET6)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
        if (bind(fd, &target.address.any, target.length) < 0 || listen(fd, BACKLOG) < 0) {
                if (errno == EADDRINUSE)
                        return failure_set(failure, -EADDRINUSE,
                                           "cannot serve metrics at %s: another program listens there",
                                           address);
                return failure_errno(failure, -errno, "cannot serve metrics at %s", address);
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}
