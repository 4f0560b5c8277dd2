/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading foreign JSON, where a missing value or one of another type reads as NULL, and writing our own. */
#pragma once

#include "base/cleanup.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* The value of @key in @object, borrowed; NULL unless @object is an object that has it with this type. */
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

/* The truth value under @key; false without one. */
static inline bool json_get_bool(struct json_object *object, const char *key)
{
        struct json_object *value = json_get(object, key, json_type_boolean);

        return value && json_object_get_boolean(value);
}

/* The whole number under @key, or @otherwise. */
static inline int64_t json_get_int(struct json_object *object, const char *key, int64_t otherwise)
{
        struct json_object *value = json_get(object, key, json_type_int);

        return value ? json_object_get_int64(value) : otherwise;
}

/**
 * json_get_number() - a whole number that must be present
 * @most: it must lie between 0 and this
 *
 * Return: 0 or -EBADMSG.
 */
static inline int json_get_number(struct json_object *object, const char *key, int64_t most,
                                  int64_t *ret_number)
{
        const int64_t number = json_get_int(object, key, -1);

        if (number < 0 || number > most)
                return -EBADMSG;
        *ret_number = number;
        return 0;
}

/* Puts @value (taken; NULL becomes null) under @key. */
static inline void json_add(struct json_object *object, const char *key, struct json_object *value)
{
        (void)json_object_object_add(object, key, value);
}

/* Adds a string; NULL becomes null. */
static inline void json_add_text(struct json_object *object, const char *key, const char *text)
{
        json_add(object, key, text && *text ? json_object_new_string(text) : NULL);
}

static inline void json_add_int(struct json_object *object, const char *key, int64_t number)
{
        json_add(object, key, json_object_new_int64(number));
}

static inline void json_add_bool(struct json_object *object, const char *key, bool value)
{
        json_add(object, key, json_object_new_boolean(value));
}

/* To the microsecond, which is what clocks give: more decimals would pretend to more. */
static inline struct json_object *json_new_seconds(double seconds)
{
        char text[32] = "";

        (void)snprintf(text, sizeof(text), "%.6f", seconds);
        return json_object_new_double_s(seconds, text);
}

static inline void json_add_seconds(struct json_object *object, const char *key, double seconds)
{
        json_add(object, key, json_new_seconds(seconds));
}

/* Lines in the shape of QMP, which QEMU, the bridge and the control socket speak. */

/* {"execute": @command, "arguments": @arguments (taken; NULL: none), "id": @id}; NULL without memory. */
static inline struct json_object *json_new_command(const char *command, struct json_object *arguments,
                                                   int64_t id)
{
        struct json_object *object = json_object_new_object();

        if (!object) {
                json_object_put(arguments);
                return NULL;
        }
        json_add_text(object, "execute", command);
        if (arguments)
                json_add(object, "arguments", arguments);
        json_add_int(object, "id", id);
        return object;
}

/* What stands under "error" in an answer. */
static inline struct json_object *json_new_error(const char *class, const char *sentence)
{
        struct json_object *error = json_object_new_object();

        json_add_text(error, "class", class);
        json_add_text(error, "desc", sentence);
        return error;
}

/* Whether it answers the command of this id; events and other answers do not. */
static inline bool json_is_answer(struct json_object *object, int64_t id)
{
        struct json_object *value = json_get(object, "id", json_type_int);

        return value && json_object_get_int64(value) == id;
}

static inline void json_cleanup(struct json_object **object)
{
        (void)json_object_put(*object);
}

/* For a local variable that owns a reference. */
#define CLEANUP_JSON CLEANUP(json_cleanup)
