/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Binds the values of one statement, one after the other; keeps the first failure and reports it last. */
#pragma once

#include "history/history_internal.h"

/**
 * struct history_values - a statement being filled
 * @n: number of bound values
 * @rc: the first failure
 */
struct history_values {
        sqlite3_stmt *statement;
        int n;
        int rc;
};

void history_values_add_int(struct history_values *values, int64_t value);

/* A negative size is unknown and becomes NULL. */
void history_values_add_bytes(struct history_values *values, int64_t bytes);
void history_values_add_seconds(struct history_values *values, double seconds);

/* @text is borrowed until the statement has run; NULL or empty text becomes NULL. */
void history_values_add_text(struct history_values *values, const char *text);

/* Runs a statement that gives no rows, and prepares it for other values. */
int history_values_run(struct history *history, struct history_values *values, struct failure *failure);
