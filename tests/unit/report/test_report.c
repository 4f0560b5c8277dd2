/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/report.h"
#include "report/report_json.h"
#include "report/report_parse.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The text of a report as JSON; the caller frees it. */
static char *to_text(const struct report *report)
{
        struct json_object *json = report_to_json(report);
        char *text = strdup(json_object_to_json_string(json));

        json_object_put(json);
        return text;
}

static struct report_guest make_guest(const char *name)
{
        struct report_guest guest = {
                .name = strdup(name),
                .uuid = strdup("5f1c2c9e-0000-4000-8000-000000000001"),
                .group = strdup("acme"),
                .via = REPORT_VIA_LIBVIRT,
                .pid = 4711,
                .found_state = "running",
                .consistency = REPORT_CONSISTENCY_SLICED,
                .pause_seconds = 0.084,
                .pauses = 2,
                .scan_seconds = 1.5,
                .scanned = true,
                .figures = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
                .blocks = calloc(1, sizeof(*guest.blocks)),
                .n_blocks = 1,
                .note = {"a note"},
        };

        guest.blocks[0] = (struct report_block){
                .id = strdup("pc.ram"),
                .size_bytes = 1 << 20,
                .present_bytes = REPORT_UNKNOWN,
                .backend = strdup("memory-backend-memfd"),
                .shared = true,
                .page_size = 4096,
                .reader = "mapped",
                .reason = "shared-mapping",
        };
        return guest;
}

static struct report *make_report(void)
{
        struct report *report = calloc(1, sizeof(*report));

        *report = (struct report){
                .id = "0123456789abcdef",
                .started = "2026-11-24T17:00:00Z",
                .mode = SCAN_MODE_SNAPSHOT,
                .together = true,
                .duration_seconds = 2.25,
                .host_name = "host",
                .kernel = "6.1",
                .host_memory_bytes = INT64_C(1) << 40,
                .guests = calloc(3, sizeof(*report->guests)),
                .n_guests = 2,
                .total = {REPORT_UNKNOWN, 22, REPORT_UNKNOWN, REPORT_UNKNOWN, 25, 26, 27, 28, 29,
                          REPORT_UNKNOWN, 31, 32, 33},
                .ksm = {.files = {{.name = "general_profit", .text = "-5", .value = -5, .is_number = true},
                                  {.name = "advisor_mode", .text = "[none] scan-time"}},
                        .n_files = 2,
                        .available = true},
                .gap_bytes = 99,
                .reasons = {{.reason = GAP_REASON_KSM_OFF, .bytes = 99}},
                .n_reasons = 1,
        };
        report->guests[0] = make_guest("web \"1\"");
        /* Of the same name: it is left out, and has no part in the gap. */
        report->guests[1] = (struct report_guest){
                .name = strdup("web \"1\""), .via = REPORT_VIA_QMP, .pause_seconds = -1, .error = {"gone"}};
        report->reasons[0].by_guest = calloc(3, sizeof(int64_t));
        report->reasons[0].by_guest[0] = 99;
        return report;
}

/* Whatever JSON says comes back the same. */
static void test_parse_gives_it_back(void)
{
        struct report *report = make_report();
        struct json_object *json = report_to_json(report);
        struct report *again = NULL;
        char *before = to_text(report);
        char *after = NULL;

        CU_ASSERT_EQUAL_FATAL(report_parse(json, &again, NULL), 0);
        after = to_text(again);
        CU_ASSERT_STRING_EQUAL(after, before);
        CU_ASSERT_EQUAL(again->guests[0].figures.ram_bytes, 1);
        CU_ASSERT_EQUAL(again->guests[0].figures.actual_inter_bytes, 12);
        CU_ASSERT_EQUAL(again->reasons[0].by_guest[0], 99);
        CU_ASSERT_EQUAL(again->ksm.files[0].value, -5);
        CU_ASSERT_FALSE(again->guests[1].scanned);
        json_object_put(json);
        report_free(report);
        report_free(again);
        free(before);
        free(after);
}

/* The one that was left out comes first. */
static void test_parse_two_of_one_name(void)
{
        struct report *report = make_report();
        const struct report_guest lost = report->guests[1];
        struct json_object *json = NULL;
        struct report *again = NULL;

        report->guests[1] = report->guests[0];
        report->guests[0] = lost;
        report->reasons[0].by_guest[0] = 0;
        report->reasons[0].by_guest[1] = 99;
        json = report_to_json(report);
        CU_ASSERT_EQUAL_FATAL(report_parse(json, &again, NULL), 0);
        CU_ASSERT_EQUAL(again->reasons[0].by_guest[0], 0);
        CU_ASSERT_EQUAL(again->reasons[0].by_guest[1], 99);
        json_object_put(json);
        report_free(report);
        report_free(again);
}

static int parse_text(const char *text)
{
        struct json_object *json = json_tokener_parse(text);
        struct report *report = NULL;
        struct failure failure = {0};
        int r = report_parse(json, &report, &failure);

        CU_ASSERT_EQUAL(r < 0, failure.text[0] != '\0');
        json_object_put(json);
        report_free(report);
        return r;
}

/* What is no report is refused; what lacks keys or has wrong types in them is unknown. */
static void test_parse_takes_no_nonsense(void)
{
#define HEAD "{\"schema\":\"samepage.scan.v1\",\"scan\":{\"mode\":\"live\"},"
        CU_ASSERT_EQUAL(parse_text("null"), -EBADMSG);
        CU_ASSERT_EQUAL(parse_text("[]"), -EBADMSG);
        CU_ASSERT_EQUAL(parse_text("{\"schema\":\"samepage.guests.v1\",\"guests\":[]}"), -EBADMSG);
        CU_ASSERT_EQUAL(parse_text("{\"schema\":\"samepage.scan.v1\",\"guests\":[]}"), -EBADMSG);
        CU_ASSERT_EQUAL(parse_text(HEAD "\"guests\":7}"), -EBADMSG);
        CU_ASSERT_EQUAL(parse_text(HEAD "\"guests\":[7]}"), -EBADMSG);
        CU_ASSERT_EQUAL(parse_text(HEAD "\"guests\":[{\"name\":\"a\",\"blocks\":[null]}]}"), -EBADMSG);
        CU_ASSERT_EQUAL(parse_text(HEAD "\"guests\":[]}"), 0);
        CU_ASSERT_EQUAL(parse_text(HEAD "\"guests\":[{\"name\":\"a\",\"pauses\":\"x\",\"pid\":{}}],"
                                        "\"gap\":{\"reasons\":[{\"reason\":\"magic\"},null]},\"ksm\":[]}"),
                        0);
#undef HEAD
}

static const struct unit_test tests[] = {
        {"a report comes back from JSON", test_parse_gives_it_back},
        {"two guests of one name", test_parse_two_of_one_name},
        {"what is no report", test_parse_takes_no_nonsense},
};

UNIT_MAIN("report", tests)
