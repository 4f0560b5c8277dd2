/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history/history_values.h"

#include "history/history_db.h"

static void keep_result(struct history_values *values, int rc)
{
        if (values->rc == SQLITE_OK)
                values->rc = rc;
}

void history_values_add_int(struct history_values *values, int64_t value)
{
        keep_result(values, sqlite3_bind_int64(values->statement, ++values->n, value));
}

void history_values_add_bytes(struct history_values *values, int64_t bytes)
{
        if (bytes < 0)
                keep_result(values, sqlite3_bind_null(values->statement, ++values->n));
        else
                history_values_add_int(values, bytes);
}

void history_values_add_seconds(struct history_values *values, double seconds)
{
        /* NaN fails this test and so counts as unknown. */
        if (seconds >= 0)
                keep_result(values, sqlite3_bind_double(values->statement, ++values->n, seconds));
        else
                keep_result(values, sqlite3_bind_null(values->statement, ++values->n));
}

void history_values_add_text(struct history_values *values, const char *text)
{
        const char *known = text && *text ? text : NULL;

        keep_result(values, sqlite3_bind_text(values->statement, ++values->n, known, -1, SQLITE_STATIC));
}

int history_values_run(struct history *history, struct history_values *values, struct failure *failure)
{
        int r = 0;

        if (values->rc != SQLITE_OK)
                r = history_db_fail(history, values->rc, "written", failure);
        if (r == 0)
                r = history_db_step(history, values->statement, failure);
        (void)sqlite3_reset(values->statement);
        (void)sqlite3_clear_bindings(values->statement);
        values->n = 0;
        values->rc = SQLITE_OK;
        return r;
}
