/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Minimum, average and maximum of every figure over a period. */
#pragma once

#include "history/history_db.h"

/**
 * struct history_period - a filter in SQLite's terms
 * @guest: NULL: all
 * @since: first second
 * @until: first second after it
 */
struct history_period {
        const char *guest;
        int64_t since;
        int64_t until;
};

/* The parameters that all statements about a period share: ?1 since, ?2 until, ?3 the guest or NULL; and ?4,
 * the most rows. */
#define HISTORY_PERIOD(period, limit)                                  \
        ((const struct history_value[]){HISTORY_INT((period)->since),  \
                                        HISTORY_INT((period)->until),  \
                                        HISTORY_TEXT((period)->guest), \
                                        HISTORY_INT(limit),            \
                                        {0}})

/**
 * history_summary() - the member "summary" of history_query()'s answer
 *
 * Return: 0 with an object that the caller owns; a negative errno.
 */
int history_summary(struct history *history, const struct history_period *period, struct json_object **ret,
                    struct failure *failure);
