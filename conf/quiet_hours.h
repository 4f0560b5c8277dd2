/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Times of the week in which nothing is to be started, by the clock on the wall. */
#pragma once

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Ranges in one list. */
#define QUIET_HOURS_MAX 128

/**
 * struct quiet_range - one range of every week
 * @days: the days on which it begins, bit 0 for Sunday as in tm_wday
 * @from_min: first minute of the day that belongs to it
 * @to_min: first minute that does not; if it is below @from_min, a minute of the day after
 */
struct quiet_range {
        uint8_t days;
        uint16_t from_min;
        uint16_t to_min;
};

/* Initialise with {0}: never quiet. */
struct quiet_hours {
        struct quiet_range *ranges;
        size_t n;
};

/**
 * quiet_hours_parse() - read a list like "22:00-06:00" or "Mon-Fri 08:00-12:00 13:00-17:00, Sun 00:00-24:00"
 * @text: entries between commas or line ends; each has ranges of time, which may cross midnight, behind the
 *	  weekdays on which they begin (none: every day)
 * @ret: replaces what was there on success
 *
 * Return: 0; -EINVAL or -E2BIG with a sentence in @failure; -ENOMEM.
 */
int quiet_hours_parse(const char *text, struct quiet_hours *ret, struct failure *failure);

/**
 * quiet_hours_contain() - whether a time is quiet
 * @local: of which tm_wday, tm_hour and tm_min count, so that clock changes do what the clock on the wall
 *	   says
 */
bool quiet_hours_contain(const struct quiet_hours *hours, const struct tm *local);

void quiet_hours_deinit(struct quiet_hours *hours);
