/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A progress bar on a terminal for what takes longer than a second. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * struct progress - how far it is
 * @done_bytes, @total_bytes: as told last, as an event
 */
struct progress {
        uint64_t begun_usec;
        uint64_t done_bytes;
        uint64_t total_bytes;
        bool enabled;
        bool shown;
};

/* Standard error gets the bar, if it is a terminal. */
void progress_init(struct progress *progress);

/* Draws the bar, from the second second on. */
void progress_update(struct progress *progress, uint64_t done_bytes, uint64_t total_bytes);

/* Removes the bar. */
void progress_deinit(struct progress *progress);

/* The two ways to tell it, for struct job_observer with a struct progress as @context: to a person, and as an event. */
void progress_show(void *context, uint64_t done_bytes, uint64_t total_bytes);
void progress_tell(void *context, uint64_t done_bytes, uint64_t total_bytes);

/* The same of the time until the second look. */
void progress_show_wait(void *context, uint64_t left_usec);
void progress_tell_wait(void *context, uint64_t left_usec);
