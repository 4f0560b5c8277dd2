/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What comes of a request. A scan's report arrives as JSON from the process that made it, becomes a struct report, gets
 * the trust groups of the configuration, and goes to the roster, the metrics, the history, the metadata of a domain and
 * whoever asked for it.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/log.h"
#include "daemon/service_state.h"
#include "daemon/virt_uri.h"
#include "report/report_json.h"
#include "report/report_parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

static int set_groups(const struct service *service, struct report *report)
{
        for (size_t i = 0; i < report->n_guests; i++) {
                struct report_guest *guest = &report->guests[i];
                const char *group = config_group_of(service->config, guest->name);

                /* A domain may bring one of its own; the configuration is stronger. */
                if (!group)
                        continue;
                free(guest->group);
                guest->group = strdup(group);
                if (!guest->group)
                        return -ENOMEM;
        }
        return 0;
}

static void keep_in_history(struct service *service, const struct report *report)
{
        const uint64_t now = (uint64_t)time(NULL);
        const uint64_t retention = service->config->retention_usec / USEC_PER_SEC;
        struct failure failure = {0};
        int r = 0;

        if (!service->history)
                return;
        r = history_add(service->history, report, &failure);
        if (r != 0)
                log_say(LOG_LEVEL_WARNING, "history: %s", failure.text);
        if (r < 0 || service->config->retention_usec == USEC_INFINITY || retention >= now)
                return;
        if (history_forget(service->history, now - retention, &failure) != 0)
                log_say(LOG_LEVEL_WARNING, "history: %s", failure.text);
}

/* Those that live, and those of which the report says why they could not be scanned. */
static int keep_known(struct service *service, const struct report *report)
{
        const size_t n_roster = roster_n(service->roster);
        const char *const *roster = roster_names(service->roster);
        CLEANUP_FREE const char **names = calloc(n_roster + report->n_guests + 1, sizeof(char *));
        size_t n = 0;

        if (!names || !roster)
                return -ENOMEM;
        for (size_t i = 0; i < n_roster; i++)
                names[n++] = roster[i];
        for (size_t i = 0; i < report->n_guests; i++)
                if (report->guests[i].error.text[0])
                        names[n++] = report->guests[i].name;
        return metrics_keep_guests(service->metrics, names, n);
}

static void keep_in_metrics(struct service *service, const struct report *report, bool all)
{
        int r = roster_note(service->roster, report, all);

        if (r == 0)
                r = all ? metrics_note_report(service->metrics, report)
                        : metrics_note_chosen(service->metrics, report);
        if (report->merge)
                metrics_merge_note(metrics_merge_of(service->metrics), report->merge);
        if (r == 0 && all)
                r = keep_known(service, report);
        if (r < 0)
                log_say(LOG_LEVEL_WARNING, "metrics: out of memory");
}

static void complain(const struct report *report)
{
        for (size_t i = 0; i < report->n_guests; i++) {
                const struct report_guest *guest = &report->guests[i];

                if (guest->error.text[0])
                        log_say(LOG_LEVEL_WARNING, "guest %s: %s", guest->name, guest->error.text);
                else if (guest->note.text[0])
                        log_say(LOG_LEVEL_NOTICE, "guest %s: %s", guest->name, guest->note.text);
        }
}

static void summarise(const struct task *task, const struct report *report)
{
        const double seconds = (double)(clock_now_usec() - task->begun_usec) / USEC_PER_SEC;

        log_say(LOG_LEVEL_INFO, "scan %s: %zu of %zu guests in %.1f s (%s)", report->id,
                report_n_scanned(report), report->n_guests, seconds,
                request_origin_to_string(task->request.origin));
        (void)sd_notifyf(0, "STATUS=Idle; last scan: %zu of %zu guests%s", report_n_scanned(report),
                         report->n_guests, report->silent_via ? "; libvirt does not answer" : "");
}

/* One that was not even found has no process. */
static bool is_found(const struct report_guest *guest)
{
        return guest->pid > 0;
}

static bool is_domain(const struct report_guest *guest)
{
        return strcmp(guest->via, REPORT_VIA_LIBVIRT) == 0;
}

/* Libvirt itself, where it did not answer, is in a report by its URI. */
static bool is_silent_libvirt(const struct service *service, const struct report_guest *guest)
{
        const char *uri = virt_uri_find(service->config->libvirt_uri, "", service->libvirt_has_answered);

        return !is_found(guest) && is_domain(guest) && uri && strcmp(guest->name, uri) == 0;
}

/* Says in a report of all guests that a part of them is missing, and the way out for whoever knows better. */
static void note_silent_libvirt(const struct service *service, const char *uri, struct report *report)
{
        const bool is_auto = strcmp(service->config->libvirt_uri, VIRT_URI_AUTO) == 0;
        const char *skipped = service->skipped.text;

        report->silent_via = REPORT_VIA_LIBVIRT;
        (void)failure_set(&report->note, 0,
                          "%s%slibvirt (%s) does not answer: its domains are missing from all figures; "
                          "if it was removed for good, %sreload samepaged",
                          skipped, skipped[0] ? "; " : "", uri,
                          is_auto ? "" : "take it out of libvirt_uri and ");
}

/* Whether libvirt answered; a scan without domains does not tell. */
static void hear_libvirt(struct service *service, const struct task *task, struct report *report)
{
        for (size_t i = 0; i < report->n_guests; i++) {
                const struct report_guest *guest = &report->guests[i];
                const bool is_silent = is_silent_libvirt(service, guest);

                if (is_silent || (is_found(guest) && is_domain(guest)))
                        service_domains_heard(service, !is_silent);
                if (is_silent && task->request.guests.n == 0)
                        note_silent_libvirt(service, guest->name, report);
        }
}

/* Whether a guest that the report does not name is gone: not where only some were asked for, or libvirt was silent. */
static bool names_all_guests(const struct service *service, const struct task *task,
                             const struct report *report)
{
        if (task->request.guests.n > 0 || service->skipped.text[0])
                return false;
        for (size_t i = 0; i < report->n_guests; i++)
                if (!is_found(&report->guests[i]) && is_domain(&report->guests[i]))
                        return false;
        return true;
}

/* A scan for which nobody was left. */
static bool skipped_all(struct service *service, const struct report *report, struct failure *failure)
{
        size_t n = report->n_guests;

        for (size_t i = 0; i < report->n_guests; i++)
                n -= is_silent_libvirt(service, &report->guests[i]);
        service->is_refused = service->skipped.text[0] && n == 0;
        if (service->is_refused)
                (void)failure_set(failure, 0, "all guests were paused less than %llu s ago (min_gap)",
                                  service_gap_seconds(service));
        return service->is_refused;
}

/* Names that somebody asked for and that no guest has: the answer says so, and that is all. */
static bool is_about_nobody(const struct task *task, const struct report *report)
{
        for (size_t i = 0; i < report->n_guests; i++)
                if (is_found(&report->guests[i]))
                        return false;
        return task->request.guests.n > 0;
}

/* Of some guests: without those that were not even found. The guests stay the report's. */
static struct report found_only(const struct report *report, struct report_guest *guests)
{
        struct report found = *report;

        found.guests = guests;
        found.n_guests = 0;
        for (size_t i = 0; i < report->n_guests; i++)
                if (is_found(&report->guests[i]))
                        guests[found.n_guests++] = report->guests[i];
        return found;
}

static void count(struct service *service, const struct task *task, const struct report *report)
{
        CLEANUP_FREE struct report_guest *guests = calloc(report->n_guests + 1, sizeof(*guests));
        const bool all = names_all_guests(service, task, report);
        struct report found;

        if (!guests)
                return;
        found = found_only(report, guests);
        keep_in_metrics(service, all ? report : &found, all);
}

static void keep(struct service *service, const struct task *task, const struct report *report,
                 struct json_object *json)
{
        complain(report);
        summarise(task, report);
        if (is_about_nobody(task, report)) {
                metrics_note_scan_failed(service->metrics, METRICS_SCAN_RESULT_FAILED);
        } else {
                count(service, task, report);
                keep_in_history(service, report);
        }
        service_domains_scanned(service, task, report);
        service_merge_tuned(service, task, report);
        json_object_put(service->last_report);
        service->last_report = json_object_get(json);
}

/* Return: the report as JSON, for whoever asked for it; NULL with a sentence. */
static struct json_object *take_report(struct service *service, const struct task *task,
                                       struct json_object *result, struct failure *failure)
{
        struct report *report = NULL;
        struct json_object *json = NULL;

        if (report_parse(result, &report, failure) < 0)
                return NULL;
        if (!skipped_all(service, report, failure)) {
                report->note = service->skipped;
                hear_libvirt(service, task, report);
                json = set_groups(service, report) < 0 ? NULL : report_to_json(report);
                if (json)
                        keep(service, task, report, json);
                else
                        (void)failure_errno(failure, -ENOMEM, "cannot keep the report");
        }
        report_free(report);
        return json;
}

static struct json_object *take_guests(const struct service *service, struct json_object *result,
                                       struct failure *failure)
{
        struct report *report = NULL;
        struct json_object *json = NULL;

        if (report_parse_guests(result, &report, failure) < 0)
                return NULL;
        if (set_groups(service, report) == 0)
                json = report_guests_to_json(report);
        if (!json)
                (void)failure_errno(failure, -ENOMEM, "cannot keep the list");
        report_free(report);
        return json;
}

/* Says who was still paused. */
static struct json_object *take_resumed(struct json_object *result)
{
        struct json_object *guests = NULL;

        (void)json_object_object_get_ex(result, "guests", &guests);
        if (!json_object_is_type(guests, json_type_array))
                return NULL;
        for (size_t i = 0; i < json_object_array_length(guests); i++) {
                struct json_object *guest = json_object_array_get_idx(guests, i);
                struct json_object *name = NULL;
                struct json_object *sentence = NULL;

                (void)json_object_object_get_ex(guest, "name", &name);
                (void)json_object_object_get_ex(guest, "sentence", &sentence);
                log_say(LOG_LEVEL_WARNING, "guest %s: %s", name ? json_object_get_string(name) : "?",
                        sentence ? json_object_get_string(sentence) : "it was found paused");
        }
        return json_object_get(result);
}

struct json_object *service_take_result(struct service *service, const struct task *task,
                                        struct json_object *result, struct failure *failure)
{
        if (!result)
                return NULL;
        switch (task->request.kind) {
        case REQUEST_SCAN:
                return take_report(service, task, result, failure);
        case REQUEST_GUESTS:
                return take_guests(service, result, failure);
        case REQUEST_RESUME:
                return take_resumed(result);
        case REQUEST_KIND_MAX_:
                break;
        }
        return NULL;
}
