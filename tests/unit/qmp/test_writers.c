/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/json.h"
#include "qmp/writers.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static struct failure failure;

/* What the second place holds; the first one has a disk. */
static const char *anonymous;

/* Stands in for the connection. */
int qmp_client_execute(struct qmp_client *client, const char *command, struct json_object *arguments,
                       struct json_object **ret_reply, struct failure *ret_failure)
{
        const char *path = json_get_text(arguments, "path");

        (void)client;
        (void)ret_failure;
        CU_ASSERT_STRING_EQUAL(command, "qom-list");
        if (strcmp(path, "/machine/peripheral") == 0)
                *ret_reply = json_tokener_parse("[{\"name\":\"type\",\"type\":\"string\"},"
                                                "{\"name\":\"disk\",\"type\":\"child<virtio-blk-pci>\"}]");
        else
                *ret_reply = json_tokener_parse(anonymous);
        json_object_put(arguments);
        return 0;
}

static const char *find(const char *text)
{
        CLEANUP_JSON struct json_object *list = json_tokener_parse(text);
        const char *type = "not set";

        CU_ASSERT_EQUAL(writers_find(list, &type, &failure), 0);
        return type;
}

/* Types as QEMU 7.2 names them. */
static void test_types(void)
{
        CU_ASSERT_PTR_NULL(find("[]"));
        CU_ASSERT_PTR_NULL(find("[{\"name\":\"n\",\"type\":\"child<virtio-net-pci>\"},3,null,{\"type\":5}]"));
        CU_ASSERT_PTR_NULL(find("[{\"name\":\"virtio-9p\",\"type\":\"link<virtio-9p-pci>\"}]"));
        CU_ASSERT_STRING_EQUAL(find("[{\"name\":\"a\",\"type\":\"child<virtio-9p-pci>\"}]"), "virtio-9p");
        CU_ASSERT_STRING_EQUAL(find("[{\"name\":\"a\",\"type\":\"child<virtio-9p-device>\"}]"), "virtio-9p");
        CU_ASSERT_STRING_EQUAL(find("[{\"name\":\"a\",\"type\":\"child<usb-host>\"}]"), "usb-host");
        CU_ASSERT_STRING_EQUAL(find("[{\"name\":\"a\",\"type\":\"child<usb-tablet>\"},"
                                    "{\"name\":\"b\",\"type\":\"child<usb-redir>\"}]"),
                               "usb-redir");
}

static void test_places(void)
{
        struct qmp_guest guest = {0};
        const char *type = "not set";

        anonymous = "[]";
        CU_ASSERT_EQUAL(writers_ask(&guest, &type, &failure), 0);
        CU_ASSERT_PTR_NULL(type);
        anonymous = "[{\"name\":\"device[0]\",\"type\":\"child<virtio-9p-pci>\"}]";
        CU_ASSERT_EQUAL(writers_ask(&guest, &type, &failure), 0);
        CU_ASSERT_STRING_EQUAL(type, "virtio-9p");
        anonymous = "{}";
        CU_ASSERT_EQUAL(writers_ask(&guest, &type, &failure), -EBADMSG);
}

static const struct unit_test tests[] = {
        {"types", test_types},
        {"places", test_places},
};

UNIT_MAIN("qmp/writers", tests)
