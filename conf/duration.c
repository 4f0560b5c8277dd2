/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/duration.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* From the largest, for duration_to_text(). */
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

static int parse_unit(const char *text, uint64_t *ret_usec)
{
        if (*text == '\0') {
                *ret_usec = USEC_PER_SEC;
                return 0;
        }
        for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
                if (strcmp(units[i].name, text) != 0)
                        continue;
                *ret_usec = units[i].usec;
                return 0;
        }
        return -EINVAL;
}

int duration_parse(const char *text, uint64_t *ret_usec)
{
        uint64_t number = 0;
        uint64_t unit_usec = 0;
        bool overflows = false;
        int r = 0;

        if (!isdigit((unsigned char)*text))
                return -EINVAL;
        for (; isdigit((unsigned char)*text); text++) {
                overflows |= __builtin_mul_overflow(number, UINT64_C(10), &number);
                overflows |= __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number);
        }
        r = parse_unit(text + strspn(text, " \t"), &unit_usec);
        if (r < 0)
                return r;
        if (overflows || __builtin_mul_overflow(number, unit_usec, &number))
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
