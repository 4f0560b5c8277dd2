/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the history's files share. */
#pragma once

#include "history/history.h"

#include <sqlite3.h>
#include <stdbool.h>

/* How long one call may take; after that it fails with -ETIMEDOUT, so as not to hold up the service. */
#define HISTORY_MAX_USEC (5 * USEC_PER_SEC)

/* The sizes that scans and guests have, in the order of the tables' columns. */
#define HISTORY_SIZES(X, argument)       \
        X(argument, present_bytes)       \
        X(argument, zero_bytes)          \
        X(argument, self_sharing_bytes)  \
        X(argument, inter_sharing_bytes) \
        X(argument, saved_bytes)         \
        X(argument, gap_bytes)

/**
 * struct history - a handle
 * @db: the connection; NULL: the next call opens it
 * @immutable: most recently opened as a file that nobody writes; not kept longer than one call
 * @damaged: the last failure was in the file's content
 * @unusable: after the last failure the connection cannot be trusted
 * @deadline_usec: when the current call gives up
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
 * @work: returns 0 or a negative errno; may be called again, on a new and empty file, or when the file
 * changed under a reader. What the last call left in @argument counts
 *
 * It opens the connection where needed, ends any transaction that @work left open, and sets a damaged file
 * aside.
 *
 * Return: what @work returned, or HISTORY_E_RENEWED, or why the file cannot be opened.
 */
int history_run(struct history *history,
                int (*work)(struct history *history, void *argument, struct failure *failure), void *argument,
                struct failure *failure);
