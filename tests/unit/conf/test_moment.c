/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "conf/moment.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define DAY UINT64_C(86400)

static uint64_t parse(const char *text)
{
        uint64_t moment = 0;

        CU_ASSERT_EQUAL(moment_parse(text, &moment, NULL), 0);
        return moment;
}

/* 2026-11-24 00:00 UTC is 1795478400; Berlin is an hour ahead of it in winter, two in summer. */
static void test_dates(void)
{
        (void)setenv("TZ", "Europe/Berlin", 1);
        tzset();
        CU_ASSERT_EQUAL(parse("2026-11-24Z"), UINT64_C(1795478400));
        CU_ASSERT_EQUAL(parse("2026-11-24"), UINT64_C(1795478400) - 3600);
        CU_ASSERT_EQUAL(parse("2026-11-24 17:30"), UINT64_C(1795478400) + 16 * UINT64_C(3600) + 1800);
        CU_ASSERT_EQUAL(parse("2026-11-24T17:30:05Z"), UINT64_C(1795478400) + 17 * UINT64_C(3600) + 1805);
        CU_ASSERT_EQUAL(parse("2026-07-01 02:00"), parse("2026-07-01T00:00Z"));
        (void)unsetenv("TZ");
        tzset();
}

static void test_ago(void)
{
        const uint64_t now = (uint64_t)time(NULL);
        const uint64_t week_ago = parse("7d");

        CU_ASSERT_TRUE(week_ago >= now - 7 * DAY && week_ago <= now - 7 * DAY + 5);
        CU_ASSERT_TRUE(parse("0s") >= now);
}

static void test_nonsense(void)
{
        static const char *const texts[] = {
                "",    "soon",       "2026-13-01", "2026-11-24 25:00", "2026-11-24x", "5000000000w",
                "-1d", "1969-01-01Z"};
        uint64_t moment = 0;
        struct failure failure = {0};

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                CU_ASSERT_EQUAL(moment_parse(texts[i], &moment, &failure), -EINVAL);
        CU_ASSERT_TRUE(failure.text[0] != '\0');
}

static const struct unit_test tests[] = {
        {"dates", test_dates},
        {"ago", test_ago},
        {"nonsense", test_nonsense},
};

UNIT_MAIN("moment", tests)
