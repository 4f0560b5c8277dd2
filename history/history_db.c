/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history/history_db.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

static int to_errno(const struct history *history, int rc)
{
        switch (rc & 0xff) {
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_INTERRUPT:
                return -ETIMEDOUT;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EBADMSG;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_CONSTRAINT:
                return -EEXIST;
        case SQLITE_TOOBIG:
                return -EFBIG;
        case SQLITE_CANTOPEN:
        case SQLITE_IOERR:
                return history->db && sqlite3_system_errno(history->db) > 0
                               ? -sqlite3_system_errno(history->db)
                               : -EIO;
        default:
                return -EIO;
        }
}

/* These results concern the call, not the connection. */
static bool leaves_connection_good(int rc)
{
        const int primary = rc & 0xff;

        return primary == SQLITE_BUSY || primary == SQLITE_LOCKED || primary == SQLITE_INTERRUPT ||
               primary == SQLITE_CONSTRAINT || primary == SQLITE_TOOBIG;
}

int history_db_fail(struct history *history, int rc, const char *verb, struct failure *failure)
{
        const int error = to_errno(history, rc);
        const char *message = sqlite3_errstr(rc);

        if (!leaves_connection_good(rc))
                history->unusable = true;
        if (error == -EBADMSG) {
                history->damaged = true;
                return failure_set(failure, error, "the history %s is damaged (%s)", history->path, message);
        }
        if (error == -ETIMEDOUT)
                return failure_set(failure, error,
                                   "the history %s cannot be %s in %d s: ask for a shorter period",
                                   history->path, verb, (int)(HISTORY_MAX_USEC / USEC_PER_SEC));
        if ((rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_IOERR)
                return failure_errno(failure, error, "the history %s cannot be %s (%s)", history->path, verb,
                                     message);
        return failure_set(failure, error, "the history %s cannot be %s: %s", history->path, verb, message);
}

int history_db_execute(struct history *history, const char *sql, const char *verb, struct failure *failure)
{
        const int rc = sqlite3_exec(history->db, sql, NULL, NULL, NULL);

        return rc == SQLITE_OK ? 0 : history_db_fail(history, rc, verb, failure);
}

int history_db_prepare(struct history *history, const char *sql, sqlite3_stmt **ret, struct failure *failure)
{
        int rc = sqlite3_prepare_v2(history->db, sql, -1, ret, NULL);

        /* The text is constant and right, so the tables are wrong. */
        if ((rc & 0xff) == SQLITE_ERROR)
                rc = SQLITE_CORRUPT;
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
