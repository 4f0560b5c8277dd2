/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a request to its end: what begins it, what is told meanwhile, and what follows from how it ended. After a scan
 * that ended without a report, what it may have left paused is resumed.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/log.h"
#include "daemon/service_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

void service_request(struct service *service, struct request *request)
{
        const char *name = request_kind_to_string(request->kind);
        struct failure failure = {0};

        if (queue_add(service->queue, request, NULL, NULL, &failure) < 0)
                log_say(LOG_LEVEL_WARNING, "a request (%s) is left out: %s", name, failure.text);
}

void service_guest_gone(void *context, const char *name)
{
        struct service *service = context;

        log_say(LOG_LEVEL_INFO, "guest %s is gone", name);
        (void)metrics_keep_guests(service->metrics, roster_names(service->roster), roster_n(service->roster));
}

static void free_words(struct settings_list *list)
{
        for (size_t i = 0; i < list->n; i++)
                free(list->words[i]);
        free(list->words);
}

/* Few enough names for a sentence. */
static void describe_skipped(struct service *service, const struct settings_list *skip)
{
        char names[256] = "";
        size_t length = 0;
        size_t n = 0;

        service->skipped = (struct failure){0};
        for (; n < skip->n && length + strlen(skip->words[n]) + 2 < sizeof(names); n++)
                length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s", n > 0 ? ", " : "",
                                           skip->words[n]);
        if (n == skip->n && n > 0)
                (void)failure_set(&service->skipped, 0,
                                  "left out, as paused less than %llu s ago (min_gap): %s",
                                  service_gap_seconds(service), names);
        else if (n < skip->n)
                (void)failure_set(&service->skipped, 0,
                                  "%zu guests left out, as paused less than %llu s ago (min_gap)", skip->n,
                                  service_gap_seconds(service));
}

/* Guests that were paused a moment ago are left out, unless nobody is going to be paused. */
static int on_arguments(void *context, const struct task *task, char ***ret, struct failure *failure)
{
        struct service *service = context;
        CLEANUP(free_words) struct settings_list skip = {0};
        const bool pauses = task->request.kind == REQUEST_SCAN && task->request.mode != SCAN_MODE_LIVE;
        int r = 0;

        service->is_refused = false;
        if (pauses && task->request.guests.n > 0)
                r = service_check_gap(service, &task->request, failure);
        else if (pauses)
                r = roster_paused_since(service->roster, service->config->min_gap_usec, &skip);
        service->is_refused = r == -EAGAIN;
        describe_skipped(service, &skip);
        if (r == 0)
                r = request_arguments(&task->request, service->config, service->libvirt_has_answered, &skip,
                                      ret);
        if (r < 0 && r != -EAGAIN)
                (void)failure_errno(failure, r, "cannot begin");
        return r;
}

int service_check_gap(const struct service *service, const struct request *request, struct failure *failure)
{
        struct settings_list recent = {0};
        int r = roster_paused_since(service->roster, service->config->min_gap_usec, &recent);

        for (size_t i = 0; i < recent.n; i++) {
                for (size_t g = 0; g < request->guests.n && r == 0; g++)
                        if (strcmp(recent.words[i], request->guests.words[g]) == 0)
                                r = failure_set(
                                        failure, -EAGAIN,
                                        "guest %s was paused less than %llu s ago (min_gap): try later, or "
                                        "the mode live",
                                        recent.words[i], service_gap_seconds(service));
                free(recent.words[i]);
        }
        free(recent.words);
        return r;
}

static void tell(struct service *service, const char *event, const struct task *task)
{
        if (service->control)
                control_broadcast(service->control, event, service_task_to_json(task));
}

static void on_begun(void *context, const struct task *task)
{
        struct service *service = context;

        service_timers_count_paused(service);
        if (task->request.kind != REQUEST_SCAN)
                return;
        (void)sd_notify(0, "STATUS=Scanning");
        tell(service, "SCAN_STARTED", task);
}

static void on_progress(void *context, const struct task *task)
{
        tell(context, "SCAN_PROGRESS", task);
}

void service_resume_left_overs(struct service *service)
{
        struct request request;

        if (service->is_stopping)
                return;
        service->resumed_usec = clock_now_usec();
        request_init(&request, REQUEST_RESUME, REQUEST_BY_SERVICE, service->config);
        service_request(service, &request);
}

static void scan_failed(struct service *service, const struct task *task, const struct failure *failure)
{
        metrics_note_scan_failed(service->metrics, task->is_cancelled ? METRICS_SCAN_RESULT_CANCELLED
                                                                      : METRICS_SCAN_RESULT_FAILED);
        log_say(task->is_cancelled ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERROR, "a scan (%s) has no report: %s",
                request_origin_to_string(task->request.origin), failure->text);
        (void)sd_notifyf(0, "STATUS=Idle; the last scan failed: %s", failure->text);
        if (task->begun_usec == 0)
                return;
        if (task->request.mode != SCAN_MODE_LIVE)
                roster_note_pause(service->roster, &task->request.guests);
        service_resume_left_overs(service);
}

static void on_ended(void *context, struct task *task, struct json_object *result,
                     const struct failure *failure)
{
        struct service *service = context;
        struct failure reason = *failure;
        struct json_object *value = service_take_result(service, task, result, &reason);

        if (!value && task->request.kind == REQUEST_SCAN && !service->is_refused)
                scan_failed(service, task, &reason);
        else if (!value && task->request.kind != REQUEST_SCAN)
                log_say(LOG_LEVEL_WARNING, "%s: %s", request_kind_to_string(task->request.kind), reason.text);
        if (!value && task->request.kind == REQUEST_SCAN)
                service_merge_tuned(service, task, NULL);
        if (!value)
                service_domains_failed(service, task, &reason);
        if (task->request.kind == REQUEST_SCAN)
                tell(service, "SCAN_ENDED", task);
        if (task->context)
                control_reply_send(task->context, json_object_get(value), &reason);
        json_object_put(value);
        service->is_refused = false;
        service_timers_count_paused(service);
        service_end_if_idle(service);
}

struct queue_observer service_queue_observer(struct service *service)
{
        return (struct queue_observer){on_arguments, on_begun, on_progress, on_ended, service};
}
