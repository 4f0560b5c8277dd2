/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether those that are merged are still among themselves. */
#pragma once

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct apart;

/**
 * apart_new() - begin to watch
 * @pids: the @n QEMUs that are merged, borrowed for the call
 * @others: the @n_others QEMUs whose RAM is not marked and must stay so, borrowed likewise
 * @ret: apart_free() it
 *
 * Return: 0 or -ENOMEM.
 */
int apart_new(const pid_t *pids, size_t n, const pid_t *others, size_t n_others, struct apart **ret);

struct apart *apart_free(struct apart *apart);

/**
 * apart_find_intruder() - somebody who could be merged with them now
 *
 * A process that is none of the guests and has opted in; or one of the others, as soon as KSM has met much memory of it that it
 * had not met when the watching began: its RAM was marked, or memory was plugged in, which QEMU marks.
 *
 * Return: whether there is one, with a sentence that names it.
 */
bool apart_find_intruder(const struct apart *apart, struct failure *ret_failure);
