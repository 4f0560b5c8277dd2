/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a person sees, compared letter by letter; and answers that are not what they should be. */
#include "base/cleanup.h"
#include "history/history_text.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The text for the answer @json; the caller frees it. */
static char *print(const char *json)
{
        struct json_object *answer = json_tokener_parse(json);
        char *text = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&text, &length);

        CU_ASSERT_PTR_NOT_NULL_FATAL(out);
        history_print(answer, out);
        (void)fclose(out);
        json_object_put(answer);
        return text;
}

static void expect(const char *json, const char *expected)
{
        CLEANUP_FREE char *text = print(json);

        CU_ASSERT_STRING_EQUAL(text, expected);
        if (strcmp(text, expected) != 0)
                (void)fprintf(stderr, "\n--- printed\n%s--- expected\n%s", text, expected);
}

#define FIGURES                                                                         \
        "\"present_bytes\":{\"min\":1073741824,\"avg\":2147483648,\"max\":3221225472}," \
        "\"zero_bytes\":{\"min\":0,\"avg\":512,\"max\":1024},"                          \
        "\"self_sharing_bytes\":{\"min\":1048576,\"avg\":1048576,\"max\":1048576},"     \
        "\"inter_sharing_bytes\":{\"min\":1,\"avg\":2,\"max\":3},"                      \
        "\"saved_bytes\":{\"min\":null,\"avg\":null,\"max\":null},"                     \
        "\"gap_bytes\":{\"min\":10240,\"avg\":10240,\"max\":10240},"                    \
        "\"pause_seconds\":{\"min\":0.0501,\"avg\":0.1,\"max\":12.25}"

static void test_host(void)
{
        expect("{\"schema\":\"samepage.history.v1\",\"guest\":null,\"scans\":["
               "{\"id\":\"b\",\"started\":\"2026-07-01T12:00:00Z\",\"mode\":\"sliced\",\"complete\":false,"
               "\"guests\":12,\"failed\":2,\"present_bytes\":3221225472,\"zero_bytes\":1024,"
               "\"self_sharing_bytes\":1048576,\"inter_sharing_bytes\":3,\"saved_bytes\":null,"
               "\"pause_seconds\":12.25,\"longest_pause_seconds\":0.4},"
               "{\"id\":\"a\",\"started\":\"2026-01-01T23:30:00Z\",\"mode\":\"snapshot\",\"complete\":true,"
               "\"guests\":3,\"failed\":0,\"present_bytes\":1073741824,\"zero_bytes\":0,"
               "\"self_sharing_bytes\":1048576,\"inter_sharing_bytes\":1,\"saved_bytes\":0,"
               "\"pause_seconds\":0.0501,\"longest_pause_seconds\":0.0501}],"
               "\"summary\":{\"since\":\"2026-01-01T23:30:00Z\",\"until\":\"2026-07-01T12:00:00Z\",\"scans\":"
               "40,"
               "\"incomplete\":1,\"host\":{" FIGURES
               ",\"duration_seconds\":{\"min\":1,\"avg\":1.5,\"max\":2.0}},\"guests\":[]}}",
               "WHEN                 GUESTS  PRESENT  ZERO  SELF  INTER  SAVED  LONGEST PAUSE  ALL PAUSES  "
               "MODE\n"
               "2026-07-01 14:00:00      12     3.0G  1.0K  1.0M      3      -       400.0 ms      12.2 s  "
               "sliced"
               "    incomplete: 2 not scanned\n"
               "2026-01-02 00:30:00       3     1.0G     0  1.0M      1      0        50.1 ms     50.1 ms  "
               "snapshot\n"
               "40 scans from 2026-01-02 00:30:00 to 2026-07-01 14:00:00, 1 incomplete\n"
               "                  MIN       AVG     MAX\n"
               "  present        1.0G      2.0G    3.0G\n"
               "  zero              0       512    1.0K\n"
               "  self           1.0M      1.0M    1.0M\n"
               "  inter             1         2       3\n"
               "  saved             -         -       -\n"
               "  gap             10K       10K     10K\n"
               "  all pauses  50.1 ms  100.0 ms  12.2 s\n"
               "  duration      1.0 s     1.5 s   2.0 s\n");
}

static void test_guest(void)
{
        expect("{\"guest\":\"w\\u001b[1m\\n\",\"scans\":["
               "{\"started\":\"2026-01-01T23:30:00Z\",\"mode\":\"live\",\"complete\":false,\"failed\":1,"
               "\"error\":\"gone\\n\\u001b[2J\"},"
               "{\"started\":\"2026-01-01T22:30:00Z\",\"mode\":\"snapshot\",\"complete\":false,\"failed\":0,"
               "\"guests\":1,\"present_bytes\":4096,\"longest_pause_seconds\":0.002}],"
               "\"summary\":{\"since\":\"2026-01-01T22:30:00Z\",\"until\":\"2026-01-01T23:30:00Z\",\"scans\":"
               "1,"
               "\"incomplete\":1,\"host\":{},\"guests\":[{\"name\":\"other\"},{\"name\":\"w\\u001b["
               "1m\\n\"," FIGURES "}]}}",
               "WHEN                 PRESENT  ZERO  SELF  INTER  SAVED   PAUSE  MODE\n"
               "2026-01-02 00:30:00        -     -     -      -      -       -  live      not scanned: "
               "gone??[2J\n"
               "2026-01-01 23:30:00     4.0K     -     -      -      -  2.0 ms  snapshot  incomplete\n"
               "1 scan of w?[1m? from 2026-01-01 23:30:00 to 2026-01-02 00:30:00\n"
               "               MIN       AVG     MAX\n"
               "  present     1.0G      2.0G    3.0G\n"
               "  zero           0       512    1.0K\n"
               "  self        1.0M      1.0M    1.0M\n"
               "  inter          1         2       3\n"
               "  saved          -         -       -\n"
               "  gap          10K       10K     10K\n"
               "  pause    50.1 ms  100.0 ms  12.2 s\n");
}

static void test_nothing(void)
{
        static const char *const nothing[] = {
                "null",
                "7",
                "[]",
                "\"text\"",
                "{}",
                "{\"summary\":[]}",
                "{\"summary\":{\"scans\":\"7\"}}",
                "{\"scans\":{},\"summary\":{\"scans\":0}}",
                "{\"summary\":{\"scans\":-5}}",
                "{\"guest\":{}}",
        };

        for (size_t i = 0; i < ARRAY_SIZE(nothing); i++)
                expect(nothing[i], "The history has no scans in this period\n");
        expect("{\"guest\":\"w\\u0007\",\"summary\":{\"scans\":0}}",
               "The history has no scans of w? in this period\n");
}

/* Every value of a wrong type. */
static void test_wrong_types(void)
{
        static const char *const wrong[] = {"null",  "[]", "{}",     "\"x\"", "true",
                                            "1e400", "-1", "-9e300", "\"\""};

        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                CLEANUP_FREE char *json = NULL;
                CLEANUP_FREE char *text = NULL;
                const char *w = wrong[i];

                CU_ASSERT_TRUE_FATAL(
                        asprintf(&json,
                                 "{\"scans\":[%s,{\"started\":%s,\"mode\":%s,\"complete\":%s,\"guests\":%s,"
                                 "\"failed\":%s,\"present_bytes\":%s,\"pause_seconds\":%s,\"error\":%s,"
                                 "\"longest_pause_seconds\":%s}],\"summary\":{\"scans\":1,\"since\":%s,"
                                 "\"incomplete\":%s,\"guests\":%s,\"host\":{\"zero_bytes\":%s,"
                                 "\"gap_bytes\":{\"min\":%s},\"pause_seconds\":{\"max\":%s}}}}",
                                 w, w, w, w, w, w, w, w, w, w, w, w, w, w, w, w) > 0);
                text = print(json);
                CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n1 scan from - to -"));
                CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n  zero          -    -    -\n"));
                CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n  gap           -    -    -\n"));
                CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n  all pauses    -    -    -\n"));
        }
}

static void test_long_list(void)
{
        CLEANUP_FREE char *json = NULL;
        CLEANUP_FREE char *text = NULL;
        size_t length = 0;
        size_t n_lines = 0;
        FILE *out = open_memstream(&json, &length);

        (void)fputs("{\"summary\":{\"scans\":5000},\"scans\":[0", out);
        for (int i = 0; i < 5000; i++)
                (void)fputs(",{}", out);
        (void)fputs("]}", out);
        (void)fclose(out);
        text = print(json);
        for (const char *c = text; *c; c++)
                n_lines += *c == '\n';
        CU_ASSERT_EQUAL(n_lines, 1 + 1000 + 10);
}

/* Local time is one with summer and winter, whatever the machine's. */
static void set_zone(void)
{
        (void)setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
        tzset();
}

static void test_of_the_zone(void)
{
        set_zone();
        test_host();
        test_guest();
}

static const struct unit_test tests[] = {
        {"host and guest", test_of_the_zone},
        {"nothing", test_nothing},
        {"wrong types", test_wrong_types},
        {"a long list", test_long_list},
};

UNIT_MAIN("history_text", tests)
