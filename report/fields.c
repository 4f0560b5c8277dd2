/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/fields.h"

#include "base/json.h"
#include "base/text.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct json_object *list_to_json(const struct field *field, const char *elements, size_t n)
{
        struct json_object *list = json_object_new_array();

        for (size_t i = 0; i < n; i++) {
                struct json_object *element = json_object_new_object();

                fields_write(element, field->fields, elements + i * field->size);
                (void)json_object_array_add(list, element);
        }
        return list;
}

static struct json_object *value_to_json(const struct field *field, const char *base)
{
        const void *at = base + field->offset;
        const char *text = NULL;

        switch (field->type) {
        case FIELD_TYPE_BOOL:
                return json_object_new_boolean(*(const bool *)at);
        case FIELD_TYPE_BYTES:
        case FIELD_TYPE_SIGNED:
                return *(const int64_t *)at == FIELD_UNKNOWN ? NULL
                                                             : json_object_new_int64(*(const int64_t *)at);
        case FIELD_TYPE_COUNT:
                return json_object_new_int64(*(const unsigned int *)at);
        case FIELD_TYPE_PID:
                return *(const pid_t *)at > 0 ? json_object_new_int64(*(const pid_t *)at) : NULL;
        case FIELD_TYPE_SECONDS:
                return *(const double *)at < 0 ? NULL : json_new_seconds(*(const double *)at);
        case FIELD_TYPE_SPAN:
                return *(const double *)at > 0 ? json_new_seconds(*(const double *)at) : NULL;
        case FIELD_TYPE_DOUBLE:
                return json_object_new_double(*(const double *)at);
        case FIELD_TYPE_FIXED:
                return json_object_new_int64((int64_t)field->size);
        case FIELD_TYPE_LIST:
                return list_to_json(field, *(const char *const *)at, *(const size_t *)(base + field->n));
        case FIELD_TYPE_NAME:
                text = field->names(*(const int *)at);
                break;
        case FIELD_TYPE_CHARS:
                text = at;
                break;
        default:
                text = *(const char *const *)at;
                break;
        }
        return text && *text ? json_object_new_string(text) : NULL;
}

/* The object that a field stands in. */
static struct json_object *find_object(struct json_object *whole, const struct field *field)
{
        return field->within ? json_get(whole, field->within, json_type_object) : whole;
}

void fields_write(struct json_object *object, const struct field *fields, const void *structure)
{
        const char *base = structure;

        for (const struct field *field = fields; field->type != FIELD_TYPE_END; field++) {
                const bool is_known = !field->flag || *(const bool *)(base + field->flag);
                struct json_object *to = find_object(object, field);

                if (!to) {
                        to = json_object_new_object();
                        json_add(object, field->within, to);
                }
                json_add(to, field->key, is_known ? value_to_json(field, base) : NULL);
        }
}

static int read_list(struct json_object *json, const struct field *field, char **elements, size_t *n)
{
        struct json_object *list = json_get(json, field->key, json_type_array);
        const size_t length = list ? json_object_array_length(list) : 0;
        int r = 0;

        if (!list && field->is_needed)
                return -EBADMSG;
        if (length > field->max)
                return -E2BIG;
        *elements = calloc(length + 1, field->size);
        if (!*elements)
                return -ENOMEM;
        while (*n < length && r == 0) {
                r = fields_read(json_object_array_get_idx(list, *n), field->fields,
                                *elements + *n * field->size);
                (*n)++;
        }
        return r;
}

static int read_text(const char *text, const struct field *field, char **ret)
{
        if (!text)
                return field->is_needed ? -EBADMSG : 0;
        *ret = strdup(text);
        if (!*ret)
                return -ENOMEM;
        text_make_printable(*ret);
        return 0;
}

static int read_name(const char *text, const struct field *field, char *base)
{
        void *at = base + field->offset;
        int number = 0; /* behind the last when it is none of them: the first is next */

        while (number < field->n_names && (!text || strcmp(text, field->names(number)) != 0))
                number++;
        if (number == field->n_names && field->is_needed)
                return -EBADMSG;
        if (field->flag)
                *(bool *)(base + field->flag) = number < field->n_names;
        if (field->type == FIELD_TYPE_NAME)
                *(int *)at = number < field->n_names ? number : 0;
        else if (number < field->n_names || field->type == FIELD_TYPE_CHOICE)
                *(const char **)at = field->names(number < field->n_names ? number : 0);
        return 0;
}

static int64_t get_number(struct json_object *json, const struct field *field, int64_t least, int64_t most,
                          int64_t otherwise)
{
        const int64_t number = json_get_int(json, field->key, otherwise);

        return number < least || number > most ? otherwise : number;
}

static double get_double(struct json_object *json, const struct field *field, double otherwise)
{
        struct json_object *value = json_get(json, field->key, json_type_double);

        return value ? json_object_get_double(value) : otherwise;
}

static int read_field(struct json_object *json, const struct field *field, char *base)
{
        const char *text = json_get_text(json, field->key);
        void *at = base + field->offset;

        switch (field->type) {
        case FIELD_TYPE_TEXT:
                return read_text(text, field, at);
        case FIELD_TYPE_CHARS:
                (void)snprintf(at, field->size, "%s", text ? text : "");
                text_make_printable(at);
                break;
        case FIELD_TYPE_WORD:
        case FIELD_TYPE_CHOICE:
        case FIELD_TYPE_NAME:
                return read_name(text, field, base);
        case FIELD_TYPE_BOOL:
                *(bool *)at = json_get_bool(json, field->key);
                break;
        case FIELD_TYPE_BYTES:
                *(int64_t *)at = get_number(json, field, 0, FIELD_BYTES_MAX, FIELD_UNKNOWN);
                break;
        case FIELD_TYPE_SIGNED:
                *(int64_t *)at = get_number(json, field, -FIELD_BYTES_MAX, FIELD_BYTES_MAX, FIELD_UNKNOWN);
                break;
        case FIELD_TYPE_COUNT:
        case FIELD_TYPE_PID:
                *(int *)at = (int)get_number(json, field, 0, INT_MAX, 0);
                break;
        case FIELD_TYPE_SECONDS:
                *(double *)at = get_double(json, field, FIELD_UNKNOWN);
                break;
        case FIELD_TYPE_SPAN:
        case FIELD_TYPE_DOUBLE:
                *(double *)at = fmax(get_double(json, field, 0), 0);
                break;
        case FIELD_TYPE_LIST:
                return read_list(json, field, at, (size_t *)(void *)(base + field->n));
        case FIELD_TYPE_FIXED:
        case FIELD_TYPE_END:
                break;
        }
        return 0;
}

int fields_read(struct json_object *json, const struct field *fields, void *structure)
{
        int r = 0;

        for (const struct field *field = fields; field->type != FIELD_TYPE_END && r == 0; field++)
                r = read_field(find_object(json, field), field, structure);
        return r;
}
