/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/duration.h"
#include "unit.h"

#include <errno.h>

static void test_good(void)
{
        static const struct {
                const char *text;
                uint64_t usec;
        } cases[] = {
                {"0", 0},
                {"0w", 0},
                {"7", 7000000},
                {"7us", 7},
                {"7ms", 7000},
                {"7s", 7000000},
                {"7min", 420000000},
                {"7h", 25200000000},
                {"7d", 604800000000},
                {"1w", 604800000000},
                {"5 min", 300000000},
                {"007s", 7000000},
                {"18446744073709551615us", UINT64_MAX},
                {"18446744073709s", UINT64_C(18446744073709000000)},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                uint64_t usec = 1;

                CU_ASSERT_EQUAL(duration_parse(cases[i].text, &usec), 0);
                CU_ASSERT_EQUAL(usec, cases[i].usec);
        }
}

static void test_bad(void)
{
        static const struct {
                const char *text;
                int error;
        } cases[] = {
                {"", -EINVAL},
                {"s", -EINVAL},
                {"-1s", -EINVAL},
                {"+1s", -EINVAL},
                {" 1s", -EINVAL},
                {"1.5h", -EINVAL},
                {"1m", -EINVAL},
                {"1S", -EINVAL},
                {"1hh", -EINVAL},
                {"1h ", -EINVAL},
                {"1h 30min", -EINVAL},
                {"1e3", -EINVAL},
                {"0x10", -EINVAL},
                {"18446744073709551616us", -ERANGE},
                {"18446744073710s", -ERANGE},
                {"30500569w", -ERANGE},
                {"99999999999999999999999999999999999999999999", -ERANGE},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                uint64_t usec = 12345;

                CU_ASSERT_EQUAL(duration_parse(cases[i].text, &usec), cases[i].error);
                CU_ASSERT_EQUAL(usec, 12345);
        }
}

static void test_to_text(void)
{
        static const struct {
                uint64_t usec;
                const char *text;
        } cases[] = {
                {0, "0"},
                {1, "1us"},
                {1500, "1500us"},
                {500000, "500ms"},
                {90000000, "90s"},
                {300000000, "5min"},
                {3600000000, "1h"},
                {86400000000, "1d"},
                {604800000000, "1w"},
                {UINT64_MAX, "18446744073709551615us"},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char text[DURATION_TEXT_BYTES] = "";
                uint64_t usec = 1;

                duration_to_text(cases[i].usec, text);
                CU_ASSERT_STRING_EQUAL(text, cases[i].text);
                CU_ASSERT_EQUAL(duration_parse(text, &usec), 0);
                CU_ASSERT_EQUAL(usec, cases[i].usec);
        }
}

static const struct unit_test tests[] = {
        {"good", test_good},
        {"bad", test_bad},
        {"to text and back", test_to_text},
};

UNIT_MAIN("duration", tests)
