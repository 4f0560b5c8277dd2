/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/quiet_hours.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DAYS_PER_WEEK    7U
#define MINUTES_PER_HOUR 60U
#define MINUTES_PER_DAY  1440U
#define EVERY_DAY        0x7fU
#define SHORT_NAME       3U
#define BLANKS           " \t\r"
/* Longer words are no times and no days; they are quoted up to here. */
#define WORD_BYTES 40U

/* "Mon" or "Monday", which *@text stands at and is passed over. */
static bool take_weekday(const char **text, unsigned int *ret)
{
        static const char *const names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                            "Thursday", "Friday", "Saturday"};
        size_t length = 0;

        while (isalpha((unsigned char)(*text)[length]))
                length++;
        for (unsigned int day = 0; day < ARRAY_SIZE(names); day++) {
                if (length != SHORT_NAME && length != strlen(names[day]))
                        continue;
                if (strncasecmp(*text, names[day], length) != 0)
                        continue;
                *text += length;
                *ret = day;
                return true;
        }
        return false;
}

/* "Mon" or "Fri-Mon", and nothing behind. */
static bool parse_weekdays(const char *word, uint8_t *days)
{
        unsigned int first = 0;
        unsigned int last = 0;

        if (!take_weekday(&word, &first))
                return false;
        last = first;
        if (*word == '-') {
                word++;
                if (!take_weekday(&word, &last))
                        return false;
        }
        if (*word != '\0')
                return false;
        for (unsigned int day = first;; day = (day + 1) % DAYS_PER_WEEK) {
                *days |= (uint8_t)(1U << day);
                if (day == last)
                        return true;
        }
}

/* Two digits below @limit. */
static bool take_two_digits(const char **text, unsigned int limit, unsigned int *ret)
{
        const char *digits = *text;

        if (!isdigit((unsigned char)digits[0]) || !isdigit((unsigned char)digits[1]))
                return false;
        *ret = (unsigned int)(digits[0] - '0') * 10 + (unsigned int)(digits[1] - '0');
        *text += 2;
        return *ret < limit;
}

/* "08:00", up to "24:00". */
static bool take_time(const char **text, uint16_t *ret_min)
{
        unsigned int hour = 0;
        unsigned int min = 0;

        if (!take_two_digits(text, MINUTES_PER_DAY / MINUTES_PER_HOUR + 1, &hour) || *(*text)++ != ':' ||
            !take_two_digits(text, MINUTES_PER_HOUR, &min))
                return false;
        *ret_min = (uint16_t)(hour * MINUTES_PER_HOUR + min);
        return *ret_min <= MINUTES_PER_DAY;
}

/* "22:00-06:00", on @days. */
static int add_time_range(struct quiet_hours *hours, const char *text, uint8_t days, struct failure *failure)
{
        struct quiet_range range = {.days = days};
        struct quiet_range *larger = NULL;
        const char *rest = text;

        if (!take_time(&rest, &range.from_min) || *rest++ != '-' || !take_time(&rest, &range.to_min) ||
            *rest != '\0' || range.from_min == MINUTES_PER_DAY)
                return failure_set(failure, -EINVAL,
                                   "\"%s\" is no range of time like 22:00-06:00, up to 24:00", text);
        if (range.from_min == range.to_min)
                return failure_set(failure, -EINVAL, "\"%s\" is empty; a whole day is 00:00-24:00", text);
        if (hours->n == QUIET_HOURS_MAX)
                return failure_set(failure, -E2BIG, "more than %d ranges of time", QUIET_HOURS_MAX);
        larger = reallocarray(hours->ranges, hours->n + 1, sizeof(*larger));
        if (!larger)
                return failure_set(failure, -ENOMEM, "out of memory");
        hours->ranges = larger;
        hours->ranges[hours->n++] = range;
        return 0;
}

/* Weekdays and then ranges of time; changes @text. */
static int parse_quiet_entry(char *text, struct quiet_hours *hours, struct failure *failure)
{
        const size_t n_before = hours->n;
        uint8_t days = 0;

        while (text) {
                char *word = strsep(&text, BLANKS);
                int r = 0;

                if (*word == '\0')
                        continue;
                if (strlen(word) > WORD_BYTES)
                        word[WORD_BYTES] = '\0';
                if (!isalpha((unsigned char)*word))
                        r = add_time_range(hours, word, days ? days : EVERY_DAY, failure);
                else if (hours->n > n_before)
                        r = failure_set(failure, -EINVAL, "no comma before the weekday \"%s\"", word);
                else if (!parse_weekdays(word, &days))
                        r = failure_set(failure, -EINVAL, "\"%s\" is no weekday like Mon or Mon-Fri", word);
                if (r < 0)
                        return r;
        }
        if (days != 0 && hours->n == n_before)
                return failure_set(failure, -EINVAL, "weekdays without a range of time like 08:00-18:00");
        return 0;
}

int quiet_hours_parse(const char *text, struct quiet_hours *ret, struct failure *failure)
{
        CLEANUP(quiet_hours_deinit) struct quiet_hours hours = {0};
        CLEANUP_FREE char *copy = strdup(text);
        char *rest = copy;

        if (!copy)
                return failure_set(failure, -ENOMEM, "out of memory");
        while (rest) {
                int r = parse_quiet_entry(strsep(&rest, ",\n"), &hours, failure);

                if (r < 0)
                        return r;
        }
        quiet_hours_deinit(ret);
        *ret = hours;
        hours = (struct quiet_hours){0};
        return 0;
}

static bool range_contains(const struct quiet_range *range, unsigned int day, unsigned int min)
{
        const bool today = range->days & (1U << day);
        const bool yesterday = range->days & (1U << ((day + DAYS_PER_WEEK - 1) % DAYS_PER_WEEK));

        if (range->from_min < range->to_min)
                return today && min >= range->from_min && min < range->to_min;
        return (today && min >= range->from_min) || (yesterday && min < range->to_min);
}

bool quiet_hours_contain(const struct quiet_hours *hours, const struct tm *local)
{
        const unsigned int min =
                (unsigned int)local->tm_hour * MINUTES_PER_HOUR + (unsigned int)local->tm_min;

        for (size_t i = 0; i < hours->n; i++)
                if (range_contains(&hours->ranges[i], (unsigned int)local->tm_wday, min))
                        return true;
        return false;
}

void quiet_hours_deinit(struct quiet_hours *hours)
{
        free(hours->ranges);
        *hours = (struct quiet_hours){0};
}
