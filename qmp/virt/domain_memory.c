/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/virt/domain_memory.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "qmp/blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void domain_memory_deinit(struct domain_memory *memory)
{
        for (size_t i = 0; i < memory->n_blocks; i++) {
                free(memory->blocks[i].id);
                free(memory->blocks[i].path);
        }
        free(memory->blocks);
        free(memory->name);
        free(memory->uuid);
        free(memory->group);
        *memory = (struct domain_memory){0};
}

static void add_string(struct json_object *object, const char *key, const char *value)
{
        if (value)
                json_add_text(object, key, value);
}

static struct json_object *block_to_json(const struct memory_block *block)
{
        struct json_object *object = json_object_new_object();

        add_string(object, "id", block->id);
        add_string(object, "path", block->path);
        json_add_int(object, "size", (int64_t)block->size_bytes);
        json_add_int(object, "kind", (int64_t)block->kind);
        json_add_int(object, "sharing", (int64_t)block->sharing);
        return object;
}

struct json_object *domain_memory_to_json(const struct domain_memory *memory)
{
        struct json_object *object = json_object_new_object();
        struct json_object *blocks = json_object_new_array();

        for (size_t i = 0; i < memory->n_blocks; i++)
                (void)json_object_array_add(blocks, block_to_json(&memory->blocks[i]));
        add_string(object, "name", memory->name);
        add_string(object, "uuid", memory->uuid);
        add_string(object, "group", memory->group);
        json_add_bool(object, "merge", memory->merge);
        json_add_int(object, "cells", (int64_t)memory->n_cells);
        json_add(object, "blocks", blocks);
        return object;
}

/* A copy of a string, NULL when there is none. */
static int get_string(struct json_object *object, const char *key, char **ret_text)
{
        struct json_object *value = NULL;

        if (!json_object_object_get_ex(object, key, &value))
                return 0;
        if (!json_object_is_type(value, json_type_string))
                return -EBADMSG;
        *ret_text = strdup(json_object_get_string(value));
        return *ret_text ? 0 : -ENOMEM;
}

static int block_from_json(struct json_object *object, struct memory_block *block)
{
        int64_t size = 0;
        int64_t kind = 0;
        int64_t sharing = 0;
        int r = get_string(object, "id", &block->id);

        if (r == 0)
                r = get_string(object, "path", &block->path);
        if (r == 0)
                r = json_get_number(object, "size", INT64_MAX, &size);
        if (r == 0)
                r = json_get_number(object, "kind", MEMORY_KIND_COUNT_ - 1, &kind);
        if (r == 0)
                r = json_get_number(object, "sharing", MEMORY_SHARING_COUNT_ - 1, &sharing);
        if (r == 0 && !block->id)
                r = -EBADMSG;
        block->size_bytes = (uint64_t)size;
        block->kind = (enum memory_kind)kind;
        block->sharing = (enum memory_sharing)sharing;
        return r;
}

static int blocks_from_json(struct json_object *list, struct domain_memory *memory)
{
        size_t count = 0;
        int r = 0;

        if (!json_object_is_type(list, json_type_array))
                return -EBADMSG;
        count = json_object_array_length(list);
        if (count == 0 || count > BLOCKS_MAX)
                return -EBADMSG;
        memory->blocks = calloc(count, sizeof(*memory->blocks));
        if (!memory->blocks)
                return -ENOMEM;
        for (size_t i = 0; i < count && r == 0; i++)
                r = block_from_json(json_object_array_get_idx(list, i), &memory->blocks[memory->n_blocks++]);
        return r;
}

int domain_memory_from_json(struct json_object *object, struct domain_memory *ret_memory,
                            struct failure *failure)
{
        CLEANUP(domain_memory_deinit) struct domain_memory memory = {0};
        struct json_object *value = NULL;
        int64_t n_cells = 0;
        int r = get_string(object, "name", &memory.name);

        if (r == 0)
                r = get_string(object, "uuid", &memory.uuid);
        if (r == 0)
                r = get_string(object, "group", &memory.group);
        if (r == 0 && json_object_object_get_ex(object, "merge", &value))
                memory.merge = json_object_get_boolean(value);
        if (r == 0)
                r = json_object_object_get_ex(object, "blocks", &value) ? blocks_from_json(value, &memory)
                                                                        : -EBADMSG;
        if (r == 0)
                r = json_get_number(object, "cells", (int64_t)memory.n_blocks, &n_cells);
        if (r == 0 && !memory.name)
                r = -EBADMSG;
        if (r < 0)
                return failure_errno(failure, r, "cannot take what libvirt's process says about the domain");
        memory.n_cells = (size_t)n_cells;
        *ret_memory = memory;
        memory = (struct domain_memory){0};
        return 0;
}
