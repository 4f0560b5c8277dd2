/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/address.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* The address as it was understood, in one notation. */
static const char *parse(const char *text)
{
        static char shown[INET6_ADDRSTRLEN + 10];
        struct address address = {0};
        char host[INET6_ADDRSTRLEN] = "";
        struct sockaddr_in in;
        struct sockaddr_in6 in6;

        if (address_parse(text, &address) != 0)
                return "none";
        memcpy(&in, &address.sockaddr, sizeof(in));
        memcpy(&in6, &address.sockaddr, sizeof(in6));
        if (in.sin_family == AF_INET && address.length == sizeof(in))
                (void)snprintf(shown, sizeof(shown), "%s %u",
                               inet_ntop(AF_INET, &in.sin_addr, host, sizeof(host)), ntohs(in.sin_port));
        else if (in.sin_family == AF_INET6 && address.length == sizeof(in6))
                (void)snprintf(shown, sizeof(shown), "%s %u",
                               inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof(host)), ntohs(in6.sin6_port));
        else
                (void)snprintf(shown, sizeof(shown), "odd");
        return shown;
}

static void test_good(void)
{
        CU_ASSERT_STRING_EQUAL(parse("127.0.0.1:9747"), "127.0.0.1 9747");
        CU_ASSERT_STRING_EQUAL(parse("0.0.0.0:1"), "0.0.0.0 1");
        CU_ASSERT_STRING_EQUAL(parse("127.0.0.1:0"), "127.0.0.1 0");
        CU_ASSERT_STRING_EQUAL(parse("[::1]:65535"), "::1 65535");
        CU_ASSERT_STRING_EQUAL(parse("[2001:DB8::7]:80"), "2001:db8::7 80");
}

static void test_bad(void)
{
        static const char *const cases[] = {
                "",
                ":",
                ":80",
                "127.0.0.1",
                "127.0.0.1:",
                "1.2.3.4:-1",
                "1.2.3.4:+8",
                "1.2.3.4:x",
                "1.2.3.4: 80",
                "1.2.3.4:65536",
                "1.2.3.4.5:80",
                "::1:80",
                "[::1]",
                "[::1:80",
                "[]:80",
                "[1.2.3.4]:80",
                "localhost:80",
                "*:80",
                "[::1]x:80",
                "[::g]:80",
                "1.2.3.4:80 ",
                "1.2.3.4:9999999999999999999999",
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                CU_ASSERT_STRING_EQUAL(parse(cases[i]), "none");
}

static const struct unit_test tests[] = {
        {"good", test_good},
        {"bad", test_bad},
};

UNIT_MAIN("address", tests)
