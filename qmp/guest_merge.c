/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/guest_merge.h"

#include <json-c/json.h>
#include <stdio.h>

#define PATH_BYTES 512

int qmp_guest_set_merge(struct qmp_guest *guest, const char *id, bool merge, struct failure *failure)
{
        struct json_object *arguments = json_object_new_object();
        char path[PATH_BYTES] = "";

        /* A block's id is its memory backend's, or that one's path (x-use-canonical-path-for-ramblock-id). */
        (void)snprintf(path, sizeof(path), "%s%s", id[0] == '/' ? "" : "/objects/", id);
        (void)json_object_object_add(arguments, "path", json_object_new_string(path));
        (void)json_object_object_add(arguments, "property", json_object_new_string("merge"));
        (void)json_object_object_add(arguments, "value", json_object_new_boolean(merge));
        return qmp_client_execute(guest->client, "qom-set", arguments, NULL, failure);
}
