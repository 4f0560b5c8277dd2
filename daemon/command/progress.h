/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A progress bar on a terminal for what takes longer than a second. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * struct progress - how far the work is
 * @done_bytes, @total_bytes: as last reported by an event
 */
struct progress {
        uint64_t begun_usec;
        uint64_t done_bytes;
        uint64_t total_bytes;
        bool enabled;
        bool shown;
};

/* The bar goes to standard error, if that is a terminal. */
void progress_init(struct progress *progress);

/* Draws the bar, once a second has passed. */
void progress_update(struct progress *progress, uint64_t done_bytes, uint64_t total_bytes);

/* Removes the bar. */
void progress_deinit(struct progress *progress);

/*
 * Report progress to a person, or as an event: for struct job_observer, with a struct progress as @context.
 */
void progress_show(void *context, uint64_t done_bytes, uint64_t total_bytes);
void progress_tell(void *context, uint64_t done_bytes, uint64_t total_bytes);

/* Report the time until the second look, likewise. */
void progress_show_wait(void *context, uint64_t left_usec);
void progress_tell_wait(void *context, uint64_t left_usec);
