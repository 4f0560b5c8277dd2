/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading JSON that somebody else wrote: what is not there, or of another type, is NULL. */
#pragma once

#include "base/cleanup.h"

#include <json-c/json.h>

/* The value of @key in @object (borrowed), if @object is an object and has it, of this type. */
static inline struct json_object *json_get(struct json_object *object, const char *key, enum json_type type)
{
        struct json_object *value = NULL;

        if (!json_object_is_type(object, json_type_object) ||
            !json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, type))
                return NULL;
        return value;
}

/* The string under @key, borrowed from @object. */
static inline const char *json_get_text(struct json_object *object, const char *key)
{
        struct json_object *value = json_get(object, key, json_type_string);

        return value ? json_object_get_string(value) : NULL;
}

static inline void json_cleanup(struct json_object **object)
{
        (void)json_object_put(*object);
}

/* For a local variable that owns a reference. */
#define CLEANUP_JSON CLEANUP(json_cleanup)
