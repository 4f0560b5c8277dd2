/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The history's file as the file system sees it. */
#pragma once

#include "base/failure.h"

#include <stdbool.h>

/**
 * history_file_prepare() - make sure that @path is a file
 * @make: make it (0640) and its folder (0750) if they are missing
 *
 * Never opens a file that exists: closing it would drop the locks that this process holds on it elsewhere.
 *
 * Return: 0; -EINVAL when it is something else than a file; another negative errno.
 */
int history_file_prepare(const char *path, bool make, struct failure *failure);

/* Whether a write-ahead log lies beside @path: somebody has the history open, or ended without closing it. */
bool history_file_has_log(const char *path);

/* @path as a URI for SQLite, @immutable: as a file that nobody writes. The caller frees it; NULL: no memory. */
char *history_file_uri(const char *path, bool immutable);

/* Bytes of the file; negative when it has none. */
long long history_file_size(const char *path);
