/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What domains of libvirt have done: metadata that asks for a scan, and domains that somebody suspends.
 *
 * A suspended domain is scanned in the mode live: that never pauses it, and a guest that stands still is read as it is
 * found and left so. Our own pauses are seen as suspensions too; those fall into scans of ours.
 */
#include "base/json.h"
#include "daemon/log.h"
#include "daemon/service_state.h"
#include "daemon/virt_uri.h"
#include "qmp/virt/domain_watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void add_bytes(struct json_object *attributes, const char *name, int64_t bytes)
{
        char text[24] = "";

        if (bytes == REPORT_UNKNOWN)
                return;
        (void)snprintf(text, sizeof(text), "%" PRId64, bytes);
        json_add_text(attributes, name, text);
}

static struct json_object *begin_result(void)
{
        struct json_object *attributes = json_object_new_object();
        const time_t now = time(NULL);
        struct tm utc = {0};
        char text[32] = "";

        if (gmtime_r(&now, &utc))
                (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
        json_add_text(attributes, "time", text);
        return attributes;
}

static void set_error(struct service *service, const char *uuid, const char *sentence)
{
        struct json_object *attributes = begin_result();

        json_add_text(attributes, "error", sentence);
        if (service->domains)
                domains_set_result(service->domains, uuid, attributes);
        else
                json_object_put(attributes);
}

void service_domains_failed(struct service *service, const struct task *task, const struct failure *failure)
{
        if (task->request.domain_uuid)
                set_error(service, task->request.domain_uuid, failure->text);
}

static int64_t merged_of(const struct report_figures *figures)
{
        if (figures->actual_self_bytes == REPORT_UNKNOWN || figures->actual_inter_bytes == REPORT_UNKNOWN)
                return REPORT_UNKNOWN;
        return figures->actual_self_bytes + figures->actual_inter_bytes;
}

void service_domains_scanned(struct service *service, const struct task *task, const struct report *report)
{
        const struct report_guest *guest = report->n_guests > 0 ? &report->guests[0] : NULL;
        struct json_object *attributes = NULL;

        if (!task->request.domain_uuid || !service->domains)
                return;
        if (!guest || !guest->scanned) {
                set_error(service, task->request.domain_uuid, guest ? guest->error.text : "it is gone");
                return;
        }
        attributes = begin_result();
        json_add_text(attributes, "mode", scan_mode_to_string(report->mode));
        json_add_text(attributes, "consistency", report_consistency_to_string(guest->consistency));
        add_bytes(attributes, "present", guest->figures.present_bytes);
        add_bytes(attributes, "zero", guest->figures.zero_bytes);
        add_bytes(attributes, "self", guest->figures.self_sharing_bytes);
        add_bytes(attributes, "inter", guest->figures.inter_sharing_bytes);
        add_bytes(attributes, "merged", merged_of(&guest->figures));
        domains_set_result(service->domains, task->request.domain_uuid, attributes);
}

static bool set_mode(struct request *request, const char *mode)
{
        for (int i = 0; i < SCAN_MODE_MAX_; i++)
                if (strcmp(mode, scan_mode_to_string((enum scan_mode)i)) == 0) {
                        request->mode = (enum scan_mode)i;
                        return true;
                }
        return false;
}

/* A domain that asks again while its request waits gets one answer. */
static bool waits_already(const struct service *service, enum request_origin origin, const char *uuid)
{
        const struct task *tasks[QUEUE_MAX + 1];
        const size_t n = queue_waiting(service->queue, tasks);

        for (size_t i = 0; i < n; i++)
                if (tasks[i]->request.origin == origin && tasks[i]->request.domain_uuid &&
                    strcmp(tasks[i]->request.domain_uuid, uuid) == 0)
                        return true;
        return false;
}

static int add_domain(struct request *request, const char *name, const char *uuid)
{
        request->domain_uuid = strdup(uuid);
        return request->domain_uuid ? request_add_guest(request, name) : -ENOMEM;
}

static void on_requested(struct service *service, const char *name, const char *uuid, const char *mode)
{
        struct failure failure = {0};
        struct request request;
        int r = 0;

        if (waits_already(service, REQUEST_BY_METADATA, uuid))
                return;
        request_init(&request, REQUEST_SCAN, REQUEST_BY_METADATA, service->config);
        r = add_domain(&request, name, uuid);
        if (r < 0)
                (void)failure_errno(&failure, r, "cannot take the request");
        else if (!config_takes_guest(service->config, name))
                r = failure_set(&failure, -EPERM, "the configuration excludes this guest");
        else if (mode && !set_mode(&request, mode))
                r = failure_set(&failure, -EINVAL, "its mode is none of snapshot, sliced, live");
        else if (request.mode != SCAN_MODE_LIVE)
                r = service_check_gap(service, &request, &failure);
        if (r < 0)
                request_deinit(&request);
        else
                r = queue_add(service->queue, &request, NULL, NULL, &failure);
        if (r < 0)
                set_error(service, uuid, failure.text);
}

static bool is_pausing(const struct service *service)
{
        const struct task *task = queue_running(service->queue);

        return task && task->request.kind == REQUEST_SCAN && task->request.mode != SCAN_MODE_LIVE;
}

static void on_suspended(struct service *service, const char *name, const char *uuid)
{
        struct request request;

        if (!service->config->on_suspend || is_pausing(service) ||
            !config_takes_guest(service->config, name) || waits_already(service, REQUEST_BY_SUSPEND, uuid))
                return;
        request_init(&request, REQUEST_SCAN, REQUEST_BY_SUSPEND, service->config);
        request.mode = SCAN_MODE_LIVE;
        if (add_domain(&request, name, uuid) < 0)
                request_deinit(&request);
        else
                service_request(service, &request);
}

static void on_event(void *context, const char *event, struct json_object *data)
{
        struct service *service = context;
        const char *name = json_get_text(data, "name");
        const char *uuid = json_get_text(data, "uuid");
        const char *error = json_get_text(data, "error");

        if (strcmp(event, DOMAIN_WATCH_EVENT_CONNECTED) == 0)
                service_domains_heard(service, true);
        else if (strcmp(event, DOMAIN_WATCH_EVENT_FAILED) == 0)
                service_domains_heard(service, false);
        if (!name || !uuid)
                return;
        if (strcmp(event, DOMAIN_WATCH_EVENT_STARTED) == 0 || strcmp(event, DOMAIN_WATCH_EVENT_STOPPED) == 0)
                service_merge_arrived(service);
        if (strcmp(event, DOMAIN_WATCH_EVENT_STARTED) == 0)
                log_say(LOG_LEVEL_INFO, "domain %s (%s) runs", name, uuid);
        else if (strcmp(event, DOMAIN_WATCH_EVENT_STOPPED) == 0)
                log_say(LOG_LEVEL_INFO, "domain %s (%s) is gone", name, uuid);
        else if (strcmp(event, DOMAIN_WATCH_EVENT_SUSPENDED) == 0)
                on_suspended(service, name, uuid);
        else if (strcmp(event, DOMAIN_WATCH_EVENT_REQUESTED) == 0 && error)
                set_error(service, uuid, error);
        else if (strcmp(event, DOMAIN_WATCH_EVENT_REQUESTED) == 0)
                on_requested(service, name, uuid, json_get_text(data, "mode"));
}

void service_domains_heard(struct service *service, bool answers)
{
        service->libvirt_answers = answers;
        service->libvirt_has_answered |= answers;
        metrics_set_source(service->metrics,
                           virt_uri_find(service->config->libvirt_uri, "", service->libvirt_has_answered),
                           answers);
}

void service_domains_forget(struct service *service)
{
        service->libvirt_has_answered = service->libvirt_answers;
        service_domains_heard(service, service->libvirt_answers);
}

int service_domains_open(struct service *service)
{
        const struct domains_observer observer = {on_event, service};
        int r = 0;

        service->domains = domains_free(service->domains);
        service->libvirt_answers = false;
        service->libvirt_has_answered = false;
        metrics_set_source(service->metrics, NULL, false);
        if (service->config->libvirt_uri)
                r = domains_new(service->event, service->config->libvirt_uri, &observer, &service->domains);
        if (r < 0)
                log_say(LOG_LEVEL_ERROR, "cannot watch libvirt: %s", strerror(-r));
        return r;
}
