/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How RAM blocks are configured, beyond what is needed to read them. */
#pragma once

#include "base/failure.h"
#include "qmp/guest.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/* One memory backend. */
struct backing {
        char *id;
        char *device; /* type of the memory device it belongs to: dimm, nvdimm, virtio-mem, …; NULL: none */
        bool prealloc;
};

struct backings {
        struct backing *items;
        size_t count;
};

void backings_deinit(struct backings *backings);

/* The backend with this id, or NULL. */
const struct backing *backings_find(const struct backings *backings, const char *id);

/**
 * backings_parse() - parse the replies to query-memdev and query-memory-devices
 * @memdevs, @devices: borrowed
 *
 * Return: 0; -EBADMSG when they lack the form of QEMU's replies, or there are more than BLOCKS_MAX; -ENOMEM.
 */
int backings_parse(struct json_object *memdevs, struct json_object *devices, struct backings *ret_backings,
                   struct failure *failure);

/* Asks the guest's QEMU. Not allowed while the guest is leased. */
int backings_ask(struct qmp_guest *guest, struct backings *ret_backings, struct failure *failure);
