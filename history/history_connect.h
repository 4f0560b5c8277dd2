/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opens the history's file: makes it, tells whether it is a history in a known version, and checks it. */
#pragma once

#include "history/history_internal.h"

/**
 * history_connect() - open the file, and make or prepare it where @history may
 *
 * On failure there is no connection.
 *
 * Return: 0; -EBADMSG when it is damaged; -EOPNOTSUPP for a newer version; -EINVAL for another program's
 * database; -ENOENT when it is missing or empty and may not be written; another negative errno.
 */
int history_connect(struct history *history, struct failure *failure);
