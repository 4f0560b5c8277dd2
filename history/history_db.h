/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection to the history's file: SQLite's results as errors and sentences, and closing. */
#pragma once

#include "base/cleanup.h"
#include "history/history_internal.h"

/* Writers hold their lock for milliseconds; a writer that holds it longer is stuck. */
#define HISTORY_DB_BUSY_MSEC 2000

/* Closes the connection, if there is one. */
void history_db_close(struct history *history);

/* Whether the open file is no longer the one at the path. */
bool history_db_is_replaced(const struct history *history);

/* Ends a call: rolls back what is not committed, frees memory, closes a connection that is not to be kept. */
void history_db_settle(struct history *history);

/* Folds the log into the file, as far as no reader is in the way; a failure shows in the next call. */
void history_db_checkpoint(struct history *history);

/**
 * history_db_fail() - translate a result of SQLite
 * @rc: SQLite's result code
 * @verb: what could not be done to the history: "opened", "read", "written"
 *
 * Return: a negative errno, with a sentence in @failure, and the flags of @history set.
 */
int history_db_fail(struct history *history, int rc, const char *verb, struct failure *failure);

/* Runs SQL and drops its rows, if it gives any. */
int history_db_execute(struct history *history, const char *sql, const char *verb, struct failure *failure);

/* A value for a parameter of a statement, in lists that end with {0}. A negative number or time is unknown,
 * and becomes NULL. */
struct history_value {
        int type;
        int64_t integer;
        double seconds;
        const char *text;
};

#define HISTORY_INT(integer_)                                 \
        {                                                     \
                .type = SQLITE_INTEGER, .integer = (integer_) \
        }
#define HISTORY_SECONDS(seconds_)                           \
        {                                                   \
                .type = SQLITE_FLOAT, .seconds = (seconds_) \
        }
/* Borrowed until the statement has run; NULL becomes NULL. */
#define HISTORY_TEXT(text_)                          \
        {                                            \
                .type = SQLITE_TEXT, .text = (text_) \
        }

#define HISTORY_NO_VALUES ((const struct history_value[]){{0}})

/* Compiles SQL and binds @values to ?1 and so on. If the SQL does not compile, the tables are not ours and
 * the file counts as damaged. */
int history_db_prepare(struct history *history, const char *sql, const struct history_value *values,
                       sqlite3_stmt **ret, struct failure *failure);

/* Return: 1 with a row, 0 after the last, a negative errno. */
int history_db_step(struct history *history, sqlite3_stmt *statement, struct failure *failure);

/* Runs a statement that gives no rows, once. */
int history_db_run(struct history *history, const char *sql, const struct history_value *values,
                   struct failure *failure);

static inline void history_db_finalize(sqlite3_stmt **statement)
{
        (void)sqlite3_finalize(*statement);
}

#define CLEANUP_STATEMENT CLEANUP(history_db_finalize)
