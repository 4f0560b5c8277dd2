/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "history/history_db.h"

#include <errno.h>
#include <string.h>
#include <time.h>

struct addition {
        const struct report *report;
        const char *json;
        int64_t started;
        int64_t number;
};

/*
 * A host has no figures when no guest could be scanned or when a part of it is missing. A host without guests
 * has figures, all 0.
 */
static bool has_figures(const struct report *report)
{
        if (report->silent_via)
                return false;
        return report->n_guests == 0 || report_n_scanned(report) > 0;
}

static int64_t gap_of_guest(const struct report *report, size_t guest)
{
        int64_t bytes = 0;

        if (report->gap_bytes < 0)
                return REPORT_UNKNOWN;
        for (size_t i = 0; i < report->n_reasons; i++)
                bytes += report->reasons[i].by_guest[guest];
        return bytes;
}

/* The sum and the longest of the guests' pauses; REPORT_UNKNOWN when none was paused. */
static void sum_pauses(const struct report *report, double *ret_total, double *ret_longest)
{
        double total = REPORT_UNKNOWN;
        double longest = REPORT_UNKNOWN;

        for (size_t i = 0; i < report->n_guests; i++) {
                const double pause = report->guests[i].pause_seconds;

                if (pause < 0)
                        continue;
                total = total < 0 ? pause : total + pause;
                longest = pause > longest ? pause : longest;
        }
        *ret_total = total;
        *ret_longest = longest;
}

static const struct report_figures no_figures = {
        .present_bytes = REPORT_UNKNOWN,
        .zero_bytes = REPORT_UNKNOWN,
        .self_sharing_bytes = REPORT_UNKNOWN,
        .inter_sharing_bytes = REPORT_UNKNOWN,
        .actual_saved_bytes = REPORT_UNKNOWN,
};

/* In the order of HISTORY_SIZES. */
#define FIGURES(figures, gap_bytes)                                                                      \
        HISTORY_INT((figures)->present_bytes), HISTORY_INT((figures)->zero_bytes),                       \
                HISTORY_INT((figures)->self_sharing_bytes), HISTORY_INT((figures)->inter_sharing_bytes), \
                HISTORY_INT((figures)->actual_saved_bytes), HISTORY_INT(gap_bytes)

static int add_scan(struct history *history, struct addition *addition, struct failure *failure)
{
        static const char sql[] =
                "INSERT INTO scan VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        const struct report *report = addition->report;
        const bool is_known = has_figures(report);
        const struct report_figures *figures = is_known ? &report->total : &no_figures;
        double total_pause = 0;
        double longest_pause = 0;
        int r = 0;

        sum_pauses(report, &total_pause, &longest_pause);
        const struct history_value values[] = {
                HISTORY_TEXT(report->id),
                HISTORY_INT(addition->started),
                HISTORY_TEXT(scan_mode_to_string(report->mode)),
                HISTORY_INT(report->complete),
                HISTORY_SECONDS(report->duration_seconds),
                HISTORY_INT((int64_t)report->n_guests),
                HISTORY_INT((int64_t)(report->n_guests - report_n_scanned(report))),
                FIGURES(figures, is_known ? report->gap_bytes : REPORT_UNKNOWN),
                HISTORY_SECONDS(total_pause),
                HISTORY_SECONDS(longest_pause),
                {0},
        };
        r = history_db_run(history, sql, values, failure);
        if (r == -EEXIST)
                return failure_set(failure, r, "the history %s has a scan \"%s\" already", history->path,
                                   report->id);
        addition->number = sqlite3_last_insert_rowid(history->db);
        return r;
}

static int add_guest(struct history *history, const struct addition *addition, size_t i,
                     struct failure *failure)
{
        static const char sql[] = "INSERT INTO guest VALUES (?, ?, ?, coalesce(?, ''), nullif(?, ''), ?,"
                                  " nullif(?, ''), ?, ?, ?, ?, ?, ?, ?)";
        const struct report_guest *guest = &addition->report->guests[i];
        const struct report_figures *figures = guest->scanned ? &guest->figures : &no_figures;
        const struct history_value values[] = {
                HISTORY_INT(addition->number),
                HISTORY_INT((int64_t)i),
                HISTORY_INT(addition->started),
                HISTORY_TEXT(guest->name),
                HISTORY_TEXT(guest->uuid),
                HISTORY_INT(guest->scanned),
                HISTORY_TEXT(guest->error.text),
                FIGURES(figures, guest->scanned ? gap_of_guest(addition->report, i) : REPORT_UNKNOWN),
                HISTORY_SECONDS(guest->pause_seconds),
                {0},
        };

        return history_db_run(history, sql, values, failure);
}

static int add_report(struct history *history, const struct addition *addition, struct failure *failure)
{
        const struct history_value values[] = {
                HISTORY_INT(addition->number), HISTORY_TEXT(addition->json), {0}};

        return history_db_run(history, "INSERT INTO report VALUES (?, nullif(?, ''))", values, failure);
}

static int add_in_transaction(struct history *history, void *argument, struct failure *failure)
{
        struct addition *addition = argument;
        int r = history_db_execute(history, "BEGIN IMMEDIATE", "written", failure);

        if (r == 0)
                r = add_scan(history, addition, failure);
        for (size_t i = 0; r == 0 && i < addition->report->n_guests; i++)
                r = add_guest(history, addition, i, failure);
        if (r == 0)
                r = add_report(history, addition, failure);
        if (r == 0)
                r = history_db_execute(history, "COMMIT", "written", failure);
        if (r == 0)
                history_db_checkpoint(history);
        return r;
}

static int parse_started(const struct report *report, int64_t *ret, struct failure *failure)
{
        struct tm utc = {0};
        const char *end = strptime(report->started, "%Y-%m-%dT%H:%M:%SZ", &utc);
        const time_t started = end && *end == '\0' ? timegm(&utc) : -1;

        if (started < 0)
                return failure_set(failure, -EINVAL,
                                   "a scan that began at \"%s\" cannot be kept: this is no time",
                                   report->started);
        *ret = started;
        return 0;
}

int history_add(struct history *history, const struct report *report, const char *json,
                struct failure *failure)
{
        struct addition addition = {.report = report, .json = json};
        int r = parse_started(report, &addition.started, failure);

        if (r < 0)
                return r;
        if (report->id[0] == '\0')
                return failure_set(failure, -EINVAL, "a scan without an id cannot be kept");
        return history_run(history, add_in_transaction, &addition, failure);
}
