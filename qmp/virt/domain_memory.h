/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a domain's XML says about its memory, and how the bridge passes that on. */
#pragma once

#include "base/failure.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum memory_kind {
        MEMORY_KIND_UNKNOWN, /* libvirt's versions differ in what they make of it */
        MEMORY_KIND_ANONYMOUS,
        MEMORY_KIND_MEMFD,
        MEMORY_KIND_FILE,
        MEMORY_KIND_COUNT_,
};

enum memory_sharing {
        MEMORY_SHARING_UNKNOWN,
        MEMORY_SHARING_PRIVATE,
        MEMORY_SHARING_SHARED,
        MEMORY_SHARING_COUNT_,
};

struct memory_block {
        char *id;
        uint64_t size_bytes;
        enum memory_kind kind;
        enum memory_sharing sharing;
        char *path; /* of a file that the XML names; else NULL */
};

struct domain_memory {
        char *name;
        char *uuid;
        char *group; /* of the metadata; NULL without it */
        bool merge;  /* QEMU may ask for MADV_MERGEABLE */
        struct memory_block *blocks;
        size_t n_blocks;
        size_t n_cells; /* so many blocks at the front are NUMA cells, which old machine types have in one
                           block */
};

void domain_memory_deinit(struct domain_memory *memory);

/* NULL without memory. */
struct json_object *domain_memory_to_json(const struct domain_memory *memory);

/**
 * domain_memory_from_json() - the same, read back
 * @object: borrowed
 *
 * Return: 0; -EBADMSG, -ENOMEM with a sentence.
 */
int domain_memory_from_json(struct json_object *object, struct domain_memory *ret_memory,
                            struct failure *failure);
