/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opens the history's file: makes, checks and prepares it. */
#pragma once

#include "history/history_internal.h"

/**
 * history_connect() - open the file, and make or prepare it where @history may
 *
 * On failure there is no connection.
 */
int history_connect(struct history *history, struct failure *failure);
