/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/sampler_lines.h"
#include "unit.h"

static struct pace_sample parse(const char *text)
{
        struct json_object *data = json_tokener_parse(text);
        const struct pace_sample sample = sampler_parse(data);

        json_object_put(data);
        return sample;
}

static void test_shares(void)
{
        const struct pace_sample sample =
                parse("{\"pages\":4000,\"merged\":400,\"read\":2000,\"changed\":20}");

        CU_ASSERT_EQUAL(sample.pages, 4000);
        CU_ASSERT_DOUBLE_EQUAL(sample.merged, 0.1, 1e-9);
        CU_ASSERT_DOUBLE_EQUAL(sample.changed, 0.01, 1e-9);
        /* 1.96 * sqrt(p (1 - p) / 4004), p = 402 / 4004 */
        CU_ASSERT_DOUBLE_EQUAL(sample.merged_error, 0.00931, 1e-5);
}

/* However clear they are, few pages do not make certain. */
static void test_few_pages(void)
{
        CU_ASSERT_TRUE(parse("{\"pages\":18,\"merged\":0,\"changed\":0}").merged_error > 0.1);
        CU_ASSERT_TRUE(parse("{\"pages\":18,\"merged\":18,\"changed\":0}").merged_error > 0.1);
        CU_ASSERT_TRUE(parse("{\"pages\":1,\"merged\":0,\"read\":1,\"changed\":1}").changed_error > 0.4);
        CU_ASSERT_TRUE(parse("{\"pages\":4000,\"merged\":0,\"changed\":0}").merged_error > 0);
        CU_ASSERT_DOUBLE_EQUAL(parse("{\"pages\":4000,\"merged\":0,\"changed\":9}").changed, 0,
                               1e-9); /* none was read */
}

static void test_nonsense(void)
{
        CU_ASSERT_EQUAL(parse("{}").pages, 0);
        CU_ASSERT_EQUAL(parse("[]").pages, 0);
        CU_ASSERT_EQUAL(parse("{\"pages\":-1,\"merged\":5}").pages, 0);
        CU_ASSERT_DOUBLE_EQUAL(parse("{\"pages\":10,\"merged\":50,\"changed\":-3}").merged, 1, 1e-9);
}

static const struct unit_test tests[] = {
        {"shares", test_shares},
        {"few pages", test_few_pages},
        {"nonsense", test_nonsense},
};

UNIT_MAIN("sampler", tests)
