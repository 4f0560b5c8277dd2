/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guard: the process that pauses guests, and resumes them whatever becomes of the scan. */
#pragma once

#include "base/failure.h"

#include <stdbool.h>
#include <sys/types.h>

struct guard;

/**
 * guard_start() - fork the guard
 * @runtime_dir: lease files go to its sub-folder "leases"; both are made if they are missing
 * @ret_guard: free with guard_free()
 *
 * To be called while the process has one thread and before it allocates much. Opens no port to anyone: the
 * guard obeys this process alone, and outlives it only for as long as it takes to resume guests.
 *
 * Return: 0; a negative errno with a sentence.
 */
int guard_start(const char *runtime_dir, struct guard **ret_guard, struct failure *failure);

/* Whether the guard process lives; where it does not, lease_resume() resumes without it. */
bool guard_is_alive(const struct guard *guard);

/**
 * guard_free() - end the guard
 *
 * It resumes whatever is still paused first. Waits a moment for it to exit; if a QEMU that hangs keeps it, it
 * goes on by itself. Takes NULL.
 */
void guard_free(struct guard *guard);
