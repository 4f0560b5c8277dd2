/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/clock.h"
#include "history/history_db.h"

#include <errno.h>

/* Scans in one transaction: with 50 guests each, the log grows by some 5 MiB. */
#define SCANS_AT_ONCE 64

/* Pages of 4 KiB given back in one step: 4 MiB. */
#define VACUUM_SQL "PRAGMA incremental_vacuum(1024)"

/* A fraction of a call's time limit, so that the last step ends in time too. */
#define MAX_FORGET_USEC (HISTORY_MAX_USEC / 5)

/* Each deletes rows of the same scans. The rows of scan go last, since the others are found by them. */
static const char *const forget_sql[] = {
        "DELETE FROM report WHERE scan IN"
        " (SELECT number FROM scan WHERE started < ?1 ORDER BY started, number LIMIT ?2)",
        "DELETE FROM guest WHERE scan IN"
        " (SELECT number FROM scan WHERE started < ?1 ORDER BY started, number LIMIT ?2)",
        "DELETE FROM scan WHERE number IN"
        " (SELECT number FROM scan WHERE started < ?1 ORDER BY started, number LIMIT ?2)",
};

/* Return: the number of scans deleted, or a negative errno. */
static int forget_some(struct history *history, int64_t older_than, struct failure *failure)
{
        const struct history_value values[] = {HISTORY_INT(older_than), HISTORY_INT(SCANS_AT_ONCE), {0}};
        int r = history_db_execute(history, "BEGIN IMMEDIATE", "written", failure);
        int n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(forget_sql) && r == 0; i++)
                r = history_db_run(history, forget_sql[i], values, failure);
        n = sqlite3_changes(history->db);
        if (r == 0)
                r = history_db_execute(history, "COMMIT", "written", failure);
        if (r == 0)
                history_db_checkpoint(history);
        return r < 0 ? r : n;
}

/* Return: the number of free pages in the file, or a negative errno. */
static int64_t count_free(struct history *history, struct failure *failure)
{
        CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
        int r = history_db_prepare(history, "PRAGMA freelist_count", HISTORY_NO_VALUES, &statement, failure);

        if (r == 0)
                r = history_db_step(history, statement, failure);
        return r > 0 ? sqlite3_column_int64(statement, 0) : r;
}

/* Also ends when no more pages come free: a file that somebody else put there may not be set up for this. */
static int shrink_file(struct history *history, uint64_t enough_usec, struct failure *failure)
{
        int64_t before = INT64_MAX;
        int64_t left = count_free(history, failure);

        while (left > 0 && left < before && clock_now_usec() < enough_usec) {
                int r = history_db_execute(history, VACUUM_SQL, "written", failure);

                if (r < 0)
                        return r;
                history_db_checkpoint(history);
                before = left;
                left = count_free(history, failure);
        }
        return left < 0 ? (int)left : 0;
}

static int forget_old_scans(struct history *history, void *argument, struct failure *failure)
{
        const int64_t *older_than = argument;
        const uint64_t enough_usec = clock_now_usec() + MAX_FORGET_USEC;
        int r = 1;

        while (r > 0 && clock_now_usec() < enough_usec)
                r = forget_some(history, *older_than, failure);
        return r < 0 ? r : shrink_file(history, enough_usec, failure);
}

int history_forget(struct history *history, uint64_t older_than_unix_seconds, struct failure *failure)
{
        int64_t older_than =
                older_than_unix_seconds > INT64_MAX ? INT64_MAX : (int64_t)older_than_unix_seconds;

        return history_run(history, forget_old_scans, &older_than, failure);
}
