/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/address.h"

#include "base/cleanup.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PORT_MAX 65535

static bool is_port(const char *text)
{
        const size_t length = strspn(text, "0123456789");
        const unsigned long port = strtoul(text, NULL, 10);

        return length > 0 && text[length] == '\0' && port <= PORT_MAX;
}

/* Takes the brackets away from an IPv6 address. False for one that lacks them, and for what is neither:
 * getaddrinfo() would take "*" for all addresses. */
static bool strip_brackets(char **host)
{
        const size_t length = strlen(*host);

        if (**host != '[')
                return length > 0 && strspn(*host, "0123456789.") == length;
        if ((*host)[length - 1] != ']' || !strchr(*host, ':'))
                return false;
        (*host)[length - 1] = '\0';
        (*host)++;
        return true;
}

static int resolve_address(const char *host, const char *port, struct address *ret)
{
        const struct addrinfo hints = {
                .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                .ai_socktype = SOCK_STREAM,
        };
        struct addrinfo *found = NULL;
        const int r = getaddrinfo(host, port, &hints, &found);

        if (r != 0)
                return r == EAI_MEMORY ? -ENOMEM : -EINVAL;
        *ret = (struct address){.length = found->ai_addrlen};
        memcpy(&ret->sockaddr, found->ai_addr, found->ai_addrlen);
        freeaddrinfo(found);
        return 0;
}

int address_parse(const char *text, struct address *ret)
{
        CLEANUP_FREE char *copy = strdup(text);
        char *host = copy;
        char *port = NULL;

        if (!copy)
                return -ENOMEM;
        port = strrchr(copy, ':');
        if (!port)
                return -EINVAL;
        *port++ = '\0';
        if (!is_port(port) || !strip_brackets(&host))
                return -EINVAL;
        return resolve_address(host, port, ret);
}

void address_format(const struct address *address, char text[ADDRESS_TEXT_BYTES])
{
        char host[ADDRESS_TEXT_BYTES - 16] = "";
        char port[8] = "";

        text[0] = '\0';
        if (address->length == 0 ||
            getnameinfo((const struct sockaddr *)&address->sockaddr, address->length, host, sizeof(host),
                        port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
                return;
        (void)snprintf(text, ADDRESS_TEXT_BYTES, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}
