/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/moment.h"

#include "base/clock.h"
#include "conf/duration.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

/* Without the seconds, without the time: whatever is not given is 0. */
static bool parse_date(const char *text, struct tm *ret, const char **ret_rest)
{
        static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                              "%Y-%m-%d %H:%M", "%Y-%m-%d"};

        for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
                *ret = (struct tm){.tm_isdst = -1};
                *ret_rest = strptime(text, formats[i], ret);
                if (*ret_rest && (**ret_rest == '\0' || strcmp(*ret_rest, "Z") == 0))
                        return true;
        }
        return false;
}

int moment_parse(const char *text, uint64_t *ret, struct failure *failure)
{
        const time_t now = time(NULL);
        const char *rest = NULL;
        struct tm date = {0};
        uint64_t ago_usec = 0;
        time_t moment = -1;

        if (parse_date(text, &date, &rest))
                moment = *rest == 'Z' ? timegm(&date) : mktime(&date);
        else if (duration_parse(text, &ago_usec) == 0 && ago_usec / USEC_PER_SEC < (uint64_t)now)
                moment = now - (time_t)(ago_usec / USEC_PER_SEC);
        if (moment < 0)
                return failure_set(
                        failure, -EINVAL,
                        "\"%s\" is no point in time: give a duration (7d ago is 7d) or a date like "
                        "2026-11-24 or \"2026-11-24 17:00\"",
                        text);
        *ret = (uint64_t)moment;
        return 0;
}
