/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/guest_merge.h"

#include "base/json.h"

#include <json-c/json.h>
#include <stdio.h>

#define PATH_BYTES 512

int qmp_guest_set_merge(struct qmp_guest *guest, const char *id, bool merge, struct failure *failure)
{
        struct json_object *arguments = json_object_new_object();
        char path[PATH_BYTES] = "";

        /* A block's id is its memory backend's, or that one's path (x-use-canonical-path-for-ramblock-id). */
        (void)snprintf(path, sizeof(path), "%s%s", id[0] == '/' ? "" : "/objects/", id);
        json_add_text(arguments, "path", path);
        json_add_text(arguments, "property", "merge");
        json_add_bool(arguments, "value", merge);
        return qmp_client_execute(guest->client, "qom-set", arguments, NULL, failure);
}
