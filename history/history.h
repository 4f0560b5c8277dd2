/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reports of finished scans, kept in one SQLite file. history.c explains how. */
#pragma once

#include "base/failure.h"
#include "report/report.h"

#include <json-c/json.h>
#include <stdint.h>

/* Scans in one answer: the default, and the most. */
#define HISTORY_DEFAULT_SCANS 20
#define HISTORY_MAX_SCANS     1000
/* The most guests in one summary; "more_guests" says that there were more. */
#define HISTORY_MAX_GUESTS 1024
/* The largest report that is accepted, as JSON: 1024 guests of many RAM blocks make about 2 MiB. */
#define HISTORY_MAX_REPORT_BYTES (64U << 20)

enum history_access {
        HISTORY_READ_WRITE, /* the service: makes the file, and replaces it when it is damaged */
        HISTORY_READ_ONLY,  /* everyone else: changes nothing, makes no file */
};

/* Conditions under which the call still did its work; the failure holds a sentence to log. */
enum history_condition {
        HISTORY_E_RENEWED = 1, /* the file was damaged: it was moved aside and a new one started */
        HISTORY_E_UNAVAILABLE, /* there is a handle, but no open file yet: every call tries again */
};

struct history;

/**
 * history_open() - make a handle for the history in the file @path
 * @path: the database; copied
 * @access: HISTORY_READ_WRITE makes the file (0640) and its folder (0750) where they are missing
 * @ret: receives the handle; history_free() it
 * @failure: the sentence of a failure or of a condition; may be NULL
 *
 * A handle belongs to one thread and must not cross fork(). Any number of processes may read while one
 * writes. With HISTORY_READ_WRITE only lack of memory is a failure: the service goes on, and its later calls
 * fail with a sentence as long as the reason lasts.
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
 * It stores all of the report or nothing. After a failure the handle still works: the next call tries
 * everything anew.
 *
 * Return: 0; HISTORY_E_RENEWED; -EINVAL when the report's time is invalid; -EEXIST when a scan with this id
 * is already stored; -ENOSPC, -EROFS, -EBUSY or another negative errno.
 */
int history_add(struct history *history, const struct report *report, const char *json,
                struct failure *failure);

/**
 * history_forget() - drop the scans that began before @older_than_unix_seconds
 *
 * A call works for a second or two at most and leaves the rest to the next call. It gives the space of
 * dropped scans back to the file system, likewise a piece at a time.
 *
 * Return: 0, also when some are left; HISTORY_E_RENEWED; a negative errno.
 */
int history_forget(struct history *history, uint64_t older_than_unix_seconds, struct failure *failure);

/**
 * struct history_filter - which scans
 * @guest: only scans of the guest with exactly this name, with that guest's figures; NULL: the host's
 * @since: begun at this second or later; 0: open
 * @until: begun before this second; 0: open
 * @limit: how many scans are listed, the newest first; 0: HISTORY_DEFAULT_SCANS. The summary covers all
 */
struct history_filter {
        const char *guest;
        uint64_t since;
        uint64_t until;
        unsigned int limit;
};

/**
 * history_query() - the scans of a period, and minimum, average and maximum of each figure
 * @ret: receives an object of schema "samepage.history.v1", described in history_query.c
 *
 * Return: 0; HISTORY_E_RENEWED (then the answer is empty); -ETIMEDOUT when the period is too long to sum up
 * in a few seconds; another negative errno.
 */
int history_query(struct history *history, const struct history_filter *filter, struct json_object **ret,
                  struct failure *failure);

/**
 * history_get() - one report as it was added, schema "samepage.scan.v1"
 * @id: the scan's id
 *
 * Return: 0; HISTORY_E_RENEWED, always without a report (@ret is then NULL); -ENOENT when there is no such
 * scan; -EBADMSG when its text is damaged; another negative errno.
 */
int history_get(struct history *history, const char *id, struct json_object **ret, struct failure *failure);
