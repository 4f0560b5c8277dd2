/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The history's file as the file system sees it. */
#pragma once

#include "base/failure.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * history_file_prepare() - make sure that @path is a file
 * @make: make it (0640) and its folder (0750) if they are missing
 *
 * It never opens a file that exists: closing it would drop the locks that this process holds on it elsewhere.
 *
 * Return: 0; -EINVAL when it is not a file; another negative errno.
 */
int history_file_prepare(const char *path, bool make, struct failure *failure);

/**
 * struct history_stamp - shows whether a file was written or exchanged; compared as bytes
 * @has_log: 1: a write-ahead log lies beside it
 */
struct history_stamp {
        uint64_t inode;
        uint64_t size;
        int64_t seconds;
        int64_t nanoseconds;
        uint64_t has_log;
};

/* Takes the stamp of @path; without a file, all but @has_log is 0. */
void history_file_stamp(const char *path, struct history_stamp *ret);

/* Whether a write-ahead log lies beside @path: somebody has the history open, or ended without closing it. */
bool history_file_has_log(const char *path);

/* @path as a URI for SQLite, @immutable: as a file nobody writes. The caller frees it; NULL: no memory. */
char *history_file_uri(const char *path, bool immutable);
