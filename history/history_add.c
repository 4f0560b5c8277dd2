/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "history/history_db.h"
#include "history/history_values.h"

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

/* In the order of the columns, which tables and statements share. */
static void add_figures(struct history_values *values, const struct report_figures *figures,
                        int64_t gap_bytes)
{
        history_values_add_bytes(values, figures ? figures->present_bytes : REPORT_UNKNOWN);
        history_values_add_bytes(values, figures ? figures->zero_bytes : REPORT_UNKNOWN);
        history_values_add_bytes(values, figures ? figures->self_sharing_bytes : REPORT_UNKNOWN);
        history_values_add_bytes(values, figures ? figures->inter_sharing_bytes : REPORT_UNKNOWN);
        history_values_add_bytes(values, figures ? figures->actual_saved_bytes : REPORT_UNKNOWN);
        history_values_add_bytes(values, figures ? gap_bytes : REPORT_UNKNOWN);
}

static int add_scan(struct history *history, struct addition *addition, struct failure *failure)
{
        static const char sql[] =
                "INSERT INTO scan (id, started, mode, complete, duration_seconds, guests, failed, "
                "present_bytes,"
                " zero_bytes, self_sharing_bytes, inter_sharing_bytes, saved_bytes, gap_bytes, pause_seconds,"
                " longest_pause_seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        const struct report *report = addition->report;
        CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
        struct history_values values = {0};
        double total_pause = 0;
        double longest_pause = 0;
        int r = history_db_prepare(history, sql, &statement, failure);

        if (r < 0)
                return r;
        values.statement = statement;
        sum_pauses(report, &total_pause, &longest_pause);
        history_values_add_text(&values, report->id);
        history_values_add_int(&values, addition->started);
        history_values_add_text(&values, scan_mode_to_string(report->mode));
        history_values_add_int(&values, report->complete);
        history_values_add_seconds(&values, report->duration_seconds);
        history_values_add_int(&values, (int64_t)report->n_guests);
        history_values_add_int(&values, (int64_t)(report->n_guests - report_n_scanned(report)));
        add_figures(&values, has_figures(report) ? &report->total : NULL, report->gap_bytes);
        history_values_add_seconds(&values, total_pause);
        history_values_add_seconds(&values, longest_pause);
        r = history_values_run(history, &values, failure);
        if (r == -EEXIST)
                return failure_set(failure, r, "the history %s has a scan \"%s\" already", history->path,
                                   report->id);
        addition->number = sqlite3_last_insert_rowid(history->db);
        return r;
}

static int add_guests(struct history *history, const struct addition *addition, struct failure *failure)
{
        static const char sql[] =
                "INSERT INTO guest (scan, position, started, name, uuid, scanned, error, present_bytes, "
                "zero_bytes,"
                " self_sharing_bytes, inter_sharing_bytes, saved_bytes, gap_bytes, pause_seconds)"
                " VALUES (?, ?, ?, coalesce(?, ''), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
        struct history_values values = {0};
        int r = history_db_prepare(history, sql, &statement, failure);

        values.statement = statement;
        for (size_t i = 0; i < addition->report->n_guests && r == 0; i++) {
                const struct report_guest *guest = &addition->report->guests[i];

                history_values_add_int(&values, addition->number);
                history_values_add_int(&values, (int64_t)i);
                history_values_add_int(&values, addition->started);
                history_values_add_text(&values, guest->name);
                history_values_add_text(&values, guest->uuid);
                history_values_add_int(&values, guest->scanned);
                history_values_add_text(&values, guest->error.text);
                add_figures(&values, guest->scanned ? &guest->figures : NULL,
                            gap_of_guest(addition->report, i));
                history_values_add_seconds(&values, guest->pause_seconds);
                r = history_values_run(history, &values, failure);
        }
        return r;
}

static int add_report(struct history *history, const struct addition *addition, struct failure *failure)
{
        CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
        struct history_values values = {0};
        int r = history_db_prepare(history, "INSERT INTO report (scan, json) VALUES (?, ?)", &statement,
                                   failure);

        if (r < 0)
                return r;
        values.statement = statement;
        history_values_add_int(&values, addition->number);
        history_values_add_text(&values, addition->json);
        return history_values_run(history, &values, failure);
}

static int add_in_transaction(struct history *history, void *argument, struct failure *failure)
{
        struct addition *addition = argument;
        int r = history_db_execute(history, "BEGIN IMMEDIATE", "written", failure);

        if (r == 0)
                r = add_scan(history, addition, failure);
        if (r == 0)
                r = add_guests(history, addition, failure);
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
