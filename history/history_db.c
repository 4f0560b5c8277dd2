/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history/history_db.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

/*
 * What SQLite's results mean, by their low byte; any other is EIO, and the connection goes.
 * @error: 0: the system's error, as far as SQLite knows it
 * @spares: concerns the call, and leaves the connection good
 */
static const struct result {
        int rc;
        int error;
        bool spares;
} results[] = {
        {SQLITE_FULL, ENOSPC, false},     {SQLITE_READONLY, EROFS, false},
        {SQLITE_CORRUPT, EBADMSG, false}, {SQLITE_NOTADB, EBADMSG, false},
        {SQLITE_NOMEM, ENOMEM, false},    {SQLITE_CANTOPEN, 0, false},
        {SQLITE_IOERR, 0, false},         {SQLITE_BUSY, EBUSY, true},
        {SQLITE_LOCKED, EBUSY, true},     {SQLITE_CONSTRAINT, EEXIST, true},
        {SQLITE_TOOBIG, EFBIG, true},     {SQLITE_INTERRUPT, ETIMEDOUT, true},
};

static struct result classify_result(int rc)
{
        for (size_t i = 0; i < ARRAY_SIZE(results); i++)
                if (results[i].rc == (rc & 0xff))
                        return results[i];
        return (struct result){.rc = rc, .error = EIO};
}

int history_db_fail(struct history *history, int rc, const char *verb, struct failure *failure)
{
        const struct result result = classify_result(rc);
        const char *message = sqlite3_errstr(rc);
        int error = -result.error;

        if (error == 0)
                error = history->db ? -sqlite3_system_errno(history->db) : 0;
        if (error == 0)
                error = -EIO;
        if (!result.spares)
                history->unusable = true;
        if (error == -EBADMSG) {
                history->damaged = true;
                return failure_set(failure, error, "the history %s is damaged (%s)", history->path, message);
        }
        if (error == -ETIMEDOUT)
                return failure_set(failure, error,
                                   "the history %s cannot be %s in %d s: ask for a shorter period",
                                   history->path, verb, (int)(HISTORY_MAX_USEC / USEC_PER_SEC));
        if (result.error == 0)
                return failure_errno(failure, error, "the history %s cannot be %s (%s)", history->path, verb,
                                     message);
        return failure_set(failure, error, "the history %s cannot be %s: %s", history->path, verb, message);
}

int history_db_execute(struct history *history, const char *sql, const char *verb, struct failure *failure)
{
        const int rc = sqlite3_exec(history->db, sql, NULL, NULL, NULL);

        return rc == SQLITE_OK ? 0 : history_db_fail(history, rc, verb, failure);
}

static int bind_value(sqlite3_stmt *statement, int i, const struct history_value *value)
{
        if (value->type == SQLITE_TEXT)
                return sqlite3_bind_text(statement, i, value->text, -1, SQLITE_STATIC);
        if (value->type == SQLITE_INTEGER && value->integer >= 0)
                return sqlite3_bind_int64(statement, i, value->integer);
        /* NaN fails this test and so counts as unknown. */
        if (value->type == SQLITE_FLOAT && value->seconds >= 0)
                return sqlite3_bind_double(statement, i, value->seconds);
        return sqlite3_bind_null(statement, i);
}

int history_db_prepare(struct history *history, const char *sql, const struct history_value *values,
                       sqlite3_stmt **ret, struct failure *failure)
{
        int rc = sqlite3_prepare_v2(history->db, sql, -1, ret, NULL);

        /* The text is constant and right, so the tables are wrong. */
        if ((rc & 0xff) == SQLITE_ERROR)
                rc = SQLITE_CORRUPT;
        for (int i = 0; rc == SQLITE_OK && values[i].type; i++)
                rc = bind_value(*ret, i + 1, &values[i]);
        return rc == SQLITE_OK ? 0 : history_db_fail(history, rc, "read", failure);
}

int history_db_step(struct history *history, sqlite3_stmt *statement, struct failure *failure)
{
        const int rc = sqlite3_step(statement);

        if (rc == SQLITE_ROW)
                return 1;
        if (rc == SQLITE_DONE)
                return 0;
        return history_db_fail(history, rc, sqlite3_stmt_readonly(statement) ? "read" : "written", failure);
}

int history_db_run(struct history *history, const char *sql, const struct history_value *values,
                   struct failure *failure)
{
        CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
        int r = history_db_prepare(history, sql, values, &statement, failure);

        return r < 0 ? r : history_db_step(history, statement, failure);
}

bool history_db_is_replaced(const struct history *history)
{
        int moved = 0;

        return sqlite3_file_control(history->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
               moved != 0;
}

void history_db_close(struct history *history)
{
        if (history->db && (history->damaged || history->unusable))
                (void)sqlite3_db_config(history->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void)sqlite3_close_v2(history->db);
        history->db = NULL;
}

void history_db_settle(struct history *history)
{
        if (!history->db)
                return;
        if (!sqlite3_get_autocommit(history->db))
                (void)sqlite3_exec(history->db, "ROLLBACK", NULL, NULL, NULL);
        if (history->damaged || history->unusable || history->immutable)
                history_db_close(history);
        else
                (void)sqlite3_db_release_memory(history->db);
}

void history_db_checkpoint(struct history *history)
{
        /* This does not wait for a reader in the way: the next report folds this log in too. */
        (void)sqlite3_busy_timeout(history->db, 0);
        (void)sqlite3_wal_checkpoint_v2(history->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        (void)sqlite3_busy_timeout(history->db, HISTORY_DB_BUSY_MSEC);
}
