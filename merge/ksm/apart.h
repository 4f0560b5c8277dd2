/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watches whether anybody else could be merged with the guests of a plan. */
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
 * apart_find_intruder() - find a process that could be merged with the guests now
 *
 * This is a process that is none of the guests and has opted in. Or it is one of the others, once KSM has met
 * much memory of it that KSM had not met when the watching began: its RAM was marked, or memory was plugged
 * in, which QEMU marks.
 *
 * Return: whether there is one, with a sentence that names it.
 */
bool apart_find_intruder(const struct apart *apart, struct failure *ret_failure);
