/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/events.h"

#include "base/json.h"
#include "base/print.h"

#include <stdio.h>

bool events_print(const char *event, struct json_object *data)
{
        struct json_object *line = json_object_new_object();

        json_add_text(line, "event", event);
        json_add(line, "data", data);
        (void)printf("%s\n", json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN |
                                                                          JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(line);
        return print_finish();
}

static struct json_object *progress_to_json(uint64_t done_bytes, uint64_t total_bytes)
{
        struct json_object *data = json_object_new_object();

        json_add_int(data, "done_bytes", (int64_t)done_bytes);
        json_add_int(data, "total_bytes", (int64_t)total_bytes);
        return data;
}

void events_print_progress(uint64_t done_bytes, uint64_t total_bytes)
{
        (void)events_print(EVENT_PROGRESS, progress_to_json(done_bytes, total_bytes));
}

void events_print_wait(uint64_t done_bytes, uint64_t total_bytes, uint64_t left_seconds)
{
        struct json_object *data = progress_to_json(done_bytes, total_bytes);

        json_add_int(data, "recheck_in_seconds", (int64_t)left_seconds);
        (void)events_print(EVENT_PROGRESS, data);
}

void events_print_failure(const char *sentence)
{
        struct json_object *data = json_object_new_object();

        json_add_text(data, "desc", sentence);
        (void)events_print(EVENT_FAILED, data);
}

void events_complain(const struct options *options, const char *sentence)
{
        (void)fprintf(stderr, "samepage: %s\n", sentence);
        if (options->events)
                events_print_failure(sentence);
}
