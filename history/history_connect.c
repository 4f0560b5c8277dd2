/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history/history_connect.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "history/history_db.h"
#include "history/history_file.h"

#include <errno.h>
#include <string.h>

#define SCHEMA_VERSION 1
/* "smpg" */
#define APPLICATION_ID 0x736d7067

/* The check reads the whole file, and a slow disk gives some 100 MiB per second. Its work on the rows after
 * that can stop at any time. */
#define MAX_CHECKED_BYTES (128U << 20)
#define MAX_CHECK_USEC    (2 * USEC_PER_SEC)

/* How many steps of SQLite's machine lie between two checks of the clock: below a millisecond. */
#define PROGRESS_STEPS 10000

#define TO_TEXT_(value) #value
#define TO_TEXT(value)  TO_TEXT_(value)

#define SIZE_COLUMN(ignored, name) #name " INTEGER, "
#define FIGURE_COLUMNS             HISTORY_SIZES(SIZE_COLUMN, ) "pause_seconds REAL"

static const char create_sql[] =
        "BEGIN IMMEDIATE;"
        "CREATE TABLE scan ("
        " number INTEGER PRIMARY KEY,"
        " id TEXT NOT NULL UNIQUE,"
        " started INTEGER NOT NULL,"
        " mode TEXT NOT NULL,"
        " complete INTEGER NOT NULL,"
        " duration_seconds REAL,"
        " guests INTEGER NOT NULL,"
        " failed INTEGER NOT NULL," FIGURE_COLUMNS ","
        " longest_pause_seconds REAL"
        ") STRICT;"
        "CREATE INDEX scan_by_time ON scan (started);"
        "CREATE TABLE guest ("
        " scan INTEGER NOT NULL,"
        " position INTEGER NOT NULL,"
        " started INTEGER NOT NULL,"
        " name TEXT NOT NULL,"
        " uuid TEXT,"
        " scanned INTEGER NOT NULL,"
        " error TEXT," FIGURE_COLUMNS ","
        " PRIMARY KEY (scan, position)"
        ") STRICT, WITHOUT ROWID;"
        "CREATE INDEX guest_by_name ON guest (name, started);"
        "CREATE TABLE report ("
        " scan INTEGER PRIMARY KEY,"
        " json TEXT NOT NULL"
        ") STRICT;"
        /* clang-format off */
        "PRAGMA application_id = " TO_TEXT(APPLICATION_ID) ";"
        "PRAGMA user_version = " TO_TEXT(SCHEMA_VERSION) ";"
        "COMMIT";
/* clang-format on */

struct identity {
        int version;
        int application;
        int n_tables;
};

/* Return: SQLite's result code. */
static int read_int(sqlite3 *db, const char *sql, int *ret)
{
        CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW)
                *ret = sqlite3_column_int(statement, 0);
        return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int read_identity(sqlite3 *db, struct identity *ret)
{
        int rc = read_int(db, "PRAGMA user_version", &ret->version);

        if (rc == SQLITE_OK)
                rc = read_int(db, "PRAGMA application_id", &ret->application);
        /* A newer version may hold tables that this SQLite cannot read; its version number is enough. */
        if (rc == SQLITE_OK && ret->version <= SCHEMA_VERSION)
                rc = read_int(db, "SELECT count(*) FROM sqlite_schema", &ret->n_tables);
        return rc;
}

static bool is_empty(const struct identity *identity)
{
        return identity->version == 0 && identity->application == 0 && identity->n_tables == 0;
}

static int judge_identity(const struct history *history, const struct identity *identity,
                          struct failure *failure)
{
        if (identity->application == APPLICATION_ID && identity->version > SCHEMA_VERSION)
                return failure_set(failure, -EOPNOTSUPP,
                                   "the history %s was written by a newer samepage (version %d of its "
                                   "tables, %d is known here): it is left as it is",
                                   history->path, identity->version, SCHEMA_VERSION);
        if (!is_empty(identity) &&
            (identity->application != APPLICATION_ID || identity->version != SCHEMA_VERSION))
                return failure_set(failure, -EINVAL,
                                   "%s is a database, but not a history of samepage: it is left as it is",
                                   history->path);
        return 0;
}

/*
 * Refuses a file that is not for us before it is opened, and leaves it and its folder unchanged. A file that
 * it cannot read is left to prepare_file().
 */
static int peek_file(struct history *history, struct failure *failure)
{
        CLEANUP_FREE char *uri = history_file_uri(history->path, true);
        struct identity identity = {0};
        sqlite3 *db = NULL;
        int rc = SQLITE_NOMEM;

        if (uri)
                rc = sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
                                     NULL);
        if (rc == SQLITE_OK)
                rc = read_identity(db, &identity);
        (void)sqlite3_close_v2(db);
        return rc == SQLITE_OK ? judge_identity(history, &identity, failure) : 0;
}

/*
 * SQLite's own check of trees, records and indexes, up to the first complaint. The quick check does not
 * compare an index with its table, and a wrong index makes wrong sums without any error. A file that is not
 * checked in time counts as good: damage shows when a call meets it.
 */
static int check_file(struct history *history, struct failure *failure)
{
        CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
        struct history_stamp stamp;
        const char *verdict = NULL;
        int r = 0;

        history_file_stamp(history->path, &stamp);
        if (stamp.size > MAX_CHECKED_BYTES)
                return 0;
        history->deadline_usec = clock_now_usec() + MAX_CHECK_USEC;
        r = history_db_prepare(history, "PRAGMA integrity_check(1)", HISTORY_NO_VALUES, &statement, failure);
        if (r == 0)
                r = history_db_step(history, statement, failure);
        history->deadline_usec = clock_now_usec() + HISTORY_MAX_USEC;
        if (r < 0)
                return r == -ETIMEDOUT ? 0 : r;
        verdict = r > 0 ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (!verdict || strcmp(verdict, "ok") != 0)
                return history_db_fail(history, SQLITE_CORRUPT, "opened", failure);
        return 0;
}

/* The way the file is written must be set while it is still empty. */
static int create_tables(struct history *history, struct failure *failure)
{
        int r = history_db_execute(history, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL",
                                   "made", failure);

        if (r == 0)
                r = history_db_execute(history, create_sql, "made", failure);
        if (r == 0)
                history_db_checkpoint(history);
        return r;
}

/* Checks the open file; makes the tables if it is empty. */
static int prepare_file(struct history *history, struct failure *failure)
{
        struct identity identity = {0};
        const int rc = read_identity(history->db, &identity);
        int r = 0;

        if (rc != SQLITE_OK)
                return history_db_fail(history, rc, "opened", failure);
        r = judge_identity(history, &identity, failure);
        if (r < 0)
                return r;
        if (is_empty(&identity) && history->access == HISTORY_READ_ONLY)
                return failure_set(failure, -ENOENT, "there is no history in %s yet", history->path);
        if (is_empty(&identity))
                return create_tables(history, failure);
        if (history->access == HISTORY_READ_ONLY)
                return 0;
        r = check_file(history, failure);
        return r < 0 ? r : history_db_execute(history, "PRAGMA journal_mode = WAL", "opened", failure);
}

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
                r = peek_file(history, failure);
        if (r == 0)
                r = connect_file(history, failure);
        if (r == 0)
                r = prepare_file(history, failure);
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
