/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "history/history_db.h"

#include <errno.h>

struct request {
        const char *id;
        struct json_object *report;
        bool found;
};

/* Strict: a text that differs from what was written is not a report. */
static struct json_object *parse_report(const char *text, int length)
{
        struct json_tokener *tokener = json_tokener_new();
        struct json_object *json = NULL;

        if (!tokener)
                return NULL;
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        json = json_tokener_parse_ex(tokener, text, length);
        if (json && !json_object_is_type(json, json_type_object)) {
                (void)json_object_put(json);
                json = NULL;
        }
        json_tokener_free(tokener);
        return json;
}

static int get_report(struct history *history, void *argument, struct failure *failure)
{
        static const char sql[] =
                "SELECT json FROM report WHERE scan = (SELECT number FROM scan WHERE id = ?)";
        struct request *request = argument;
        CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
        const char *text = NULL;
        int r = history_db_prepare(history, sql, (struct history_value[]){HISTORY_TEXT(request->id), {0}},
                                   &statement, failure);

        (void)json_object_put(request->report);
        request->report = NULL;
        request->found = false;
        if (r == 0)
                r = history_db_step(history, statement, failure);
        if (r <= 0)
                return r;
        request->found = true;
        text = (const char *)sqlite3_column_text(statement, 0);
        if (text)
                request->report = parse_report(text, sqlite3_column_bytes(statement, 0));
        return 0;
}

int history_get(struct history *history, const char *id, struct json_object **ret, struct failure *failure)
{
        struct request request = {.id = id};
        int r = history_run(history, get_report, &request, failure);

        if (r < 0) {
                (void)json_object_put(request.report);
                return r;
        }
        if (r == 0 && !request.found)
                return failure_set(failure, -ENOENT, "the history has no scan \"%s\"", id);
        if (r == 0 && !request.report)
                return failure_set(failure, -EBADMSG,
                                   "the report of the scan \"%s\" is damaged in the history", id);
        *ret = request.report;
        return r;
}
