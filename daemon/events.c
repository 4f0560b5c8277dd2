/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/events.h"

#include "daemon/print.h"

#include <stdio.h>

bool events_print(const char *event, struct json_object *data)
{
        struct json_object *line = json_object_new_object();

        (void)json_object_object_add(line, "event", json_object_new_string(event));
        (void)json_object_object_add(line, "data", data);
        (void)printf("%s\n", json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN |
                                                                          JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(line);
        return print_finish();
}

void events_print_progress(uint64_t done_bytes, uint64_t total_bytes)
{
        struct json_object *data = json_object_new_object();

        (void)json_object_object_add(data, "done_bytes", json_object_new_int64((int64_t)done_bytes));
        (void)json_object_object_add(data, "total_bytes", json_object_new_int64((int64_t)total_bytes));
        (void)events_print(EVENT_PROGRESS, data);
}

void events_print_failure(const char *sentence)
{
        struct json_object *data = json_object_new_object();

        (void)json_object_object_add(data, "desc", json_object_new_string(sentence));
        (void)events_print(EVENT_FAILED, data);
}
