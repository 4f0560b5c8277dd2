/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What domains of libvirt did: set metadata that asks for a scan, or were suspended by somebody.
 *
 * A suspended domain is scanned in the mode live. That mode never pauses it; a guest that is paused is read
 * as it is and left so. Our own pauses look like suspensions too; they happen only during our scans.
 */
#include "daemon/domain_requests.h"

#include "base/json.h"
#include "base/text.h"
#include "daemon/domains.h"
#include "daemon/log.h"
#include "qmp/virt/domain_watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct domain_requests {
        sd_event *event;
        const struct options *config; /* NULL before the first one */
        struct jobs *jobs;
        struct merger *merger;
        struct virt_source *libvirt;
        struct domains *domains; /* NULL without libvirt */
};

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

static void set_error(struct domain_requests *requests, const char *uuid, const char *sentence)
{
        struct json_object *attributes = begin_result();

        json_add_text(attributes, "error", sentence);
        if (requests->domains)
                domains_set_result(requests->domains, uuid, attributes);
        else
                json_object_put(attributes);
}

static void write_result(struct domain_requests *requests, const char *uuid, const struct report *report)
{
        const struct report_guest *guest = report->n_guests > 0 ? &report->guests[0] : NULL;
        struct json_object *attributes = NULL;

        if (!guest || !guest->scanned) {
                set_error(requests, uuid, guest ? guest->error.text : "it is gone");
                return;
        }
        attributes = begin_result();
        json_add_text(attributes, "mode", scan_mode_to_string(report->mode));
        json_add_text(attributes, "consistency", report_consistency_to_string(guest->consistency));
        add_bytes(attributes, "present", guest->figures.present_bytes);
        add_bytes(attributes, "zero", guest->figures.zero_bytes);
        add_bytes(attributes, "self", guest->figures.self_sharing_bytes);
        add_bytes(attributes, "inter", guest->figures.inter_sharing_bytes);
        add_bytes(attributes, "merged", report_merged_bytes(&guest->figures));
        domains_set_result(requests->domains, uuid, attributes);
}

/* A domain that asks again while its request waits gets one answer. */
static bool waits_already(const struct domain_requests *requests, enum request_origin origin,
                          const char *uuid)
{
        const struct task *tasks[QUEUE_MAX + 1];
        const size_t n = jobs_waiting(requests->jobs, tasks);

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

static void on_requested(struct domain_requests *requests, const char *name, const char *uuid,
                         const char *mode)
{
        struct failure failure = {0};
        struct request request;
        int r = 0;

        if (waits_already(requests, REQUEST_BY_METADATA, uuid))
                return;
        request_init(&request, REQUEST_SCAN, REQUEST_BY_METADATA, requests->config);
        r = add_domain(&request, name, uuid);
        if (r < 0)
                (void)failure_errno(&failure, r, "cannot take the request");
        else if (!options_take_guest(requests->config, name))
                r = failure_set(&failure, -EPERM, "the configuration excludes this guest");
        else if (mode && scan_mode_from_string(mode, &request.mode) < 0)
                r = failure_set(&failure, -EINVAL, "its mode is none of snapshot, sliced, live");
        else if (request.mode != SCAN_MODE_LIVE)
                r = jobs_check_gap(requests->jobs, &request, &failure);
        if (r < 0)
                request_deinit(&request);
        else
                r = jobs_add(requests->jobs, &request, NULL, NULL, &failure);
        if (r < 0)
                set_error(requests, uuid, failure.text);
}

static bool is_pausing_scan(const struct domain_requests *requests)
{
        const struct task *task = jobs_running(requests->jobs);

        return task && task->request.kind == REQUEST_SCAN && task->request.mode != SCAN_MODE_LIVE;
}

static void on_suspended(struct domain_requests *requests, const char *name, const char *uuid)
{
        struct request request;

        if (!requests->config->on_suspend || is_pausing_scan(requests) ||
            !options_take_guest(requests->config, name) || waits_already(requests, REQUEST_BY_SUSPEND, uuid))
                return;
        request_init(&request, REQUEST_SCAN, REQUEST_BY_SUSPEND, requests->config);
        request.mode = SCAN_MODE_LIVE;
        if (add_domain(&request, name, uuid) < 0)
                request_deinit(&request);
        else
                jobs_request(requests->jobs, &request);
}

static void on_domain_event(void *context, const char *event, struct json_object *data)
{
        struct domain_requests *requests = context;
        const char *name = json_get_text(data, "name");
        const char *uuid = json_get_text(data, "uuid");
        const char *error = json_get_text(data, "error");

        if (strcmp(event, DOMAIN_WATCH_EVENT_CONNECTED) == 0)
                virt_source_hear(requests->libvirt, true);
        else if (strcmp(event, DOMAIN_WATCH_EVENT_FAILED) == 0)
                virt_source_hear(requests->libvirt, false);
        if (!name || !uuid)
                return;
        if (strcmp(event, DOMAIN_WATCH_EVENT_STARTED) == 0 || strcmp(event, DOMAIN_WATCH_EVENT_STOPPED) == 0)
                merger_arrived(requests->merger);
        if (strcmp(event, DOMAIN_WATCH_EVENT_STARTED) == 0)
                log_say(LOG_LEVEL_INFO, "domain %s (%s) runs", name, uuid);
        else if (strcmp(event, DOMAIN_WATCH_EVENT_STOPPED) == 0)
                log_say(LOG_LEVEL_INFO, "domain %s (%s) is gone", name, uuid);
        else if (strcmp(event, DOMAIN_WATCH_EVENT_SUSPENDED) == 0)
                on_suspended(requests, name, uuid);
        else if (strcmp(event, DOMAIN_WATCH_EVENT_REQUESTED) == 0 && error)
                set_error(requests, uuid, error);
        else if (strcmp(event, DOMAIN_WATCH_EVENT_REQUESTED) == 0)
                on_requested(requests, name, uuid, json_get_text(data, "mode"));
}

/* An observer of jobs */

static void requests_on_ended(void *context, const struct jobs_outcome *outcome)
{
        struct domain_requests *requests = context;
        const char *uuid = outcome->task->request.domain_uuid;

        if (!uuid || !requests->domains)
                return;
        if (outcome->report)
                write_result(requests, uuid, outcome->report);
        else
                set_error(requests, uuid, outcome->failure->text);
}

struct jobs_observer domain_requests_observer(struct domain_requests *requests)
{
        return (struct jobs_observer){.ended = requests_on_ended, .context = requests};
}

/* Life */

static int open_domains(struct domain_requests *requests)
{
        const char *uri = requests->config->guests.libvirt_uri;
        const struct domains_observer observer = {on_domain_event, requests};
        int r = 0;

        requests->domains = domains_free(requests->domains);
        virt_source_begin(requests->libvirt, uri);
        if (uri)
                r = domains_new(requests->event, uri, &observer, &requests->domains);
        if (r < 0)
                log_say(LOG_LEVEL_ERROR, "cannot watch libvirt: %s", strerror(-r));
        return r;
}

int domain_requests_configure(struct domain_requests *requests, const struct options *config)
{
        const struct options *old = requests->config;

        requests->config = config;
        if (!old || !text_is_same(old->guests.libvirt_uri, config->guests.libvirt_uri))
                return open_domains(requests);
        virt_source_forget(requests->libvirt, config->guests.libvirt_uri);
        return 0;
}

int domain_requests_new(sd_event *event, struct jobs *jobs, struct merger *merger,
                        struct virt_source *libvirt, struct domain_requests **ret)
{
        struct domain_requests *requests = calloc(1, sizeof(*requests));

        if (!requests)
                return -ENOMEM;
        *requests =
                (struct domain_requests){.event = event, .jobs = jobs, .merger = merger, .libvirt = libvirt};
        *ret = requests;
        return 0;
}

struct domain_requests *domain_requests_free(struct domain_requests *requests)
{
        if (!requests)
                return NULL;
        domains_free(requests->domains);
        free(requests);
        return NULL;
}
