/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The history: what every finished scan reported, in one SQLite file.
 *
 * Schema (version 1, in PRAGMA user_version; PRAGMA application_id tells the file from other databases):
 *
 *   scan    one row for each scan: when, how, and the host's figures
 *   guest   one row for each guest of each scan: its figures, or why it has none
 *   report  the whole report as JSON text, apart so that the other two stay small and quick to sum up
 *
 * Sizes are bytes, times seconds; "started" is the second since 1970 that the report names. A figure that was
 * not measured is NULL, and minimum, average and maximum leave it out. The file holds what a report holds,
 * which is neither page content nor fingerprints.
 *
 * Guarantees:
 *  - A report is in the file whole or not at all.
 *  - Nobody waits long. A call waits two seconds for a lock and ends after five (HISTORY_MAX_USEC), and
 *    opening skips the check above a size limit. A disk that does not answer is the exception: the call hangs
 *    in the kernel as long as the disk does.
 *  - No trouble with the file becomes trouble for the service. Each call opens the file anew when the call
 *    before it failed, or when another file lies at the path (somebody moved or removed the old one, and
 *    SQLite would go on writing into it). So a repaired file works again from the next call on.
 *  - A damaged file is kept. It is renamed to PATH.corrupt-TIME, with its -wal and -shm, and a new file is
 *    started. That happens at most once a call, only in the process that writes, and only when SQLite says
 *    that the content is wrong or that our tables are not in it.
 *  - A file of a newer samepage or of another program is refused and stays unchanged to the byte. A check
 *    that makes no -wal and no -shm runs before the file is opened for good.
 *
 * Readers and the writer do not wait for each other (write-ahead log). After each report the log is folded
 * into the file, so that the file alone is nearly always the whole history. A reader that finds no log knows
 * that nobody has the file open, and reads it as a constant. Otherwise it would leave a -wal and a -shm
 * behind that belong to the user who typed the command. If a writer starts meanwhile, the file's time and the
 * log show it. Then the reader drops its result, even an error, and reads again.
 *
 * Everything foreign (guests' names above all) reaches SQLite as a bound parameter. All SQL text is constant.
 */
#include "history/history.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "history/history_connect.h"
#include "history/history_db.h"
#include "history/history_file.h"
#include "history/history_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Two damaged files in one second are no accident of the disk; nine are enough. */
#define MAX_SAME_SECOND 9

/* An unused name for the damaged file. */
static char *name_aside(const char *path)
{
        const time_t now = time(NULL);
        struct tm utc = {0};
        char stamp[32] = "";

        if (gmtime_r(&now, &utc))
                (void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
        for (int i = 1; i <= MAX_SAME_SECOND; i++) {
                char suffix[16] = "";
                char *name = NULL;

                if (i > 1)
                        (void)snprintf(suffix, sizeof(suffix), "-%d", i);
                if (asprintf(&name, "%s.corrupt-%s%s", path, stamp, suffix) < 0)
                        return NULL;
                if (access(name, F_OK) != 0)
                        return name;
                free(name);
        }
        return NULL;
}

static int move_part(const char *path, const char *aside, const char *suffix)
{
        CLEANUP_FREE char *from = NULL;
        CLEANUP_FREE char *to = NULL;

        if (asprintf(&from, "%s%s", path, suffix) < 0 || asprintf(&to, "%s%s", aside, suffix) < 0)
                return -ENOMEM;
        return rename(from, to) < 0 && errno != ENOENT ? -errno : 0;
}

static int set_aside(struct history *history, const struct failure *why, struct failure *ret_notice)
{
        /* Left behind, the log and its index would be applied to the new file. */
        static const char *const suffixes[] = {"-wal", "-shm", ""};
        CLEANUP_FREE char *aside = name_aside(history->path);
        int r = 0;

        if (!aside)
                return failure_set(ret_notice, -EEXIST, "%s, and cannot be set aside: no name is free",
                                   why->text);
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(suffixes); i++)
                r = move_part(history->path, aside, suffixes[i]);
        if (r < 0)
                return failure_errno(ret_notice, r, "%s, and cannot be set aside", why->text);
        return failure_set(ret_notice, 0, "%s: it is kept as %s, and a new history is begun", why->text,
                           aside);
}

static int work_once(struct history *history, int (*work)(struct history *, void *, struct failure *),
                     void *argument, struct failure *failure)
{
        int r = 0;

        history->damaged = false;
        history->unusable = false;
        if (history->db && history_db_is_replaced(history))
                history_db_close(history);
        if (!history->db)
                r = history_connect(history, failure);
        if (r == 0 && work)
                r = work(history, argument, failure);
        history_db_settle(history);
        return r;
}

/* A writer starts or ends once during a read, rarely more often; the reader tries no more often than this. */
#define MAX_READS 4

static int read_settled(struct history *history, int (*work)(struct history *, void *, struct failure *),
                        void *argument, struct failure *failure)
{
        int r = 0;

        for (int i = 0; i < MAX_READS; i++) {
                struct history_stamp before;
                struct history_stamp after;

                history_file_stamp(history->path, &before);
                r = work_once(history, work, argument, failure);
                history_file_stamp(history->path, &after);
                if ((r == 0 && !history->immutable) || memcmp(&before, &after, sizeof(before)) == 0)
                        return r;
        }
        return r == 0 ? failure_set(failure, -EBUSY, "the history %s changes all the time", history->path)
                      : r;
}

int history_run(struct history *history, int (*work)(struct history *, void *, struct failure *),
                void *argument, struct failure *failure)
{
        struct failure why = {0};
        struct failure notice = {0};
        int r = 0;

        history->deadline_usec = clock_now_usec() + HISTORY_MAX_USEC;
        if (history->access == HISTORY_READ_ONLY)
                r = read_settled(history, work, argument, &why);
        else
                r = work_once(history, work, argument, &why);
        if (history->access == HISTORY_READ_ONLY || !history->damaged)
                return r < 0 ? failure_set(failure, r, "%s", why.text) : r;
        r = set_aside(history, &why, &notice);
        if (r < 0)
                return failure_set(failure, r, "%s", notice.text);
        r = work_once(history, work, argument, &why);
        if (r < 0)
                return failure_set(failure, r, "%s; then: %s", notice.text, why.text);
        return failure_set(failure, HISTORY_E_RENEWED, "%s", notice.text);
}

int history_open(const char *path, enum history_access access, struct history **ret, struct failure *failure)
{
        struct history *history = calloc(1, sizeof(*history));
        int r = 0;

        if (!history)
                return failure_set(failure, -ENOMEM, "out of memory");
        history->access = access;
        history->path = strdup(path);
        if (!history->path) {
                history_free(history);
                return failure_set(failure, -ENOMEM, "out of memory");
        }
        r = history_run(history, NULL, NULL, failure);
        if (r < 0 && access == HISTORY_READ_ONLY) {
                history_free(history);
                return r;
        }
        *ret = history;
        return r < 0 ? HISTORY_E_UNAVAILABLE : r;
}

struct history *history_free(struct history *history)
{
        if (!history)
                return NULL;
        history_db_close(history);
        free(history->path);
        free(history);
        return NULL;
}
