/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request waits in the queue and becomes a command line; its process prints a result as JSON. A scan's
 * result becomes a struct report and gets what only the service knows: trust groups of the configuration, and
 * which guests are missing and why. After a scan that ended without a report, the service resumes what it may
 * have left paused.
 */
#include "daemon/jobs.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/log.h"
#include "daemon/virt_uri.h"
#include "report/report_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct jobs {
        struct queue *queue;
        const struct options *config;
        struct guest_list *guest_list;
        struct virt_source *libvirt;
        struct jobs_observer *observers;
        size_t n_observers;
        struct failure skipped; /* guests that the running scan leaves out, for min_gap; empty: none */
        bool is_refused;        /* min_gap leaves the running scan no guest: no failure */
        uint64_t resumed_usec;  /* when left-overs were last searched for */
        bool is_stopped;
};

static unsigned long long gap_seconds(const struct jobs *jobs)
{
        return jobs->config->min_gap_usec / USEC_PER_SEC;
}

/* Before a job */

/* Names the guests, if few enough for a sentence. */
static void describe_skipped(struct jobs *jobs, const struct patterns *skip)
{
        char names[256] = "";
        size_t length = 0;
        size_t n = 0;

        jobs->skipped = (struct failure){0};
        for (; n < skip->n && length + strlen(skip->words[n]) + 2 < sizeof(names); n++)
                length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s", n > 0 ? ", " : "",
                                           skip->words[n]);
        if (n == skip->n && n > 0)
                (void)failure_set(&jobs->skipped, 0, "left out, as paused less than %llu s ago (min_gap): %s",
                                  gap_seconds(jobs), names);
        else if (n < skip->n)
                (void)failure_set(&jobs->skipped, 0,
                                  "%zu guests left out, as paused less than %llu s ago (min_gap)", skip->n,
                                  gap_seconds(jobs));
}

int jobs_check_gap(const struct jobs *jobs, const struct request *request, struct failure *failure)
{
        CLEANUP(patterns_deinit) struct patterns recent = {0};
        int r = guest_list_paused_since(jobs->guest_list, jobs->config->min_gap_usec, &recent);

        for (size_t i = 0; i < recent.n; i++)
                for (size_t g = 0; g < request->guests.n && r == 0; g++)
                        if (strcmp(recent.words[i], request->guests.words[g]) == 0)
                                r = failure_set(
                                        failure, -EAGAIN,
                                        "guest %s was paused less than %llu s ago (min_gap): try later, or "
                                        "the mode live",
                                        recent.words[i], gap_seconds(jobs));
        return r;
}

/* Leaves out guests that were paused a moment ago, unless the scan pauses nobody. */
static int on_arguments(void *context, const struct task *task, char ***ret, struct failure *failure)
{
        struct jobs *jobs = context;
        CLEANUP(patterns_deinit) struct patterns skip = {0};
        const bool pauses = task->request.kind == REQUEST_SCAN && task->request.mode != SCAN_MODE_LIVE;
        int r = 0;

        jobs->is_refused = false;
        if (pauses && task->request.guests.n > 0)
                r = jobs_check_gap(jobs, &task->request, failure);
        else if (pauses)
                r = guest_list_paused_since(jobs->guest_list, jobs->config->min_gap_usec, &skip);
        jobs->is_refused = r == -EAGAIN;
        describe_skipped(jobs, &skip);
        if (r == 0)
                r = request_arguments(&task->request, jobs->config, jobs->libvirt->has_answered, &skip, ret);
        if (r < 0 && r != -EAGAIN)
                (void)failure_errno(failure, r, "cannot begin");
        return r;
}

/* What the service adds to a report */

static int set_groups(const struct jobs *jobs, struct report *report)
{
        for (size_t i = 0; i < report->n_guests; i++) {
                struct report_guest *guest = &report->guests[i];
                const char *group = groups_find(&jobs->config->merging.groups, guest->name);

                /* A domain may have a group of its own; the configuration takes precedence. */
                if (!group)
                        continue;
                free(guest->group);
                guest->group = strdup(group);
                if (!guest->group)
                        return -ENOMEM;
        }
        return 0;
}

/* A libvirt that did not answer is in a report under its URI. */
static bool is_silent_libvirt(const struct jobs *jobs, const struct report_guest *guest)
{
        const char *uri = virt_source_uri(jobs->libvirt);

        return !report_guest_is_found(guest) && report_guest_is_domain(guest) && uri &&
               strcmp(guest->name, uri) == 0;
}

/* Notes in a report of all guests that a part is missing, and what to do if libvirt was removed. */
static void note_silent_libvirt(const struct jobs *jobs, const char *uri, struct report *report)
{
        const bool is_auto = strcmp(jobs->config->guests.libvirt_uri, VIRT_URI_AUTO) == 0;
        const char *skipped = jobs->skipped.text;

        report->silent_via = REPORT_VIA_LIBVIRT;
        (void)failure_set(&report->note, 0,
                          "%s%slibvirt (%s) does not answer: its domains are missing from all figures; "
                          "if it was removed for good, %sreload samepaged",
                          skipped, skipped[0] ? "; " : "", uri,
                          is_auto ? "" : "take it out of libvirt_uri and ");
}

/* Records whether libvirt answered. A scan without domains does not show it. */
static void hear_libvirt(struct jobs *jobs, const struct task *task, struct report *report)
{
        for (size_t i = 0; i < report->n_guests; i++) {
                const struct report_guest *guest = &report->guests[i];
                const bool is_silent = is_silent_libvirt(jobs, guest);

                if (is_silent || (report_guest_is_found(guest) && report_guest_is_domain(guest)))
                        virt_source_hear(jobs->libvirt, !is_silent);
                if (is_silent && task->request.guests.n == 0)
                        note_silent_libvirt(jobs, guest->name, report);
        }
}

/* Whether min_gap left out all guests of the scan. */
static bool skipped_all(struct jobs *jobs, const struct report *report, struct failure *failure)
{
        size_t n = report->n_guests;

        for (size_t i = 0; i < report->n_guests; i++)
                n -= is_silent_libvirt(jobs, &report->guests[i]);
        jobs->is_refused = jobs->skipped.text[0] && n == 0;
        if (jobs->is_refused)
                (void)failure_set(failure, 0, "all guests were paused less than %llu s ago (min_gap)",
                                  gap_seconds(jobs));
        return jobs->is_refused;
}

/* After a job */

/* Calls a function of each observer that has it. */
#define TELL_OBSERVERS(jobs, function, ...)                                                               \
        do {                                                                                              \
                for (size_t i = 0; i < (jobs)->n_observers; i++)                                          \
                        if ((jobs)->observers[i].function)                                                \
                                (jobs)->observers[i].function((jobs)->observers[i].context, __VA_ARGS__); \
        } while (0)

/* Return: the report as JSON, for the client that asked; NULL with a sentence, and then without a report. */
static struct json_object *take_report(struct jobs *jobs, const struct task *task, struct json_object *result,
                                       struct report **ret, struct failure *failure)
{
        struct report *report = NULL;
        struct json_object *json = NULL;

        if (report_parse(result, &report, failure) < 0)
                return NULL;
        if (!skipped_all(jobs, report, failure)) {
                report->note = jobs->skipped;
                hear_libvirt(jobs, task, report);
                TELL_OBSERVERS(jobs, reported, task, report);
                json = set_groups(jobs, report) < 0 ? NULL : report_to_json(report);
                if (!json)
                        (void)failure_errno(failure, -ENOMEM, "cannot keep the report");
        }
        if (json)
                *ret = report;
        else
                report_free(report);
        return json;
}

static struct json_object *take_guests(const struct jobs *jobs, struct json_object *result,
                                       struct failure *failure)
{
        struct report *report = NULL;
        struct json_object *json = NULL;

        if (report_parse_guests(result, &report, failure) < 0)
                return NULL;
        if (set_groups(jobs, report) == 0)
                json = report_guests_to_json(report);
        if (!json)
                (void)failure_errno(failure, -ENOMEM, "cannot keep the list");
        report_free(report);
        return json;
}

static struct json_object *take_resumed(struct json_object *result)
{
        struct json_object *guests = NULL;

        (void)json_object_object_get_ex(result, "guests", &guests);
        return json_object_is_type(guests, json_type_array) ? json_object_get(result) : NULL;
}

static struct json_object *take_result(struct jobs *jobs, const struct task *task, struct json_object *result,
                                       struct report **ret_report, struct failure *failure)
{
        if (!result)
                return NULL;
        switch (task->request.kind) {
        case REQUEST_SCAN:
                return take_report(jobs, task, result, ret_report, failure);
        case REQUEST_GUESTS:
                return take_guests(jobs, result, failure);
        case REQUEST_RESUME:
                return take_resumed(result);
        case REQUEST_KIND_COUNT_:
                break;
        }
        return NULL;
}

/* A scan that failed may have left guests paused. */
static void resume_after_failure(struct jobs *jobs, const struct task *task)
{
        if (task->request.kind != REQUEST_SCAN || task->begun_usec == 0)
                return;
        if (task->request.mode != SCAN_MODE_LIVE)
                guest_list_note_pause(jobs->guest_list, &task->request.guests);
        jobs_resume_left_overs(jobs);
}

static void jobs_on_ended(void *context, struct task *task, struct json_object *result,
                          const struct failure *failure)
{
        struct jobs *jobs = context;
        struct failure reason = *failure;
        struct report *report = NULL;
        struct json_object *value = take_result(jobs, task, result, &report, &reason);
        const struct jobs_outcome outcome = {
                .task = task,
                .report = report,
                .result = value,
                .failure = &reason,
                .is_refused = jobs->is_refused,
                .has_skipped = jobs->skipped.text[0] != '\0',
        };

        if (!value && !jobs->is_refused)
                resume_after_failure(jobs, task);
        jobs->is_refused = false;
        TELL_OBSERVERS(jobs, ended, &outcome);
        json_object_put(value);
        report_free(report);
}

static void jobs_on_begun(void *context, const struct task *task)
{
        const struct jobs *jobs = context;

        TELL_OBSERVERS(jobs, begun, task);
}

static void jobs_on_progress(void *context, const struct task *task)
{
        const struct jobs *jobs = context;

        TELL_OBSERVERS(jobs, progress, task);
}

/* Asking for one */

int jobs_add(struct jobs *jobs, struct request *request, void *context, uint64_t *ret_id,
             struct failure *failure)
{
        return queue_add(jobs->queue, request, context, ret_id, failure);
}

void jobs_request(struct jobs *jobs, struct request *request)
{
        const char *name = request_kind_to_string(request->kind);
        struct failure failure = {0};

        if (queue_add(jobs->queue, request, NULL, NULL, &failure) < 0)
                log_say(LOG_LEVEL_WARNING, "a request (%s) is left out: %s", name, failure.text);
}

void jobs_resume_left_overs(struct jobs *jobs)
{
        struct request request;

        if (jobs->is_stopped)
                return;
        jobs->resumed_usec = clock_now_usec();
        request_init(&request, REQUEST_RESUME, REQUEST_BY_SERVICE, jobs->config);
        jobs_request(jobs, &request);
}

uint64_t jobs_resumed_usec(const struct jobs *jobs)
{
        return jobs->resumed_usec;
}

int jobs_cancel(struct jobs *jobs, uint64_t id)
{
        return queue_cancel(jobs->queue, id);
}

void jobs_stop(struct jobs *jobs)
{
        jobs->is_stopped = true;
        queue_stop(jobs->queue);
}

const struct task *jobs_running(const struct jobs *jobs)
{
        return queue_running(jobs->queue);
}

size_t jobs_waiting(const struct jobs *jobs, const struct task *ret_tasks[QUEUE_MAX + 1])
{
        return queue_waiting(jobs->queue, ret_tasks);
}

/* Life */

int jobs_new(sd_event *event, struct guest_list *guest_list, struct virt_source *libvirt, struct jobs **ret)
{
        struct jobs *jobs = calloc(1, sizeof(*jobs));
        const struct queue_observer observer = {on_arguments, jobs_on_begun, jobs_on_progress, jobs_on_ended,
                                                jobs};
        int r = 0;

        if (!jobs)
                return -ENOMEM;
        jobs->guest_list = guest_list;
        jobs->libvirt = libvirt;
        r = queue_new(event, &observer, &jobs->queue);
        if (r < 0) {
                jobs_free(jobs);
                return r;
        }
        *ret = jobs;
        return 0;
}

struct jobs *jobs_free(struct jobs *jobs)
{
        if (!jobs)
                return NULL;
        queue_free(jobs->queue);
        free(jobs->observers);
        free(jobs);
        return NULL;
}

void jobs_configure(struct jobs *jobs, const struct options *config)
{
        jobs->config = config;
}

int jobs_observe(struct jobs *jobs, const struct jobs_observer *observer)
{
        struct jobs_observer *observers =
                reallocarray(jobs->observers, jobs->n_observers + 1, sizeof(*observers));

        if (!observers)
                return -ENOMEM;
        observers[jobs->n_observers++] = *observer;
        jobs->observers = observers;
        return 0;
}
