/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/command/progress.h"

#include "base/clock.h"
#include "report/events.h"
#include "report/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BAR_COLUMNS 40

/* Whether a person sees the line, and enough time has passed to show one. */
static bool begin_line(struct progress *progress)
{
        if (!progress->enabled || clock_now_usec() < progress->begun_usec + USEC_PER_SEC)
                return false;
        progress->shown = true;
        return true;
}

static void show_progress(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
        struct progress *progress = context;
        char bar[BAR_COLUMNS + 1] = "";
        char done[TABLE_SIZE_BYTES] = "";
        char total[TABLE_SIZE_BYTES] = "";
        size_t filled = 0;

        if (total_bytes == 0 || !begin_line(progress))
                return;
        filled = (size_t)((double)done_bytes / (double)total_bytes * BAR_COLUMNS);
        filled = filled > BAR_COLUMNS ? BAR_COLUMNS : filled;
        memset(bar, '#', filled);
        memset(bar + filled, '.', BAR_COLUMNS - filled);
        (void)fprintf(stderr, "\r[%s] %s of %s of RAM \033[K", bar,
                      table_format_bytes((long long)done_bytes, done),
                      table_format_bytes((long long)total_bytes, total));
        (void)fflush(stderr);
}

static void tell_progress(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
        struct progress *progress = context;

        progress->done_bytes = done_bytes;
        progress->total_bytes = total_bytes;
        events_print_progress(done_bytes, total_bytes);
}

/* Rounds up to whole seconds. */
static uint64_t to_seconds(uint64_t usec)
{
        return (usec + USEC_PER_SEC - 1) / USEC_PER_SEC;
}

static void show_wait(void *context, uint64_t left_usec)
{
        if (!begin_line(context))
                return;
        (void)fprintf(stderr, "\rlooking again in %" PRIu64 " s \033[K", to_seconds(left_usec));
        (void)fflush(stderr);
}

static void tell_wait(void *context, uint64_t left_usec)
{
        const struct progress *progress = context;

        events_print_wait(progress->done_bytes, progress->total_bytes, to_seconds(left_usec));
}

struct job_observer progress_init(struct progress *progress, bool as_events)
{
        const char *terminal = getenv("TERM");

        *progress = (struct progress){
                .begun_usec = clock_now_usec(),
                .enabled = isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0,
        };
        return as_events ? (struct job_observer){tell_progress, tell_wait, progress}
                         : (struct job_observer){show_progress, show_wait, progress};
}

void progress_deinit(struct progress *progress)
{
        if (progress->shown)
                (void)fputs("\r\033[K", stderr);
        progress->shown = false;
}
