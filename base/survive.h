/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes that must outlive the scan that forked them, for as long as a guest may be paused. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/**
 * survive_fork() - fork with all signals blocked, so that none reaches the child before it ignores them
 *
 * Return: as fork(), but a negative errno. The child still blocks all signals; the parent does not.
 */
pid_t survive_fork(void);

/**
 * survive_detach() - make this process hard to end by accident
 * @name: as shown by ps
 * @fd_a: kept, under a new number that is stored here; closed when the process executes something
 * @fd_b: the same; may be NULL
 *
 * The process gets a session of its own and the root folder, ignores signals, and keeps no descriptor except
 * these two (and /dev/null as the standard ones). The kernel's out-of-memory killer considers it last, as far
 * as privileges allow.
 *
 * Return: 0; -EMFILE and the like, on which the process must end.
 */
int survive_detach(const char *name, int *fd_a, int *fd_b);
