/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/guest_merge.h"

#include "base/clock.h"
#include "base/json.h"

#include <json-c/json.h>
#include <stdio.h>

#define PATH_BYTES 512
#define LEAST_USEC (UINT64_C(5) * USEC_PER_SEC)
#define MOST_USEC  (UINT64_C(600) * USEC_PER_SEC)
/* A tenth of the measured speed (docs/host-interfaces.md): a busy host is slower. */
#define BYTES_PER_USEC 64

int qmp_guest_set_merge(struct qmp_guest *guest, const char *id, bool merge, uint64_t merged_bytes,
                        struct failure *failure)
{
        struct json_object *arguments = json_object_new_object();
        const uint64_t copy_usec = merge ? 0 : merged_bytes / BYTES_PER_USEC;
        const uint64_t timeout_usec = LEAST_USEC + (copy_usec < MOST_USEC ? copy_usec : MOST_USEC);
        const uint64_t before_usec = qmp_client_set_timeout(guest->client, timeout_usec);
        char path[PATH_BYTES] = "";
        int r = 0;

        /* A block's id is its memory backend's id or path (x-use-canonical-path-for-ramblock-id). */
        (void)snprintf(path, sizeof(path), "%s%s", id[0] == '/' ? "" : "/objects/", id);
        json_add_text(arguments, "path", path);
        json_add_text(arguments, "property", "merge");
        json_add_bool(arguments, "value", merge);
        r = qmp_client_execute(guest->client, "qom-set", arguments, NULL, failure);
        (void)qmp_client_set_timeout(guest->client, before_usec);
        return r;
}
