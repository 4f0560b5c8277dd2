/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history/history_row.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

/* 9999-12-31T23:59:59Z: four digits for the year. */
#define LAST_SECOND 253402300799

/* Numbers up to this fit in 64 bits even after rounding. */
#define LARGEST 9.2e18

/* Thirty thousand years are not a duration. */
#define LARGEST_SECONDS 1e12

void history_row_put(struct json_object *object, const char *key, struct json_object *value)
{
        if (json_object_object_add(object, key, value) < 0)
                (void)json_object_put(value);
}

struct json_object *history_row_time(int64_t seconds)
{
        const time_t time = seconds;
        struct tm utc = {0};
        char text[32] = "";

        if (seconds < 0 || seconds > LAST_SECOND || !gmtime_r(&time, &utc))
                return NULL;
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
        return json_object_new_string(text);
}

static bool is_null(const struct history_row *row)
{
        return sqlite3_column_type(row->statement, row->column) == SQLITE_NULL;
}

void history_row_add_int(struct history_row *row, struct json_object *object, const char *key)
{
        history_row_put(object, key,
                        is_null(row)
                                ? NULL
                                : json_object_new_int64(sqlite3_column_int64(row->statement, row->column)));
        row->column++;
}

void history_row_add_bool(struct history_row *row, struct json_object *object, const char *key)
{
        history_row_put(object, key,
                        json_object_new_boolean(sqlite3_column_int(row->statement, row->column) != 0));
        row->column++;
}

void history_row_add_text(struct history_row *row, struct json_object *object, const char *key)
{
        const char *text = (const char *)sqlite3_column_text(row->statement, row->column++);

        history_row_put(object, key, text ? json_object_new_string(text) : NULL);
}

void history_row_add_time(struct history_row *row, struct json_object *object, const char *key)
{
        history_row_put(object, key,
                        is_null(row) ? NULL
                                     : history_row_time(sqlite3_column_int64(row->statement, row->column)));
        row->column++;
}

void history_row_add_seconds(struct history_row *row, struct json_object *object, const char *key)
{
        const double seconds = sqlite3_column_double(row->statement, row->column);
        const bool known = !is_null(row) && seconds >= 0 && seconds < LARGEST_SECONDS;
        char text[32] = "";

        (void)snprintf(text, sizeof(text), "%.6f", known ? seconds : 0);
        history_row_put(object, key, known ? json_object_new_double_s(seconds, text) : NULL);
        row->column++;
}

void history_row_add_rounded(struct history_row *row, struct json_object *object, const char *key)
{
        const double value = sqlite3_column_double(row->statement, row->column);
        const bool known = !is_null(row) && value >= 0 && value < LARGEST;

        history_row_put(object, key, known ? json_object_new_int64((int64_t)(value + 0.5)) : NULL);
        row->column++;
}
