/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/failure.h"
#include "base/text.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void check(const char *from, const char *expected)
{
        char text[64] = "";

        (void)snprintf(text, sizeof(text), "%s", from);
        text_make_printable(text);
        CU_ASSERT_STRING_EQUAL(text, expected);
}

static void test_printable_text_stays(void)
{
        check("web1", "web1");
        check("Gäste-Rechner 客户机 🖥", "Gäste-Rechner 客户机 🖥");
        check("", "");
}

static void test_controls_go(void)
{
        check("a\x1b[31mred\nb\tc\x7f", "a?[31mred?b?c?");
        check("c1 \xc2\x9b x", "c1 ?? x");
        /* NOLINTNEXTLINE(misc-misleading-bidirectional): that is the point */
        check("turned \xe2\x80\xae round", "turned ??? round");
}

static void test_bad_utf8_goes(void)
{
        check("\xff\xfe", "??");
        check("\xc0\xaf", "??");           /* overlong */
        check("\xed\xa0\x80", "???");      /* surrogate */
        check("cut \xe5\xae", "cut ??");   /* ends in the middle */
        check("\xf4\x90\x80\x80", "????"); /* beyond Unicode */
}

static void test_columns(void)
{
        CU_ASSERT_EQUAL(text_columns("web1"), 4);
        CU_ASSERT_EQUAL(text_columns("Gäste"), 5);
}

static void test_failure_is_one_harmless_sentence(void)
{
        struct failure failure = {0};

        CU_ASSERT_EQUAL(failure_set(&failure, -EIO, "it said \"%s\"", "\x1b]0;x\a"), -EIO);
        CU_ASSERT_STRING_EQUAL(failure.text, "it said \"?]0;x?\"");
        CU_ASSERT_EQUAL(failure_errno(&failure, -ENOENT, "cannot open %s", "x"), -ENOENT);
        CU_ASSERT_STRING_EQUAL(failure.text, "cannot open x: No such file or directory");
        CU_ASSERT_EQUAL(failure_set(NULL, -EIO, "nobody listens"), -EIO);
}

static void test_failure_is_cut_short(void)
{
        struct failure failure = {0};
        char text[2000];

        memset(text, 'x', sizeof(text));
        text[sizeof(text) - 1] = '\0';
        (void)failure_errno(&failure, -EIO, "%s", text);
        CU_ASSERT_EQUAL(strlen(failure.text), FAILURE_TEXT_BYTES - 1);
}

static const struct unit_test tests[] = {
        {"printable text stays", test_printable_text_stays},
        {"controls go", test_controls_go},
        {"bad utf-8 goes", test_bad_utf8_goes},
        {"columns", test_columns},
        {"failure is one harmless sentence", test_failure_is_one_harmless_sentence},
        {"failure is cut short", test_failure_is_cut_short},
};

UNIT_MAIN("text", tests)
