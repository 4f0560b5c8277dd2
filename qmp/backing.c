/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/backing.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "qmp/blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void backings_deinit(struct backings *backings)
{
        for (size_t i = 0; i < backings->count; i++) {
                free(backings->items[i].id);
                free(backings->items[i].device);
        }
        free(backings->items);
        *backings = (struct backings){0};
}

const struct backing *backings_find(const struct backings *backings, const char *id)
{
        for (size_t i = 0; i < backings->count; i++)
                if (strcmp(backings->items[i].id, id) == 0)
                        return &backings->items[i];
        return NULL;
}

static int parse_memdevs(struct json_object *memdevs, struct backings *backings, struct failure *failure)
{
        if (!json_object_is_type(memdevs, json_type_array) || json_object_array_length(memdevs) > BLOCKS_MAX)
                return failure_set(failure, -EBADMSG, "the reply to query-memdev cannot be used");
        backings->items = calloc(json_object_array_length(memdevs) + 1, sizeof(*backings->items));
        if (!backings->items)
                return failure_set(failure, -ENOMEM, "out of memory");
        for (size_t i = 0; i < json_object_array_length(memdevs); i++) {
                struct json_object *memdev = json_object_array_get_idx(memdevs, i);
                struct json_object *prealloc = json_get(memdev, "prealloc", json_type_boolean);
                const char *id = json_get_text(memdev, "id");

                if (!id || !prealloc)
                        return failure_set(failure, -EBADMSG, "QEMU does not say what is preallocated");
                backings->items[i].prealloc = json_object_get_boolean(prealloc);
                backings->items[i].id = strdup(id);
                if (!backings->items[i].id)
                        return failure_set(failure, -ENOMEM, "out of memory");
                backings->count++;
        }
        return 0;
}

/* The ID in "/objects/ID", the form in which a device names its backend. Deeper paths belong to objects that
 * QEMU made itself. */
static const char *last_part(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

static int note_device(struct json_object *device, struct backings *backings)
{
        struct json_object *data = json_get(device, "data", json_type_object);
        const char *type = json_get_text(device, "type");
        const char *memdev = json_get_text(data, "memdev");

        for (size_t i = 0; type && memdev && i < backings->count; i++) {
                if (strcmp(backings->items[i].id, last_part(memdev)) != 0)
                        continue;
                free(backings->items[i].device);
                backings->items[i].device = strdup(type);
                return backings->items[i].device ? 0 : -ENOMEM;
        }
        return 0;
}

int backings_parse(struct json_object *memdevs, struct json_object *devices, struct backings *ret_backings,
                   struct failure *failure)
{
        CLEANUP(backings_deinit) struct backings backings = {0};
        int r = parse_memdevs(memdevs, &backings, failure);

        if (r < 0)
                return r;
        if (!json_object_is_type(devices, json_type_array))
                return failure_set(failure, -EBADMSG, "the reply to query-memory-devices is no list");
        for (size_t i = 0; i < json_object_array_length(devices); i++)
                if (note_device(json_object_array_get_idx(devices, i), &backings) < 0)
                        return failure_set(failure, -ENOMEM, "out of memory");
        *ret_backings = backings;
        backings = (struct backings){0};
        return 0;
}

int backings_ask(struct qmp_guest *guest, struct backings *ret_backings, struct failure *failure)
{
        CLEANUP_JSON struct json_object *memdevs = NULL;
        CLEANUP_JSON struct json_object *devices = NULL;
        int r = qmp_client_execute(guest->client, "query-memdev", NULL, &memdevs, failure);

        if (r == 0)
                r = qmp_client_execute(guest->client, "query-memory-devices", NULL, &devices, failure);
        return r < 0 ? r : backings_parse(memdevs, devices, ret_backings, failure);
}
