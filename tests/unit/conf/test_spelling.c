/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/spelling.h"
#include "unit.h"

#include <stdint.h>

static void test_distance(void)
{
        CU_ASSERT_EQUAL(spelling_distance("", ""), 0);
        CU_ASSERT_EQUAL(spelling_distance("", "abc"), 3);
        CU_ASSERT_EQUAL(spelling_distance("abc", ""), 3);
        CU_ASSERT_EQUAL(spelling_distance("interval", "interval"), 0);
        CU_ASSERT_EQUAL(spelling_distance("intervall", "interval"), 1);
        CU_ASSERT_EQUAL(spelling_distance("inteval", "interval"), 1);
        CU_ASSERT_EQUAL(spelling_distance("max-pause", "max_pause"), 1);
        CU_ASSERT_EQUAL(spelling_distance("include", "exclude"), 2);
        CU_ASSERT_EQUAL(spelling_distance("kitten", "sitting"), 3);
}

static void test_long_words(void)
{
        static const char longest[] = "0123456789012345678901234567890123456789012345678901234567890123";
        static const char longer[] = "01234567890123456789012345678901234567890123456789012345678901234";

        CU_ASSERT_EQUAL(spelling_distance(longest, ""), 64);
        CU_ASSERT_EQUAL(spelling_distance("", longest), 64);
        CU_ASSERT_EQUAL(spelling_distance(longest, longest), 0);
        CU_ASSERT_EQUAL(spelling_distance(longer, ""), SIZE_MAX);
        CU_ASSERT_EQUAL(spelling_distance("", longer), SIZE_MAX);
}

static void test_close(void)
{
        CU_ASSERT_TRUE(spelling_is_close(0, "x"));
        CU_ASSERT_FALSE(spelling_is_close(1, "ab"));
        CU_ASSERT_TRUE(spelling_is_close(1, "mode"));
        CU_ASSERT_FALSE(spelling_is_close(2, "mode"));
        CU_ASSERT_FALSE(spelling_is_close(SIZE_MAX, "mode"));
}

static const struct unit_test tests[] = {
        {"distance", test_distance},
        {"long words", test_long_words},
        {"close", test_close},
};

UNIT_MAIN("spelling", tests)
