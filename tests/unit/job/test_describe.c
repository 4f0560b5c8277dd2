/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/job/describe.h"
#include "report/report_json.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

/* The text of @json, read again by a parser that takes nothing but UTF-8. */
static struct json_object *read_again(struct json_object *json)
{
        struct json_tokener *tokener = json_tokener_new();
        const char *text = json_object_to_json_string(json);
        struct json_object *again = NULL;

        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        again = json_tokener_parse_ex(tokener, text, (int)strlen(text) + 1);
        json_tokener_free(tokener);
        json_object_put(json);
        return again;
}

/* A guest without a name is called by its socket's path, which is any bytes. */
static void test_name_that_is_no_text(void)
{
        char name[] = "/run/a\xff\x1b[31m\xc3\xa4.sock";
        struct inventory_guest guest = {.name = name, .error = -1, .failure = {"gone"}};
        const struct inventory inventory = {.guests = &guest, .n_guests = 1};
        const struct scan_wish wish = {.mode = SCAN_MODE_SNAPSHOT};
        struct report *report = NULL;
        struct json_object *json = NULL;

        CU_ASSERT_EQUAL_FATAL(describe_inventory(&wish, &inventory, &report), 0);
        CU_ASSERT_STRING_EQUAL(report->guests[0].name, "/run/a??[31m\xc3\xa4.sock");
        json = read_again(report_to_json(report));
        CU_ASSERT_PTR_NOT_NULL(json);
        json_object_put(json);
        json = read_again(report_guests_to_json(report));
        CU_ASSERT_PTR_NOT_NULL(json);
        json_object_put(json);
        report_free(report);
}

static const struct unit_test tests[] = {
        {"a name that is no text", test_name_that_is_no_text},
};

UNIT_MAIN("describe", tests)
