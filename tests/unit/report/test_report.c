/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "golden.h"
#include "report/report.h"
#include "report/report_json.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Whatever JSON says comes back the same. */
static void test_parse_gives_it_back(void)
{
        struct report *report = golden_new();
        struct json_object *json = report_to_json(report);
        struct report *again = NULL;

        CU_ASSERT_EQUAL_FATAL(report_parse(json, &again, NULL), 0);
        CU_ASSERT_EQUAL(again->guests[0].figures.ram_bytes, 101 << 20);
        CU_ASSERT_EQUAL(again->guests[0].figures.actual_inter_bytes, 2 << 20);
        CU_ASSERT_EQUAL(again->reasons[0].by_guest[0], 60 << 20);
        CU_ASSERT_EQUAL(again->ksm.files[1].value, -5);
        CU_ASSERT_FALSE(again->guests[1].scanned);
        json_object_put(json);
        report_free(report);
        report_free(again);
}

/* The one that was left out comes first. */
static void test_parse_two_of_one_name(void)
{
        struct report *report = golden_new();
        const struct report_guest lost = report->guests[1];
        struct json_object *json = NULL;
        struct report *again = NULL;

        report->guests[1] = report->guests[0];
        report->guests[0] = lost;
        free(report->guests[0].name);
        report->guests[0].name = strdup(report->guests[1].name);
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

/* Parses a guest with the members that the text names. The caller frees it. */
static struct report *parse_guest(const char *members)
{
        char text[1024] = "";
        struct json_object *json = NULL;
        struct report *report = NULL;

        (void)snprintf(text, sizeof(text),
                       "{\"schema\":\"samepage.scan.v1\",\"scan\":{\"mode\":\"live\"},\"guests\":[{\"name\":"
                       "\"a\",\"consistency\":\"live\",%s}],\"gap\":{\"reasons\":[{\"reason\":\"numa\","
                       "\"guests\":[\"a\"],\"guest_bytes\":[9223372036854775807]}]}}",
                       members);
        json = json_tokener_parse(text);
        CU_ASSERT_EQUAL_FATAL(report_parse(json, &report, NULL), 0);
        json_object_put(json);
        return report;
}

/* No number is taken that a host cannot have, so that sums cannot overflow. */
static void test_parse_limits(void)
{
        struct report *report = parse_guest(
                "\"zero_bytes\":9223372036854775807,\"ram_bytes\":144115188075855872,\"present_bytes\":-2,"
                "\"swapped_bytes\":144115188075855873,\"pid\":4294967297,\"pauses\":-1,\"pause_seconds\":1,"
                "\"via\":\"pigeon\",\"found_state\":\"0123456789abcdef0123456789abcdef\\u001b\"");
        const struct report_guest *guest = &report->guests[0];

        CU_ASSERT_TRUE(guest->scanned);
        CU_ASSERT_EQUAL(guest->figures.zero_bytes, REPORT_UNKNOWN);
        CU_ASSERT_EQUAL(guest->figures.ram_bytes, INT64_C(1) << 57);
        CU_ASSERT_EQUAL(guest->figures.present_bytes, REPORT_UNKNOWN);
        CU_ASSERT_EQUAL(guest->figures.swapped_bytes, REPORT_UNKNOWN);
        CU_ASSERT_EQUAL(guest->pid, 0);
        CU_ASSERT_EQUAL(guest->pauses, 0);
        CU_ASSERT_EQUAL(guest->pause_seconds, REPORT_UNKNOWN);
        CU_ASSERT_STRING_EQUAL(guest->via, REPORT_VIA_QMP);
        CU_ASSERT_EQUAL(strlen(guest->found_state), sizeof(guest->found_state) - 1);
        CU_ASSERT_EQUAL(report->reasons[0].by_guest[0], 0);
        report_free(report);
        report = parse_guest("\"group\":\"\\u001b[2J\",\"consistency\":\"vague\",\"zero_bytes\":1.5");
        CU_ASSERT_FALSE(report->guests[0].scanned);
        CU_ASSERT_EQUAL(report->guests[0].consistency, 0);
        CU_ASSERT_STRING_EQUAL(report->guests[0].group, "?[2J");
        CU_ASSERT_EQUAL(report->guests[0].figures.zero_bytes, REPORT_UNKNOWN);
        report_free(report);
}

/* What comes of a list of guests: @n of @element between @before and @after. */
static int parse_list(const char *before, const char *element, size_t n, const char *after)
{
        char *text = calloc(n + 2, 128);
        char *end = stpcpy(stpcpy(text, "{\"schema\":\"samepage.guests.v1\",\"guests\":["), before);
        struct json_object *json = NULL;
        struct report *report = NULL;
        int r = 0;

        for (size_t i = 0; i < n; i++)
                end = stpcpy(stpcpy(end, i ? "," : ""), element);
        (void)stpcpy(stpcpy(end, after), "]}");
        json = json_tokener_parse(text);
        r = report_parse_guests(json, &report, NULL);
        json_object_put(json);
        report_free(report);
        free(text);
        return r;
}

/* As many guests, or blocks of one, as there may be, and one more. */
static void test_parse_long_lists(void)
{
        static const char before[] = "{\"name\":\"a\",\"blocks\":[";

        CU_ASSERT_EQUAL(parse_list("", "{\"name\":\"a\"}", 1024, ""), 0);
        CU_ASSERT_EQUAL(parse_list("", "{\"name\":\"a\"}", 1025, ""), -E2BIG);
        CU_ASSERT_EQUAL(parse_list(before, "{\"id\":\"b\"}", 1024, "]}"), 0);
        CU_ASSERT_EQUAL(parse_list(before, "{\"id\":\"b\"}", 1025, "]}"), -E2BIG);
}

static const struct unit_test tests[] = {
        {"a report comes back from JSON", test_parse_gives_it_back},
        {"two guests of one name", test_parse_two_of_one_name},
        {"what is no report", test_parse_takes_no_nonsense},
        {"numbers and texts out of range", test_parse_limits},
        {"lists that are too long", test_parse_long_lists},
};

UNIT_MAIN("report", tests)
