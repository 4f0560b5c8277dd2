/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "metrics/metrics_histogram.h"
#include "metrics/metrics_text.h"
#include "unit.h"

#include <string.h>

static const struct metrics_family counter = {
        .name = "made_things", .type = METRICS_TYPE_COUNTER, .help = "Things."};
static const struct metrics_family info = {.name = "made", .type = METRICS_TYPE_INFO, .help = "Facts."};
static const struct metrics_family gauge = {
        .name = "made_size_bytes", .type = METRICS_TYPE_GAUGE, .unit = "bytes", .help = "Size."};

/* One sample of each family, and a family without samples between them. */
static char *write_all(enum metrics_format format)
{
        struct metrics_text text = {0};
        char *bytes = NULL;
        size_t length = 0;

        CU_ASSERT_EQUAL_FATAL(metrics_text_init(&text, format), 0);
        metrics_text_family(&text, &counter);
        metrics_text_sample(&text, "_total");
        metrics_text_value(&text, 3);
        metrics_text_family(&text, &gauge);
        metrics_text_family(&text, &info);
        metrics_text_sample(&text, "_info");
        metrics_text_label(&text, "a", "1");
        metrics_text_label(&text, "b", NULL);
        metrics_text_value(&text, 1);
        metrics_text_family(&text, &gauge);
        metrics_text_sample(&text, "");
        metrics_text_value(&text, INT64_MIN);
        CU_ASSERT_EQUAL_FATAL(metrics_text_finish(&text, &bytes, &length), 0);
        CU_ASSERT_EQUAL(strlen(bytes), length);
        metrics_text_deinit(&text);
        return bytes;
}

static void test_text_format(void)
{
        CLEANUP_FREE char *bytes = write_all(METRICS_FORMAT_TEXT);

        CU_ASSERT_STRING_EQUAL(bytes, "# HELP made_things_total Things.\n"
                                      "# TYPE made_things_total counter\n"
                                      "made_things_total 3\n"
                                      "# HELP made_info Facts.\n"
                                      "# TYPE made_info gauge\n"
                                      "made_info{a=\"1\",b=\"\"} 1\n"
                                      "# HELP made_size_bytes Size.\n"
                                      "# TYPE made_size_bytes gauge\n"
                                      "made_size_bytes -9223372036854775808\n");
}

static void test_openmetrics(void)
{
        CLEANUP_FREE char *bytes = write_all(METRICS_FORMAT_OPENMETRICS);

        CU_ASSERT_STRING_EQUAL(bytes, "# HELP made_things Things.\n"
                                      "# TYPE made_things counter\n"
                                      "made_things_total 3\n"
                                      "# HELP made Facts.\n"
                                      "# TYPE made info\n"
                                      "made_info{a=\"1\",b=\"\"} 1\n"
                                      "# HELP made_size_bytes Size.\n"
                                      "# TYPE made_size_bytes gauge\n"
                                      "# UNIT made_size_bytes bytes\n"
                                      "made_size_bytes -9223372036854775808\n"
                                      "# EOF\n");
}

static void test_nothing_written(void)
{
        struct metrics_text text = {0};
        CLEANUP_FREE char *bytes = NULL;
        size_t length = 1;

        CU_ASSERT_EQUAL_FATAL(metrics_text_init(&text, METRICS_FORMAT_TEXT), 0);
        CU_ASSERT_EQUAL_FATAL(metrics_text_finish(&text, &bytes, &length), 0);
        CU_ASSERT_EQUAL(length, 0);
        metrics_text_deinit(&text);
}

/* Given up half-way: nothing is left behind, which the leak checkers see. */
static void test_given_up(void)
{
        struct metrics_text text = {0};

        CU_ASSERT_EQUAL_FATAL(metrics_text_init(&text, METRICS_FORMAT_TEXT), 0);
        metrics_text_family(&text, &gauge);
        metrics_text_sample(&text, "");
        metrics_text_deinit(&text);
        metrics_text_deinit(&text);
}

static void test_escaping(void)
{
        struct metrics_text text = {0};
        CLEANUP_FREE char *bytes = NULL;
        size_t length = 0;

        CU_ASSERT_EQUAL_FATAL(metrics_text_init(&text, METRICS_FORMAT_TEXT), 0);
        metrics_text_family(&text, &info);
        metrics_text_sample(&text, "_info");
        metrics_text_label(&text, "a", "q\" b\\ n\n \\n \xc3\xa4 }");
        metrics_text_value(&text, 1);
        CU_ASSERT_EQUAL_FATAL(metrics_text_finish(&text, &bytes, &length), 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(bytes, "made_info{a=\"q\\\" b\\\\ n\\n \\\\n \xc3\xa4 }\"} 1\n"));
        metrics_text_deinit(&text);
}

static void test_seconds(void)
{
        static const struct {
                uint64_t usec;
                const char *text;
        } cases[] = {
                {0, "0.0"},
                {1, "0.000001"},
                {250000, "0.25"},
                {1000000, "1.0"},
                {10000000, "10.0"},
                {1714564801500000, "1714564801.5"},
                {1000001, "1.000001"},
                {UINT64_MAX, "18446744073709.551615"},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char text[METRICS_TEXT_USEC_BYTES] = "";

                metrics_text_print_usec(cases[i].usec, text);
                CU_ASSERT_STRING_EQUAL(text, cases[i].text);
        }
}

static const uint64_t bounds[] = {10, 100, 1000};

static void test_histogram(void)
{
        struct metrics_histogram histogram = {0};

        metrics_histogram_init(&histogram, bounds, 3);
        metrics_histogram_add(&histogram, 1, 0);
        metrics_histogram_add(&histogram, 1, 10); /* a bound belongs to its bucket */
        metrics_histogram_add(&histogram, 1, 11);
        metrics_histogram_add(&histogram, 1, 1000);
        metrics_histogram_add(&histogram, 1, 1001);
        metrics_histogram_add(&histogram, 1, 5000000);
        CU_ASSERT_EQUAL(histogram.counts[0], 2);
        CU_ASSERT_EQUAL(histogram.counts[1], 1);
        CU_ASSERT_EQUAL(histogram.counts[2], 1);
        CU_ASSERT_EQUAL(histogram.counts[3], 2);
        CU_ASSERT_EQUAL(histogram.sum_usec, 0 + 10 + 11 + 1000 + 1001 + 5000000);
}

/* Several pauses of which only the sum is known go where their mean belongs. */
static void test_histogram_of_means(void)
{
        struct metrics_histogram histogram = {0};

        metrics_histogram_init(&histogram, bounds, 3);
        metrics_histogram_add(&histogram, 3, 30);
        metrics_histogram_add(&histogram, 3, 31); /* 10.33: above the bound */
        metrics_histogram_add(&histogram, 0, 77); /* none: no sum either */
        CU_ASSERT_EQUAL(histogram.counts[0], 3);
        CU_ASSERT_EQUAL(histogram.counts[1], 3);
        CU_ASSERT_EQUAL(histogram.counts[2] + histogram.counts[3], 0);
        CU_ASSERT_EQUAL(histogram.sum_usec, 61);
}

static void test_choose(void)
{
#define OM "application/openmetrics-text"
        static const struct {
                const char *accept;
                enum metrics_format format;
        } cases[] = {
                {NULL, METRICS_FORMAT_TEXT},
                {"", METRICS_FORMAT_TEXT},
                {"*/*", METRICS_FORMAT_TEXT},
                {"text/plain;version=0.0.4;q=1,*/*;q=0.1", METRICS_FORMAT_TEXT},
                {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", METRICS_FORMAT_TEXT},
                {OM ";version=1.0.0," OM ";version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                 METRICS_FORMAT_OPENMETRICS},
                {OM "; version=1.0.0; charset=utf-8; q=0.6, text/plain; q=0.5", METRICS_FORMAT_OPENMETRICS},
                {OM ";version=0.0.1", METRICS_FORMAT_TEXT},
                {OM ";version=2.0.0,text/plain;q=0.1", METRICS_FORMAT_TEXT},
                {"application/openmetrics", METRICS_FORMAT_TEXT},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                CU_ASSERT_EQUAL(metrics_text_choose(cases[i].accept), cases[i].format);
#undef OM
}

static const struct unit_test tests[] = {
        {"what scrapers accept", test_choose},
        {"the text format", test_text_format},
        {"OpenMetrics", test_openmetrics},
        {"nothing written", test_nothing_written},
        {"given up half-way", test_given_up},
        {"escaping in labels", test_escaping},
        {"seconds", test_seconds},
        {"a histogram", test_histogram},
        {"a histogram of means", test_histogram_of_means},
};

UNIT_MAIN("metrics_text", tests)
