/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/duration.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest first, because duration_to_text() takes the first that fits. */
static const struct {
        const char *name;
        uint64_t usec;
} units[] = {
        {"w", 7 * (24 * (3600 * USEC_PER_SEC))},
        {"d", 24 * (3600 * USEC_PER_SEC)},
        {"h", 3600 * USEC_PER_SEC},
        {"min", 60 * USEC_PER_SEC},
        {"s", USEC_PER_SEC},
        {"ms", USEC_PER_MSEC},
        {"us", 1},
};

int duration_parse(const char *text, uint64_t *ret_usec)
{
        uint64_t number = 0;
        char *rest = NULL;
        const char *name = NULL;
        size_t i = 0;

        if (!isdigit((unsigned char)*text))
                return -EINVAL;
        errno = 0;
        number = strtoull(text, &rest, 10);
        name = rest + strspn(rest, " \t");
        if (*name == '\0')
                name = "s";
        while (i < ARRAY_SIZE(units) && strcmp(units[i].name, name) != 0)
                i++;
        if (i == ARRAY_SIZE(units))
                return -EINVAL;
        if (errno == ERANGE || __builtin_mul_overflow(number, units[i].usec, &number))
                return -ERANGE;
        *ret_usec = number;
        return 0;
}

void duration_to_text(uint64_t usec, char text[DURATION_TEXT_BYTES])
{
        size_t i = 0;

        if (usec == 0) {
                (void)snprintf(text, DURATION_TEXT_BYTES, "0");
                return;
        }
        while (usec % units[i].usec != 0) /* the last unit divides everything */
                i++;
        (void)snprintf(text, DURATION_TEXT_BYTES, "%" PRIu64 "%s", usec / units[i].usec, units[i].name);
}
