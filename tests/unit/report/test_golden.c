/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The schema is a contract: what is written stands in files, to the byte, and what is read gives it again. */
#include "golden.h"
#include "report/report_json.h"
#include "unit.h"

#include <stdio.h>

/* As print_json() writes it. The caller frees it. */
static char *to_text(struct json_object *json)
{
        char *text = NULL;

        CU_ASSERT_FATAL(asprintf(&text, "%s\n",
                                 json_object_to_json_string_ext(
                                         json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                       JSON_C_TO_STRING_NOSLASHESCAPE)) > 0);
        json_object_put(json);
        return text;
}

/* Compares @text (taken) with a file. What came instead is printed, to be compared by diff(1). */
static void check_golden(char *text, const char *name)
{
        char *golden = golden_read(name);

        if (strcmp(text, golden) != 0)
                (void)puts(text);
        CU_ASSERT_STRING_EQUAL(text, golden);
        free(golden);
        free(text);
}

static void test_scan(void)
{
        struct report *report = golden_new();

        check_golden(to_text(report_to_json(report)), "golden_scan.json");
        report_free(report);
}

static void test_guests(void)
{
        struct report *report = golden_new();

        check_golden(to_text(report_guests_to_json(report)), "golden_guests.json");
        report_free(report);
}

/* What lacks all that may lack. */
static void test_bare(void)
{
        struct report report = {.gap_bytes = REPORT_UNKNOWN, .host_memory_bytes = REPORT_UNKNOWN};

        check_golden(to_text(report_to_json(&report)), "golden_bare.json");
}

static void check_read(const char *name,
                       int (*parse)(struct json_object *json, struct report **ret, struct failure *failure),
                       struct json_object *(*to_json)(const struct report *report))
{
        char *text = golden_read(name);
        struct json_object *json = json_tokener_parse(text);
        struct report *report = NULL;

        CU_ASSERT_EQUAL_FATAL(parse(json, &report, NULL), 0);
        json_object_put(json);
        check_golden(to_text(to_json(report)), name);
        report_free(report);
        free(text);
}

static void test_read_and_write(void)
{
        check_read("golden_scan.json", report_parse, report_to_json);
        check_read("golden_bare.json", report_parse, report_to_json);
        check_read("golden_guests.json", report_parse_guests, report_guests_to_json);
}

static const struct unit_test tests[] = {
        {"every field of a scan", test_scan},
        {"every field of a list of guests", test_guests},
        {"a scan without anything", test_bare},
        {"what is read is written again", test_read_and_write},
};

UNIT_MAIN("golden", tests)
