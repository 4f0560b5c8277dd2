/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The values of one statement, bound one after the other; the first failure is kept and told at the end. */
#pragma once

#include "history/history_internal.h"

/**
 * struct history_values - a statement that is being filled
 * @n: how many values are bound
 * @rc: the first failure
 */
struct history_values {
        sqlite3_stmt *statement;
        int n;
        int rc;
};

void history_values_add_int(struct history_values *values, int64_t value);

/* NULL where it is negative: not known. */
void history_values_add_bytes(struct history_values *values, int64_t bytes);
void history_values_add_seconds(struct history_values *values, double seconds);

/* Borrowed until the statement has run; NULL where it is NULL or empty. */
void history_values_add_text(struct history_values *values, const char *text);

/* Runs a statement that gives no rows, and makes it ready for other values. */
int history_values_run(struct history *history, struct history_values *values, struct failure *failure);
