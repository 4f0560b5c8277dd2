/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a database is a history, in a known version, and undamaged. */
#pragma once

#include "history/history_internal.h"

/* The sizes that scans and guests have, in the order of the tables' columns. */
#define HISTORY_SIZES(X, argument)       \
        X(argument, present_bytes)       \
        X(argument, zero_bytes)          \
        X(argument, self_sharing_bytes)  \
        X(argument, inter_sharing_bytes) \
        X(argument, saved_bytes)         \
        X(argument, gap_bytes)

/**
 * history_schema_peek() - refuse a file that is not for us, before it is opened
 *
 * It leaves the file and its folder unchanged. A file that it cannot read is left to
 * history_schema_prepare().
 *
 * Return: 0; -EOPNOTSUPP for a newer version; -EINVAL for another program's database.
 */
int history_schema_peek(struct history *history, struct failure *failure);

/**
 * history_schema_prepare() - check the open file; make the tables if it is empty
 *
 * Return: 0; -EBADMSG when it is damaged; -ENOENT when it is empty and may not be written; as
 * history_schema_peek(); another negative errno.
 */
int history_schema_prepare(struct history *history, struct failure *failure);
