/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history/history_connect.h"

#include "base/clock.h"
#include "history/history_db.h"
#include "history/history_file.h"
#include "history/history_schema.h"

#include <errno.h>

/* How many steps of SQLite's machine lie between two checks of the clock: below a millisecond. */
#define PROGRESS_STEPS 10000

static int is_late(void *argument)
{
        const struct history *history = argument;

        return clock_now_usec() > history->deadline_usec;
}

/* Sets up the connection; none of this touches the file. */
static int configure_connection(struct history *history, struct failure *failure)
{
        (void)sqlite3_extended_result_codes(history->db, 1);
        (void)sqlite3_busy_timeout(history->db, HISTORY_DB_BUSY_MSEC);
        sqlite3_progress_handler(history->db, PROGRESS_STEPS, is_late, history);
        (void)sqlite3_limit(history->db, SQLITE_LIMIT_LENGTH, (int)HISTORY_MAX_REPORT_BYTES);
        (void)sqlite3_db_config(history->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        (void)sqlite3_db_config(history->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        /* Holds until the file has proved to be ours. */
        (void)sqlite3_db_config(history->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return history_db_execute(history,
                                  "PRAGMA mmap_size = 0; " /* a file that is cut short would raise SIGBUS */
                                  "PRAGMA cache_size = -1024; "
                                  "PRAGMA synchronous = NORMAL; " /* syncs when the log is folded in */
                                  "PRAGMA temp_store = MEMORY;",
                                  "opened", failure);
}

static int connect_file(struct history *history, struct failure *failure)
{
        CLEANUP_FREE char *uri = NULL;
        const int flags =
                (history->access == HISTORY_READ_WRITE ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) |
                SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
        int rc = 0;

        history->immutable = history->access == HISTORY_READ_ONLY && !history_file_has_log(history->path);
        uri = history_file_uri(history->path, history->immutable);
        if (!uri)
                return failure_set(failure, -ENOMEM, "out of memory");
        rc = sqlite3_open_v2(uri, &history->db, flags, NULL);
        if (rc != SQLITE_OK)
                return history_db_fail(history, rc, "opened", failure);
        return configure_connection(history, failure);
}

static int open_and_prepare(struct history *history, struct failure *failure)
{
        int r = history_file_prepare(history->path, history->access == HISTORY_READ_WRITE, failure);

        if (r == 0)
                r = history_schema_peek(history, failure);
        if (r == 0)
                r = connect_file(history, failure);
        if (r == 0)
                r = history_schema_prepare(history, failure);
        return r;
}

int history_connect(struct history *history, struct failure *failure)
{
        int r = open_and_prepare(history, failure);

        if (r < 0) {
                history->unusable = true;
                history_db_close(history);
                return r;
        }
        (void)sqlite3_db_config(history->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
        return 0;
}
