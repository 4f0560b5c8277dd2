/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where to listen: "127.0.0.1:9747", "[::1]:9747". */
#pragma once

#include <sys/socket.h>

/* Initialise with {0}: no address. @length is 0 then. */
struct address {
        struct sockaddr_storage sockaddr;
        socklen_t length;
};

/**
 * address_parse() - read an IP address and a port
 * @text: an IPv6 address stands in brackets; names are refused, so nothing waits for a name server; at port 0
 *        the kernel chooses one
 *
 * Return: 0; -EINVAL when it is none; -ENOMEM.
 */
int address_parse(const char *text, struct address *ret);

/* What address_format() writes: an IPv6 address in brackets, with a scope, and a port. */
#define ADDRESS_TEXT_BYTES 96

/* The text of an address again; empty where there is none. */
void address_format(const struct address *address, char text[ADDRESS_TEXT_BYTES]);
