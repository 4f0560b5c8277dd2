/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reports of finished scans, kept in one SQLite file. history.c tells how. */
#pragma once

#include "base/failure.h"
#include "report/report.h"

#include <json-c/json.h>
#include <stdint.h>

/* Scans in one answer: when nothing else is asked for, and at most. */
#define HISTORY_DEFAULT_SCANS 20
#define HISTORY_MAX_SCANS     1000
/* Guests in one summary; "more_guests" says that there were more. */
#define HISTORY_MAX_GUESTS 1024
/* The largest report that is taken, as JSON: 1024 guests of many RAM blocks make about 2 MiB. */
#define HISTORY_MAX_REPORT_BYTES (64U << 20)

enum history_access {
        HISTORY_READ_WRITE, /* the service: makes the file, and replaces it when it is damaged */
        HISTORY_READ_ONLY,  /* everybody else: changes nothing, makes no file */
};

/* Conditions under which the call did its work nevertheless; the failure holds a sentence to be logged. */
enum history_condition {
        HISTORY_E_RENEWED = 1, /* the file was damaged: it lies aside under a new name, a new one is begun */
        HISTORY_E_UNAVAILABLE, /* there is a handle, but no open file yet: every call tries again */
};

struct history;

/**
 * history_open() - a handle for the history in the file @path
 * @path: the database; copied
 * @access: HISTORY_READ_WRITE makes the file (0640) and its folder (0750) where they are missing
 * @ret: receives the handle; history_free() it
 * @failure: the sentence of a failure or of a condition; may be NULL
 *
 * One thread may use a handle, and not across fork(). Any number of processes may read while one writes. With
 * HISTORY_READ_WRITE nothing but lack of memory is a failure: a service goes on, and its later calls fail
 * with a sentence for as long as the reason lasts.
 *
 * Return: 0; HISTORY_E_RENEWED; HISTORY_E_UNAVAILABLE; -ENOMEM. With HISTORY_READ_ONLY also -ENOENT when
 * there is no history yet, -EBADMSG when it is damaged, -EOPNOTSUPP when a newer version wrote it, or another
 * negative errno.
 */
int history_open(const char *path, enum history_access access, struct history **ret, struct failure *failure);

struct history *history_free(struct history *history);

/**
 * history_add() - keep a report
 * @json: the same as text, see report_to_json(): history_get() gives it again
 *
 * All of it or nothing. After a failure the handle is as good as before: the next call tries everything anew.
 *
 * Return: 0; HISTORY_E_RENEWED; -EINVAL when the report's time is none; -EEXIST when a scan of this id is
 * there already; -ENOSPC, -EROFS, -EBUSY or another negative errno.
 */
int history_add(struct history *history, const struct report *report, const char *json,
                struct failure *failure);

/**
 * history_forget() - drop the scans that began before @older_than_unix_seconds
 *
 * Works for a second or two at most and leaves the rest to the next call; what is dropped is given back to
 * the file system, likewise a piece at a time.
 *
 * Return: 0, also when some are left; HISTORY_E_RENEWED; a negative errno.
 */
int history_forget(struct history *history, uint64_t older_than_unix_seconds, struct failure *failure);

/**
 * struct history_filter - which scans
 * @guest: only scans of the guest of exactly this name, with that guest's figures; NULL: the host's
 * @since: begun at this second or later; 0: open
 * @until: begun before this second; 0: open
 * @limit: how many scans are listed, the newest first; 0: HISTORY_DEFAULT_SCANS. The summary takes in all
 */
struct history_filter {
        const char *guest;
        uint64_t since;
        uint64_t until;
        unsigned int limit;
};

/**
 * history_query() - the scans of a period, and least, average and most of each figure
 * @ret: receives an object of schema "samepage.history.v1", described in history_query.c
 *
 * Return: 0; HISTORY_E_RENEWED (the answer is empty then); -ETIMEDOUT when the period is too long to be
 * summed up in a few seconds; another negative errno.
 */
int history_query(struct history *history, const struct history_filter *filter, struct json_object **ret,
                  struct failure *failure);

/**
 * history_get() - one report as it was added, schema "samepage.scan.v1"
 * @id: the scan's id
 *
 * Return: 0; HISTORY_E_RENEWED only together with no report, @ret then holds NULL; -ENOENT when there is no
 * such scan; -EBADMSG when its text is damaged; another negative errno.
 */
int history_get(struct history *history, const char *id, struct json_object **ret, struct failure *failure);
