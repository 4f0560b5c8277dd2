/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP's stop stops the virtual CPUs and waits for the block devices. It does not wait for
 *
 *   virtio-9p    threads of QEMU serve its requests and read files straight into guest memory
 *   usb-host     transfers of a host device end when that device is ready, and are then copied
 *   usb-redir    the same over a network
 *
 * QEMU's object tree shows which devices a guest has. The places[] below hold those given on the command line
 * or plugged in, with and without an id.
 */
#include "qmp/writers.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>

static const char *const places[] = {"/machine/peripheral", "/machine/peripheral-anon"};

/* Prefixes of types: virtio-9p-pci, virtio-9p-device, virtio-9p-pci-transitional and so on. */
static const char *const kinds[] = {"virtio-9p", "usb-host", "usb-redir"};

#define CHILD "child<"

int writers_find(struct json_object *list, const char **ret_type, struct failure *failure)
{
        const char *found = NULL;

        if (!json_object_is_type(list, json_type_array))
                return failure_set(failure, -EBADMSG, "the reply to qom-list is no list");
        for (size_t i = 0; i < json_object_array_length(list) && !found; i++) {
                const char *type = json_get_text(json_object_array_get_idx(list, i), "type");

                if (!type || strncmp(type, CHILD, strlen(CHILD)) != 0)
                        continue;
                for (size_t k = 0; k < ARRAY_SIZE(kinds) && !found; k++)
                        if (strncmp(type + strlen(CHILD), kinds[k], strlen(kinds[k])) == 0)
                                found = kinds[k];
        }
        *ret_type = found;
        return 0;
}

int writers_ask(struct qmp_guest *guest, const char **ret_type, struct failure *failure)
{
        const char *found = NULL;
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(places) && r == 0 && !found; i++) {
                CLEANUP_JSON struct json_object *list = NULL;
                struct json_object *arguments = json_object_new_object();

                json_add_text(arguments, "path", places[i]);
                r = qmp_client_execute(guest->client, "qom-list", arguments, &list, failure);
                if (r == 0)
                        r = writers_find(list, &found, failure);
        }
        if (r == 0)
                *ret_type = found;
        return r;
}
