/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a person sees, to the letter. */
#include "golden.h"
#include "report/report_json.h"
#include "report/report_text.h"
#include "unit.h"

#include <stdio.h>

/* The caller frees it. */
static char *to_text(const struct report *report, void (*print)(const struct report *report, FILE *out))
{
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        CU_ASSERT_PTR_NOT_NULL_FATAL(out);
        print(report, out);
        (void)fclose(out);
        return text;
}

/* Compares @text (taken). */
static void check(char *text, const char *expected)
{
        if (strcmp(text, expected) != 0)
                (void)puts(text);
        CU_ASSERT_STRING_EQUAL(text, expected);
        free(text);
}

static void test_every_part(void)
{
        struct report *report = golden_new();
        char *golden = golden_read("golden_scan.txt");

        check(to_text(report, report_print), golden);
        free(golden);
        golden = golden_read("golden_guests.txt");
        check(to_text(report, report_print_guests), golden);
        free(golden);
        check(to_text(report, report_print_complaints),
              "samepage: web3 was left out\n"
              "samepage: guest web \"1\"/\xc3\xa4: it was hot-plugged\n"
              "samepage: guest lost: it does not answer\n"
              "samepage: guest web2: it was hot-plugged\n");
        report_free(report);
}

static void no_change(struct report *report)
{
        (void)report;
}

static void nobody_is_scanned(struct report *report)
{
        report->guests[0].scanned = false;
}

static void no_frames(struct report *report)
{
        report->guests[0].figures.actual_inter_bytes = REPORT_UNKNOWN;
        report->total.actual_self_bytes = REPORT_UNKNOWN;
}

static void forecast_of_nothing(struct report *report)
{
        report->merge = report_merge_new(report->n_guests);
}

static void forecast(struct report *report)
{
        report->merge = report_merge_new(report->n_guests);
        report->merge->merges = true;
        report->merge->reached_bytes = 1 << 20;
        report->merge->guests[0] = (struct report_merge_guest){.is_known = true, .is_chosen = true};
}

#define TABLE                                                             \
        "GUEST  GROUP  RAM  PRESENT  ZERO  SELF  INTER  MERGED   PAUSE\n" \
        "a      -      10K     8.0K  2.0K  1.0K   2.0K     768  1.5 ms\n"
#define IDEAL  "Ideal   3.0K of 6.0K non-zero (50 %): self 1.0K, inter 2.0K; zero pages 2.0K apart\n"
#define MERGED "Merged  768 (25 % of ideal): self 512, inter 256; zero pages 0 apart\n"

static void test_small(void)
{
        static const struct {
                void (*change)(struct report *report);
                const char *text;
        } cases[] = {
                {no_change, TABLE IDEAL MERGED},
                {nobody_is_scanned, ""},
                {no_frames, "GUEST  GROUP  RAM  PRESENT  ZERO  SELF  INTER  MERGED   PAUSE\n"
                            "a      -      10K     8.0K  2.0K  1.0K   2.0K       -  1.5 ms\n" IDEAL
                            "Merged  not known: the kernel does not show which frames are shared\n"},
                {forecast_of_nothing, TABLE IDEAL MERGED
                 "Forecast  merging would save no more than it costs: nothing is to be done\n"},
                {forecast, TABLE IDEAL MERGED "Forecast  merging 1 guest without a group, which shares with "
                                              "no other saves 0: self 0, inter 0; zero pages 0 besides\n"
                                              "  costs   0 of bookkeeping for 0; 0 huge pages split; 0.0 s "
                                              "until it is done, 0.0 s of CPU time; then 0 s an hour\n"
                                              "  net     0; 1.0M are saved now\n"
                                              "To be done\n"},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct report_guest guest = {
                        .name = (char[]){"a"},
                        .scanned = true,
                        .pause_seconds = 0.0015,
                        .pauses = 1,
                        .figures = {10240, 8192, 1024, 1024, 2048, 3072, 1024, 2048, 0, 0, 512, 256, 0},
                };
                struct report report = {.guests = &guest, .n_guests = 1, .total = guest.figures};

                cases[i].change(&report);
                check(to_text(&report, report_print), cases[i].text);
                report_merge_free(report.merge);
        }
}

/* What a program wrote that is none of ours: sums do not overflow, and nothing reaches the terminal as it is. */
static void test_foreign(void)
{
        struct json_object *json = json_tokener_parse(
                "{\"schema\":\"samepage.scan.v1\",\"scan\":{\"mode\":\"live\"},\"guests\":[{\"name\":"
                "\"\\u001b[2J\","
                "\"consistency\":\"live\",\"ram_bytes\":9223372036854775807,\"present_bytes\":4096}],"
                "\"ideal\":{\"present_bytes\":9223372036854775807,\"zero_bytes\":-9223372036854775807,"
                "\"self_sharing_bytes\":9223372036854775807,\"inter_sharing_bytes\":9223372036854775807},"
                "\"actual\":{\"self_bytes\":9223372036854775807,\"inter_bytes\":9223372036854775807},"
                "\"merge\":{\"worthwhile\":true,\"group\":\"\\u001b[2J\",\"self_bytes\":9223372036854775807,"
                "\"inter_bytes\":9223372036854775807,\"settings\":{\"\\u001b[2J\":\"\\u001b[3J\"},"
                "\"guests\":[{\"left_out\":true,\"net_bytes\":-2048}]}}");
        struct report *report = NULL;

        CU_ASSERT_EQUAL_FATAL(report_parse(json, &report, NULL), 0);
        check(to_text(report, report_print),
              "GUEST  GROUP  RAM  PRESENT  ZERO  SELF  INTER  MERGED  PAUSE\n"
              "?[2J   -        -     4.0K     -     -      -       -   live\n"
              "Ideal   - of 0 non-zero (0 %): self -, inter -; zero pages - apart\n"
              "Merged  not known: the kernel does not show which frames are shared\n"
              "Forecast  merging 0 guests of group ?[2J saves -: self -, inter -; zero pages - besides\n"
              "  costs   - of bookkeeping for -; -1 huge pages split; 0.0 s until it is done, 0.0 s of CPU "
              "time; then 0 s an hour\n"
              "  net     -\n"
              "To be done\n"
              "  ?[2J: left out, merging it would cost 2.0K more than it saves\n"
              "  KSM: ?[2J ?[3J, was ?\n");
        json_object_put(json);
        report_free(report);
}

static const struct unit_test tests[] = {
        {"every part of a report", test_every_part},
        {"small reports", test_small},
        {"a foreign report", test_foreign},
};

UNIT_MAIN("report_text", tests)
