/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes that must outlive the scan that forked them, for as long as a guest may be paused. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/**
 * survive_fork() - fork with all signals blocked, so that none reaches the child before it ignores them
 *
 * Return: as fork(), but a negative errno. The child still has all signals blocked; the parent has not.
 */
pid_t survive_fork(void);

/**
 * survive_detach() - make this process hard to end by accident
 * @name: as shown by ps
 * @fd_a: kept, under a new number that is stored here; closed when the process executes something
 * @fd_b: the same; may be NULL
 *
 * A session of its own, signals ignored, no descriptor but these two (and /dev/null as the standard ones), the
 * root folder, and the last that the kernel's out-of-memory killer looks at, as far as that is allowed.
 *
 * Return: 0; -EMFILE and the like, then the process is to end.
 */
int survive_detach(const char *name, int *fd_a, int *fd_b);
