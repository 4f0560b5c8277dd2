/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes the columns of one row of a result, one after the other, as members of a JSON object. NULL, and
 * numbers that JSON cannot hold, become null. */
#pragma once

#include <json-c/json.h>
#include <sqlite3.h>
#include <stdint.h>

/**
 * struct history_row - a row being read
 * @column: the next column
 */
struct history_row {
        sqlite3_stmt *statement;
        int column;
};

/* Adds @value, which it takes, under @key. */
void history_row_put(struct json_object *object, const char *key, struct json_object *value);

/* A second since 1970 in the form of times in reports; NULL beyond the years that this form can name. */
struct json_object *history_row_time(int64_t seconds);

void history_row_add_int(struct history_row *row, struct json_object *object, const char *key);
void history_row_add_bool(struct history_row *row, struct json_object *object, const char *key);
void history_row_add_text(struct history_row *row, struct json_object *object, const char *key);
void history_row_add_time(struct history_row *row, struct json_object *object, const char *key);

/* Adds seconds, rounded to microseconds like the report. */
void history_row_add_seconds(struct history_row *row, struct json_object *object, const char *key);

/* Adds a fraction, rounded to the nearest whole number. */
void history_row_add_rounded(struct history_row *row, struct json_object *object, const char *key);
