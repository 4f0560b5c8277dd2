/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening the history's file: made, checked, prepared. */
#pragma once

#include "history/history_internal.h"

/**
 * history_connect() - open the file, making or preparing it where @history may
 *
 * On failure there is no connection.
 */
int history_connect(struct history *history, struct failure *failure);
