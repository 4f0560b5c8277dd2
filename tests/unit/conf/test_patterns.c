/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/groups.h"
#include "conf/patterns.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The words in brackets, or why they are none. */
static const char *parse(const char *text)
{
        static char shown[FAILURE_TEXT_BYTES];
        struct patterns patterns = {0};
        struct failure failure = {0};
        size_t length = 0;

        shown[0] = '\0';
        if (patterns_parse(text, &patterns, &failure) < 0) {
                (void)snprintf(shown, sizeof(shown), "%s", failure.text);
                return shown;
        }
        for (size_t i = 0; i < patterns.n; i++)
                length += (size_t)snprintf(shown + length, sizeof(shown) - length, "[%s]", patterns.words[i]);
        patterns_deinit(&patterns);
        return shown;
}

static void test_words(void)
{
        CU_ASSERT_STRING_EQUAL(parse(""), "");
        CU_ASSERT_STRING_EQUAL(parse(" \t\n"), "");
        CU_ASSERT_STRING_EQUAL(parse("a"), "[a]");
        CU_ASSERT_STRING_EQUAL(parse(" web* \tdb?\n c[12] "), "[web*][db?][c[12]]");
        CU_ASSERT_STRING_EQUAL(parse("\"a b\" c"), "[a b][c]");
        CU_ASSERT_STRING_EQUAL(parse("\"a,\" \"#b\""), "[a,][#b]");
        CU_ASSERT_STRING_EQUAL(parse("a\\*b"), "[a\\*b]");
        CU_ASSERT_STRING_EQUAL(parse("a=b a#b a,b"), "[a=b][a#b][a,b]");
}

static void test_slips(void)
{
        CU_ASSERT_PTR_NOT_NULL(strstr(parse("\"a b"), "not closed"));
        CU_ASSERT_PTR_NOT_NULL(strstr(parse("\"a\nb\""), "not closed"));
        CU_ASSERT_PTR_NOT_NULL(strstr(parse("\""), "not closed"));
        CU_ASSERT_PTR_NOT_NULL(strstr(parse("\"a\"b"), "no blank behind"));
        CU_ASSERT_PTR_NOT_NULL(strstr(parse("a\"b\""), "a quote inside"));
        CU_ASSERT_PTR_NOT_NULL(strstr(parse("\"\""), "is empty"));
        CU_ASSERT_PTR_NOT_NULL(strstr(parse("a, b"), "without commas"));
        CU_ASSERT_PTR_NOT_NULL(strstr(parse("a # all"), "begins a comment"));
}

static void test_failure_changes_nothing(void)
{
        struct patterns patterns = {0};

        CU_ASSERT_EQUAL(patterns_parse("one two", &patterns, NULL), 0);
        CU_ASSERT_EQUAL(patterns_parse("three \"", &patterns, NULL), -EINVAL);
        CU_ASSERT_EQUAL(patterns.n, 2);
        CU_ASSERT_EQUAL(patterns_parse("three", &patterns, NULL), 0);
        CU_ASSERT_EQUAL(patterns.n, 1);
        CU_ASSERT_STRING_EQUAL(patterns.words[0], "three");
        patterns_deinit(&patterns);
}

static void test_match(void)
{
        struct patterns patterns = {0};

        CU_ASSERT_FALSE(patterns_match(&patterns, "web1"));
        CU_ASSERT_EQUAL(patterns_parse("web? \"a b*\" odd[1] x\\*", &patterns, NULL), 0);
        CU_ASSERT_TRUE(patterns_match(&patterns, "web1"));
        CU_ASSERT_FALSE(patterns_match(&patterns, "web12"));
        CU_ASSERT_FALSE(patterns_match(&patterns, "aweb1"));
        CU_ASSERT_TRUE(patterns_match(&patterns, "a bcd"));
        CU_ASSERT_TRUE(patterns_match(&patterns, "odd1"));
        CU_ASSERT_TRUE(patterns_match(&patterns, "odd[1]"));
        CU_ASSERT_TRUE(patterns_match(&patterns, "x*"));
        CU_ASSERT_FALSE(patterns_match(&patterns, "xy"));
        CU_ASSERT_EQUAL(patterns_parse("*", &patterns, NULL), 0);
        CU_ASSERT_TRUE(patterns_match(&patterns, "any/thing"));
        CU_ASSERT_TRUE(patterns_match(&patterns, ".hidden"));
        CU_ASSERT_TRUE(patterns_match(&patterns, "\xff\xfe\n"));
        patterns_deinit(&patterns);
}

static void test_limit(void)
{
        static char text[2 * (PATTERNS_MAX + 1) + 1];
        struct patterns patterns = {0};

        for (size_t i = 0; i <= PATTERNS_MAX; i++)
                (void)snprintf(text + 2 * i, 3, "a ");
        CU_ASSERT_EQUAL(patterns_parse(text, &patterns, NULL), -E2BIG);
        CU_ASSERT_EQUAL(patterns_parse(text + 2, &patterns, NULL), 0);
        CU_ASSERT_EQUAL(patterns.n, PATTERNS_MAX);
        patterns_deinit(&patterns);
}

static void test_groups(void)
{
        struct groups groups = {0};

        CU_ASSERT_PTR_NULL(groups_find(&groups, "a1"));
        CU_ASSERT_EQUAL(groups_set(&groups, "first", "a* b1", NULL), 0);
        CU_ASSERT_EQUAL(groups_set(&groups, "second", "a1 b*", NULL), 0);
        CU_ASSERT_STRING_EQUAL(groups_find(&groups, "a1"), "first");
        CU_ASSERT_STRING_EQUAL(groups_find(&groups, "b1"), "first");
        CU_ASSERT_STRING_EQUAL(groups_find(&groups, "b2"), "second");
        CU_ASSERT_PTR_NULL(groups_find(&groups, "c"));
        /* Other patterns, the same place. */
        CU_ASSERT_EQUAL(groups_set(&groups, "first", "b2", NULL), 0);
        CU_ASSERT_EQUAL(groups.n, 2);
        CU_ASSERT_STRING_EQUAL(groups_find(&groups, "b2"), "first");
        CU_ASSERT_STRING_EQUAL(groups_find(&groups, "a1"), "second");
        CU_ASSERT_EQUAL(groups_set(&groups, "first", "", NULL), 0);
        CU_ASSERT_STRING_EQUAL(groups_find(&groups, "b2"), "second");
        groups_deinit(&groups);
}

static void test_groups_limits(void)
{
        struct groups groups = {0};
        char name[GROUPS_NAME_MAX_BYTES + 2] = "";

        CU_ASSERT_EQUAL(groups_set(&groups, "", "a", NULL), -EINVAL);
        memset(name, 'n', GROUPS_NAME_MAX_BYTES + 1);
        CU_ASSERT_EQUAL(groups_set(&groups, name, "a", NULL), -EINVAL);
        name[GROUPS_NAME_MAX_BYTES] = '\0';
        CU_ASSERT_EQUAL(groups_set(&groups, name, "a", NULL), 0);
        for (size_t i = 1; i < GROUPS_MAX; i++) {
                (void)snprintf(name, sizeof(name), "%zu", i);
                CU_ASSERT_EQUAL_FATAL(groups_set(&groups, name, "a", NULL), 0);
        }
        CU_ASSERT_EQUAL(groups_set(&groups, "more", "a", NULL), -E2BIG);
        CU_ASSERT_EQUAL(groups_set(&groups, "1", "b", NULL), 0);
        groups_deinit(&groups);
}

static const struct unit_test tests[] = {
        {"words", test_words},
        {"slips", test_slips},
        {"a failure changes nothing", test_failure_changes_nothing},
        {"match", test_match},
        {"limit", test_limit},
        {"groups", test_groups},
        {"limits of groups", test_groups_limits},
};

UNIT_MAIN("patterns", tests)
