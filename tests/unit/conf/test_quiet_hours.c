/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/config.h"
#include "conf/quiet_hours.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUN, MON, TUE, WED, THU, FRI, SAT };

/* Whether the list has a time of the week; aborts the test when it is none. */
static bool has(const char *text, int day, int hour, int min)
{
        const struct tm local = {.tm_wday = day, .tm_hour = hour, .tm_min = min, .tm_sec = 59};
        struct quiet_hours hours = {0};
        bool found = false;

        CU_ASSERT_EQUAL_FATAL(quiet_hours_parse(text, &hours, NULL), 0);
        found = quiet_hours_contain(&hours, &local);
        quiet_hours_deinit(&hours);
        return found;
}

static void test_empty(void)
{
        CU_ASSERT_FALSE(has("", MON, 0, 0));
        CU_ASSERT_FALSE(has(" ", MON, 0, 0));
        CU_ASSERT_FALSE(has(",\n", MON, 0, 0));
}

static void test_in_a_day(void)
{
        CU_ASSERT_FALSE(has("08:00-12:30", MON, 7, 59));
        CU_ASSERT_TRUE(has("08:00-12:30", MON, 8, 0));
        CU_ASSERT_TRUE(has("08:00-12:30", SUN, 12, 29));
        CU_ASSERT_FALSE(has("08:00-12:30", MON, 12, 30));
        CU_ASSERT_TRUE(has("00:00-24:00", SAT, 23, 59));
        CU_ASSERT_TRUE(has("00:00-24:00", SAT, 0, 0));
        CU_ASSERT_TRUE(has("01:00-02:00 04:00-05:00", SAT, 4, 30));
        CU_ASSERT_FALSE(has("01:00-02:00 04:00-05:00", SAT, 3, 0));
}

static void test_across_midnight(void)
{
        for (int day = SUN; day <= SAT; day++) {
                CU_ASSERT_FALSE(has("22:00-06:00", day, 21, 59));
                CU_ASSERT_TRUE(has("22:00-06:00", day, 22, 0));
                CU_ASSERT_TRUE(has("22:00-06:00", day, 0, 0));
                CU_ASSERT_TRUE(has("22:00-06:00", day, 5, 59));
                CU_ASSERT_FALSE(has("22:00-06:00", day, 6, 0));
        }
}

static void test_weekdays(void)
{
        CU_ASSERT_TRUE(has("Mon-Fri 08:00-18:00", MON, 8, 0));
        CU_ASSERT_TRUE(has("Mon-Fri 08:00-18:00", FRI, 17, 59));
        CU_ASSERT_FALSE(has("Mon-Fri 08:00-18:00", SAT, 12, 0));
        CU_ASSERT_FALSE(has("Mon-Fri 08:00-18:00", SUN, 12, 0));
        CU_ASSERT_TRUE(has("monday WED-thu 08:00-18:00", WED, 12, 0));
        CU_ASSERT_FALSE(has("monday WED-thu 08:00-18:00", TUE, 12, 0));
        CU_ASSERT_TRUE(has("Fri-Mon 08:00-18:00", SUN, 12, 0));
        CU_ASSERT_FALSE(has("Fri-Mon 08:00-18:00", TUE, 12, 0));
        /* Days count up to the next comma or line. */
        CU_ASSERT_FALSE(has("Mon 01:00-02:00 03:00-04:00, 05:00-06:00", TUE, 3, 0));
        CU_ASSERT_TRUE(has("Mon 01:00-02:00 03:00-04:00, 05:00-06:00", TUE, 5, 0));
        CU_ASSERT_TRUE(has("Mon 01:00-02:00\n05:00-06:00", TUE, 5, 0));
}

/* The day is the one on which the range begins. */
static void test_weekdays_across_midnight(void)
{
        CU_ASSERT_FALSE(has("Fri 22:00-06:00", FRI, 5, 0));
        CU_ASSERT_TRUE(has("Fri 22:00-06:00", FRI, 23, 0));
        CU_ASSERT_TRUE(has("Fri 22:00-06:00", SAT, 5, 59));
        CU_ASSERT_FALSE(has("Fri 22:00-06:00", SAT, 6, 0));
        CU_ASSERT_FALSE(has("Fri 22:00-06:00", SAT, 22, 0));
        CU_ASSERT_TRUE(has("Sat 22:00-06:00", SUN, 1, 0));
        CU_ASSERT_FALSE(has("Fri 22:00-24:00", SAT, 0, 0));
        CU_ASSERT_TRUE(has("Fri 22:00-00:00", FRI, 23, 59));
        CU_ASSERT_FALSE(has("Fri 22:00-00:00", SAT, 0, 0));
}

static void test_what_is_none(void)
{
        static const char *const cases[] = {
                "8:00-9:00",
                "08:00",
                "08:00-",
                "08:00-9:00",
                "08:00-25:00",
                "08:60-09:00",
                "24:00-01:00",
                "08:00-24:01",
                "08:00-08:00",
                "08:00 - 09:00",
                "08:00-09:00x",
                "08:00-09:00;10:00-11:00",
                "0800-0900",
                "-",
                "Mon",
                "Mon,",
                "Mo 08:00-09:00",
                "Mond 08:00-09:00",
                "Mon- 08:00-09:00",
                "Mon-Fri-Sat 08:00-09:00",
                "Mon,Tue 08:00-09:00",
                "Mon 08:00-09:00 Tue 08:00-09:00",
                "08:00-09:00 # night",
                "\xff\xff",
                "Wednesdayyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy 08:00-09:00",
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct quiet_hours hours = {0};
                struct failure failure = {0};

                CU_ASSERT_EQUAL(quiet_hours_parse(cases[i], &hours, &failure), -EINVAL);
                CU_ASSERT_NOT_EQUAL(failure.text[0], '\0');
                CU_ASSERT_EQUAL(hours.n, 0);
        }
}

static void test_limit(void)
{
        static char text[12 * (QUIET_HOURS_MAX + 1) + 1];
        struct quiet_hours hours = {0};

        for (size_t i = 0; i <= QUIET_HOURS_MAX; i++)
                (void)snprintf(text + 12 * i, 13, "01:00-02:00 ");
        CU_ASSERT_EQUAL(quiet_hours_parse(text, &hours, NULL), -E2BIG);
        CU_ASSERT_EQUAL(quiet_hours_parse(text + 12, &hours, NULL), 0);
        CU_ASSERT_EQUAL(hours.n, QUIET_HOURS_MAX);
        quiet_hours_deinit(&hours);
}

/* By the clock on the wall: central European time, with the clock changes of 2024. */
static void test_of_a_configuration(void)
{
        struct options *config = NULL;

        CU_ASSERT_EQUAL(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1), 0);
        tzset();
        CU_ASSERT_EQUAL_FATAL(options_new(true, &config), 0);
        CU_ASSERT_FALSE(options_are_quiet(config, 1720994400));
        CU_ASSERT_EQUAL(options_set_key(config, options_find_key("schedule", "quiet_hours"), NULL,
                                        "Sun 22:00-01:00, 02:30-03:00", NULL),
                        0);
        CU_ASSERT_FALSE(options_are_quiet(config, 1720987199)); /* Sun 14 Jul 2024, 21:59:59 */
        CU_ASSERT_TRUE(options_are_quiet(config, 1720987200));  /* 22:00:00 */
        CU_ASSERT_TRUE(options_are_quiet(config, 1720997999));  /* Mon 00:59:59 */
        CU_ASSERT_FALSE(options_are_quiet(config, 1720998000)); /* 01:00:00 */
        CU_ASSERT_FALSE(options_are_quiet(config, 1705265999)); /* Sun 14 Jan 2024, 21:59:59 */
        CU_ASSERT_TRUE(options_are_quiet(config, 1705266000));  /* 22:00:00 */
        /* On 27 Oct 2024, 02:30 comes twice; on 31 Mar 2024 it does not come. */
        CU_ASSERT_TRUE(options_are_quiet(config, 1729989000));
        CU_ASSERT_TRUE(options_are_quiet(config, 1729992600));
        CU_ASSERT_FALSE(options_are_quiet(config, 1711846800));
        CU_ASSERT_FALSE(options_are_quiet(config, 1711846799));
        options_free(config);
}

static const struct unit_test tests[] = {
        {"empty", test_empty},
        {"in a day", test_in_a_day},
        {"across midnight", test_across_midnight},
        {"weekdays", test_weekdays},
        {"weekdays across midnight", test_weekdays_across_midnight},
        {"what is none", test_what_is_none},
        {"limit", test_limit},
        {"of a configuration", test_of_a_configuration},
};

UNIT_MAIN("quiet_hours", tests)
