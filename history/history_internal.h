/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the history share. */
#pragma once

#include "history/history.h"

#include <sqlite3.h>
#include <stdbool.h>

/* How long one call may take: after that it fails with -ETIMEDOUT rather than hold up the service. */
#define HISTORY_MAX_USEC (5 * USEC_PER_SEC)

/**
 * struct history - a handle
 * @db: the connection; NULL: the next call opens it
 * @immutable: opened, most recently, as a file that nobody writes; not kept longer than one call
 * @damaged: the last failure was one of the file's content
 * @unusable: the last failure was one after which the connection is not to be trusted
 * @deadline_usec: when the call that is going on gives up
 */
struct history {
        char *path;
        enum history_access access;
        sqlite3 *db;
        bool immutable;
        bool damaged;
        bool unusable;
        uint64_t deadline_usec;
};

/**
 * history_run() - do one call's work on an open connection
 * @work: returns 0 or a negative errno; may be called again: on a new and empty file, or when a reader
 * met a file that changed under it. What counts is what the last call left in @argument
 *
 * Opens the connection where that is needed, ends what @work leaves of a transaction, and sets a damaged file
 * aside.
 *
 * Return: what @work returned, or HISTORY_E_RENEWED, or why the file cannot be opened.
 */
int history_run(struct history *history,
                int (*work)(struct history *history, void *argument, struct failure *failure), void *argument,
                struct failure *failure);
