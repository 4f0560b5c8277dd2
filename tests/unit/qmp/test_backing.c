/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/json.h"
#include "qmp/backing.h"
#include "unit.h"

#include <string.h>

static struct failure failure;

/* Stands in for the connection: only the parser is tested here. */
int qmp_client_execute(struct qmp_client *client, const char *command, struct json_object *arguments,
                       struct json_object **ret_reply, struct failure *ret_failure)
{
        (void)client;
        (void)arguments;
        *ret_reply = json_tokener_parse(strcmp(command, "query-memdev") == 0 ? "[]" : "{}");
        (void)ret_failure;
        return 0;
}

static int parse(const char *memdevs, const char *devices, struct backings *ret)
{
        CLEANUP_JSON struct json_object *first = json_tokener_parse(memdevs);
        CLEANUP_JSON struct json_object *second = json_tokener_parse(devices);

        return backings_parse(first, second, ret, &failure);
}

/* Replies of QEMU 7.2, cut. */
static void test_replies(void)
{
        struct backings backings = {0};

        CU_ASSERT_EQUAL_FATAL(
                parse("[{\"prealloc\":false,\"size\":1,\"id\":\"m0\",\"share\":true},"
                      "{\"prealloc\":true,\"id\":\"vm0\"},{\"prealloc\":false,\"id\":\"hot0\"}]",
                      "[{\"type\":\"virtio-mem\",\"data\":{\"memdev\":\"/objects/vm0\",\"id\":\"v\"}},"
                      "{\"type\":\"dimm\",\"data\":{\"memdev\":\"/objects/hot0\",\"slot\":0}},"
                      "{\"type\":\"sgx-epc\",\"data\":{\"memdev\":\"/objects/other\"}},{\"type\":\"odd\"}]",
                      &backings),
                0);
        CU_ASSERT_EQUAL(backings.count, 3);
        CU_ASSERT_FALSE(backings_find(&backings, "m0")->prealloc);
        CU_ASSERT_PTR_NULL(backings_find(&backings, "m0")->device);
        CU_ASSERT_TRUE(backings_find(&backings, "vm0")->prealloc);
        CU_ASSERT_STRING_EQUAL(backings_find(&backings, "vm0")->device, "virtio-mem");
        CU_ASSERT_STRING_EQUAL(backings_find(&backings, "hot0")->device, "dimm");
        CU_ASSERT_PTR_NULL(backings_find(&backings, "none"));
        backings_deinit(&backings);
}

static void test_nonsense(void)
{
        static const char *const memdevs[] = {"{}",
                                              "[1]",
                                              "[{\"id\":\"m0\"}]",
                                              "[{\"prealloc\":false}]",
                                              "[{\"id\":\"m0\",\"prealloc\":\"no\"}]",
                                              "null"};
        struct backings backings = {0};

        for (size_t i = 0; i < ARRAY_SIZE(memdevs); i++)
                CU_ASSERT_EQUAL(parse(memdevs[i], "[]", &backings), -EBADMSG);
        CU_ASSERT_EQUAL(parse("[]", "{}", &backings), -EBADMSG);
        CU_ASSERT_EQUAL(parse("[]", "[3,null,{\"type\":1,\"data\":[]}]", &backings), 0);
        backings_deinit(&backings);
        CU_ASSERT_EQUAL(backings_ask(&(struct qmp_guest){0}, &backings, &failure), -EBADMSG);
}

static const struct unit_test tests[] = {
        {"replies", test_replies},
        {"nonsense", test_nonsense},
};

UNIT_MAIN("qmp/backing", tests)
