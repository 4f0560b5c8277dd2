/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a dead scan left paused, found through the lease files. */
#pragma once

#include "base/failure.h"
#include "qmp/pause/leasefile.h"
#include "qmp/pause/pause.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct stale_result {
        char *guest; /* its name; the file's name when the file is unreadable */
        pid_t qemu_pid;
        pid_t scanner_pid;
        /* RESUMED; nothing done: RUNNING and GONE (only the file was left), HELD, LEFT; it may still be
         * paused: FAILED, also where the file is unreadable. */
        enum pause_outcome outcome;
        struct failure sentence; /* what was found and done, without the guest's name; always set */
};

struct stale_results {
        struct stale_result *results;
        size_t count;
};

void stale_results_deinit(struct stale_results *results);

/**
 * stale_resume() - resume the guests whose scan and guard are both dead, and remove their lease files
 * @runtime_dir: as for guard_start(); one that is missing holds no leases
 * @end_living: end living scans too: kill them, let their guards resume the guests, and see to it
 *
 * A guest is resumed only if its QEMU is the very process of the lease and it is in the state "paused".
 *
 * Return: 0, also when there are failures among the results; a negative errno when the folder cannot be read.
 */
int stale_resume(const char *runtime_dir, bool end_living, struct stale_results *ret_results,
                 struct failure *failure);

/**
 * stale_resume_note() - resume the guest of one lease file, whoever lives, and remove the file
 *
 * Part of stale_resume(), and what the guard does when a connection broke under it. Sets the outcome and the
 * sentence of @result only.
 */
void stale_resume_note(int folder_fd, const struct leasefile *note, struct stale_result *result);

struct bridge;

/**
 * stale_reach() - begin to end the pause of a lease file over a new connection
 * @note: its QEMU lives
 * @timeout_usec: for each step of connecting
 * @bridge: as for bridge_connect_address(); to be freed after the machine's end
 * @ret_pause: to be ended by pause_finish_all(); FAILED already where the QEMU of the note was not reached;
 * pause_deinit() it
 *
 * Part of stale_resume_note(), for who has several guests to resume at once.
 */
void stale_reach(const struct leasefile *note, uint64_t timeout_usec, struct bridge **bridge,
                 struct pause *ret_pause);
