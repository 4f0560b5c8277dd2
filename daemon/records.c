/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/records.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "daemon/log.h"
#include "metrics/metrics_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

struct records {
        sd_event *event;
        const struct options *config; /* NULL before the first one */
        struct guest_list *guest_list;
        struct metrics *metrics;
        struct metrics_server *metrics_server; /* NULL when there are no metrics */
        struct history *history;               /* NULL when none is kept */
};

/* The parts that the configuration opens */

static int open_history(struct records *records)
{
        struct failure failure = {0};
        int r = 0;

        records->history = history_free(records->history);
        if (!records->config->history_file)
                return 0;
        r = history_open(records->config->history_file, HISTORY_READ_WRITE, &records->history, &failure);
        if (r != 0)
                log_say(LOG_LEVEL_WARNING, "history: %s", failure.text);
        return r < 0 ? r : 0;
}

static int open_metrics(struct records *records)
{
        struct failure failure = {0};
        int r = 0;

        records->metrics_server = metrics_server_free(records->metrics_server);
        if (records->config->metrics_address.length == 0)
                return 0;
        r = metrics_server_new(&records->config->metrics_address, records->event, records->metrics,
                               records->config->ksm_dir, &records->metrics_server, &failure);
        if (r < 0)
                log_say(LOG_LEVEL_ERROR, "%s", failure.text);
        return r;
}

static bool is_same_address(const struct address *a, const struct address *b)
{
        return a->length == b->length && memcmp(&a->sockaddr, &b->sockaddr, a->length) == 0;
}

int records_configure(struct records *records, const struct options *config)
{
        const struct options *old = records->config;
        int r = 0;
        int opened = 0;

        records->config = config;
        if (!old || !text_is_same(old->history_file, config->history_file) ||
            (config->history_file && !records->history))
                r = open_history(records);
        if (!old || !is_same_address(&old->metrics_address, &config->metrics_address) ||
            !text_is_same(old->ksm_dir, config->ksm_dir) || !records->metrics_server)
                opened = open_metrics(records);
        return r < 0 ? r : opened;
}

/* What a report says */

static void keep_in_history(struct records *records, const struct jobs_outcome *outcome)
{
        const uint64_t now = (uint64_t)time(NULL);
        const uint64_t retention = records->config->retention_usec / USEC_PER_SEC;
        struct failure failure = {0};
        int r = 0;

        if (!records->history)
                return;
        r = history_add(records->history, outcome->report,
                        json_object_to_json_string_ext(
                                outcome->result, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
                        &failure);
        if (r != 0)
                log_say(LOG_LEVEL_WARNING, "history: %s", failure.text);
        if (r < 0 || records->config->retention_usec == USEC_INFINITY || retention >= now)
                return;
        if (history_forget(records->history, now - retention, &failure) != 0)
                log_say(LOG_LEVEL_WARNING, "history: %s", failure.text);
}

/* The guests that live, and those of which the report says why they could not be scanned. */
static int keep_known(struct records *records, const struct report *report)
{
        const size_t n_listed = guest_list_n(records->guest_list);
        const char *const *guest_list = guest_list_names(records->guest_list);
        CLEANUP_FREE const char **names = calloc(n_listed + report->n_guests + 1, sizeof(char *));
        size_t n = 0;

        if (!names || !guest_list)
                return -ENOMEM;
        for (size_t i = 0; i < n_listed; i++)
                names[n++] = guest_list[i];
        for (size_t i = 0; i < report->n_guests; i++)
                if (report->guests[i].error.text[0])
                        names[n++] = report->guests[i].name;
        return metrics_keep_guests(records->metrics, names, n);
}

static void keep_in_metrics(struct records *records, const struct report *report, bool all)
{
        int r = guest_list_note(records->guest_list, report, all);

        if (r == 0)
                r = all ? metrics_note_report(records->metrics, report)
                        : metrics_note_chosen(records->metrics, report);
        if (report->merge)
                metrics_merge_note(metrics_merge_of(records->metrics), report->merge);
        if (r == 0 && all)
                r = keep_known(records, report);
        if (r < 0)
                log_say(LOG_LEVEL_WARNING, "metrics: out of memory");
}

static void log_complaints(const struct report *report)
{
        for (size_t i = 0; i < report->n_guests; i++) {
                const struct report_guest *guest = &report->guests[i];

                if (guest->error.text[0])
                        log_say(LOG_LEVEL_WARNING, "guest %s: %s", guest->name, guest->error.text);
                else if (guest->note.text[0])
                        log_say(LOG_LEVEL_NOTICE, "guest %s: %s", guest->name, guest->note.text);
        }
}

static void log_summary(const struct task *task, const struct report *report)
{
        const double seconds = (double)(clock_now_usec() - task->begun_usec) / USEC_PER_SEC;

        log_say(LOG_LEVEL_INFO, "scan %s: %zu of %zu guests in %.1f s (%s)", report->id,
                report_n_scanned(report), report->n_guests, seconds,
                request_origin_to_string(task->request.origin));
        (void)sd_notifyf(0, "STATUS=Idle; last scan: %zu of %zu guests%s", report_n_scanned(report),
                         report->n_guests, report->silent_via ? "; libvirt does not answer" : "");
}

/*
 * Whether the report shows that guests it does not name are gone. It does not if only some were asked for, or
 * libvirt did not answer.
 */
static bool names_all_guests(const struct jobs_outcome *outcome)
{
        const struct report *report = outcome->report;

        if (outcome->task->request.guests.n > 0 || outcome->has_skipped)
                return false;
        for (size_t i = 0; i < report->n_guests; i++)
                if (!report_guest_is_found(&report->guests[i]) && report_guest_is_domain(&report->guests[i]))
                        return false;
        return true;
}

/* Names that a client asked for and no guest has: only the answer mentions them. */
static bool is_about_nobody(const struct task *task, const struct report *report)
{
        for (size_t i = 0; i < report->n_guests; i++)
                if (report_guest_is_found(&report->guests[i]))
                        return false;
        return task->request.guests.n > 0;
}

/* Leaves out guests that were not even found. The guests still belong to the report. */
static struct report found_only(const struct report *report, struct report_guest *guests)
{
        struct report found = *report;

        found.guests = guests;
        found.n_guests = 0;
        for (size_t i = 0; i < report->n_guests; i++)
                if (report_guest_is_found(&report->guests[i]))
                        guests[found.n_guests++] = report->guests[i];
        return found;
}

static void count_outcome(struct records *records, const struct jobs_outcome *outcome)
{
        const struct report *report = outcome->report;
        CLEANUP_FREE struct report_guest *guests = calloc(report->n_guests + 1, sizeof(*guests));
        const bool all = names_all_guests(outcome);
        struct report found;

        if (!guests)
                return;
        found = found_only(report, guests);
        keep_in_metrics(records, all ? report : &found, all);
}

static void keep_outcome(struct records *records, const struct jobs_outcome *outcome)
{
        const struct task *task = outcome->task;
        const struct report *report = outcome->report;

        log_complaints(report);
        log_summary(task, report);
        if (is_about_nobody(task, report)) {
                metrics_note_scan_failed(records->metrics, METRICS_SCAN_RESULT_FAILED);
                return;
        }
        count_outcome(records, outcome);
        keep_in_history(records, outcome);
}

static void keep_failure(struct records *records, const struct task *task, const struct failure *failure)
{
        metrics_note_scan_failed(records->metrics, task->is_cancelled ? METRICS_SCAN_RESULT_CANCELLED
                                                                      : METRICS_SCAN_RESULT_FAILED);
        log_say(task->is_cancelled ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERROR, "a scan (%s) has no report: %s",
                request_origin_to_string(task->request.origin), failure->text);
        (void)sd_notifyf(0, "STATUS=Idle; the last scan failed: %s", failure->text);
}

/* Logs which guests were still paused. */
static void tell_resumed(struct json_object *result)
{
        struct json_object *guests = json_get(result, "guests", json_type_array);

        for (size_t i = 0; guests && i < json_object_array_length(guests); i++) {
                struct json_object *guest = json_object_array_get_idx(guests, i);
                const char *name = json_get_text(guest, "name");
                const char *sentence = json_get_text(guest, "sentence");

                log_say(LOG_LEVEL_WARNING, "guest %s: %s", name ? name : "?",
                        sentence ? sentence : "it was found paused");
        }
}

/* An observer of jobs */

static void records_on_begun(void *context, const struct task *task)
{
        (void)context;
        if (task->request.kind == REQUEST_SCAN)
                (void)sd_notify(0, "STATUS=Scanning");
}

static void records_on_ended(void *context, const struct jobs_outcome *outcome)
{
        struct records *records = context;
        const struct task *task = outcome->task;

        if (outcome->report)
                keep_outcome(records, outcome);
        else if (task->request.kind == REQUEST_SCAN && !outcome->is_refused)
                keep_failure(records, task, outcome->failure);
        else if (task->request.kind == REQUEST_RESUME && outcome->result)
                tell_resumed(outcome->result);
        else if (task->request.kind != REQUEST_SCAN && !outcome->result)
                log_say(LOG_LEVEL_WARNING, "%s: %s", request_kind_to_string(task->request.kind),
                        outcome->failure->text);
}

struct jobs_observer records_observer(struct records *records)
{
        return (struct jobs_observer){
                .begun = records_on_begun, .ended = records_on_ended, .context = records};
}

void records_guest_gone(void *context, const char *name)
{
        const struct records *records = context;

        log_say(LOG_LEVEL_INFO, "guest %s is gone", name);
        (void)metrics_keep_guests(records->metrics, guest_list_names(records->guest_list),
                                  guest_list_n(records->guest_list));
}

struct history *records_history(const struct records *records)
{
        return records->history;
}

int records_new(sd_event *event, struct guest_list *guest_list, struct metrics *metrics, struct records **ret)
{
        struct records *records = calloc(1, sizeof(*records));

        if (!records)
                return -ENOMEM;
        *records = (struct records){.event = event, .guest_list = guest_list, .metrics = metrics};
        *ret = records;
        return 0;
}

struct records *records_free(struct records *records)
{
        if (!records)
                return NULL;
        metrics_server_free(records->metrics_server);
        history_free(records->history);
        free(records);
        return NULL;
}
