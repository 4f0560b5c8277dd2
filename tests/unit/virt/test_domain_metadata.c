/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "qmp/virt/domain_metadata.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The mode that is asked for, or "error". */
static const char *read_scan(const char *xml)
{
        static char mode[DOMAIN_METADATA_MODE_BYTES];
        struct failure failure = {0};

        if (domain_metadata_read_scan(xml, mode, &failure) == 0)
                return mode;
        CU_ASSERT_TRUE(failure.text[0] != '\0');
        return "error";
}

static void test_requests(void)
{
        CU_ASSERT_STRING_EQUAL(read_scan("<scan mode='snapshot'/>"), "snapshot");
        CU_ASSERT_STRING_EQUAL(read_scan("<scan/>"), "");
        /* As libvirt gives it back. */
        CU_ASSERT_STRING_EQUAL(
                read_scan("<samepage:scan xmlns:samepage=\"urn:samepage:scan:1\" mode=\"live\"/>\n"), "live");
        CU_ASSERT_STRING_EQUAL(read_scan("<scan mode='&lt;x&gt;' other='1'>text</scan>"), "<x>");
}

static void test_nonsense(void)
{
        char *huge = malloc(DOMAIN_METADATA_MAX_BYTES + 100);
        static const char *const texts[] = {
                "",
                "nonsense",
                "<scan",
                "<scan mode='a' mode='b'/>",
                "<other mode='live'/>",
                "<scan mode='0123456789012345678901234567890123456789'/>",
                "<!DOCTYPE scan [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><other>&b;</other>",
                "<scan mode='\xff'/>",
        };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                CU_ASSERT_STRING_EQUAL(read_scan(texts[i]), "error");
        memset(huge, ' ', DOMAIN_METADATA_MAX_BYTES + 99);
        huge[DOMAIN_METADATA_MAX_BYTES + 99] = '\0';
        CU_ASSERT_STRING_EQUAL(read_scan(huge), "error");
        free(huge);
}

static void check_result(const char *json, const char *expected)
{
        struct json_object *attributes = json_tokener_parse(json);
        CLEANUP_FREE char *xml = domain_metadata_write_result(attributes);

        CU_ASSERT_STRING_EQUAL(xml, expected);
        json_object_put(attributes);
}

static void test_results(void)
{
        check_result("{\"time\":\"2026\",\"mode\":\"live\"}", "<result time=\"2026\" mode=\"live\"/>");
        check_result("{}", "<result/>");
        /* What somebody else wrote stays an attribute's value. */
        check_result("{\"error\":\"a\\\"/><evil x='&amp;'\\n\"}",
                     "<result error=\"a&quot;/&gt;&lt;evil x='&amp;amp;'&#10;\"/>");
        /* Names that are none of ours, and other types, are left out. */
        check_result("{\"a b\":\"1\",\"x=\\\"\":\"2\",\"\":\"3\",\"n\":4,\"-a\":\"5\",\"ok\":\"6\"}",
                     "<result ok=\"6\"/>");
}

static const struct unit_test tests[] = {
        {"requests", test_requests},
        {"nonsense", test_nonsense},
        {"results", test_results},
};

UNIT_MAIN("domain metadata", tests)
