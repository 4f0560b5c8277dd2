/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/domains.h"

#include "base/clock.h"
#include "base/json.h"
#include "daemon/log.h"
#include "daemon/virt_uri.h"
#include "daemon/worker.h"
#include "qmp/virt/domain_watch.h"
#include "report/events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define URI_BYTES        4096
#define RETRY_FIRST_USEC (1 * USEC_PER_SEC)
#define RETRY_MOST_USEC  (60 * USEC_PER_SEC)

int domains_run_program(const char *uri)
{
        struct failure failure = {0};
        domain_watch_run_fn *run = (domain_watch_run_fn *)virt_load(VIRT_DOMAIN_WATCH_RUN, &failure);
        const int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);

        if (run && fd >= 0)
                return run(uri, fd);
        events_print_failure(run ? strerror(errno) : failure.text);
        return EXIT_FAILURE;
}

struct domains {
        sd_event *event;
        char *uri;
        struct domains_observer observer;
        struct worker *worker;
        sd_event_source *retry;
        uint64_t retry_usec;
        bool is_connected;
        bool has_complained; /* about this outage */
};

static int start_watcher(struct domains *domains);

static int on_retry(sd_event_source *source, uint64_t usec, void *context)
{
        (void)source;
        (void)usec;
        (void)start_watcher(context);
        return 0;
}

static void try_again(struct domains *domains)
{
        (void)sd_event_source_set_time_relative(domains->retry, domains->retry_usec);
        (void)sd_event_source_set_enabled(domains->retry, SD_EVENT_ONESHOT);
        domains->retry_usec =
                domains->retry_usec * 2 > RETRY_MOST_USEC ? RETRY_MOST_USEC : domains->retry_usec * 2;
}

static void on_watcher_event(void *context, const char *event, struct json_object *data)
{
        struct domains *domains = context;

        if (strcmp(event, DOMAIN_WATCH_EVENT_CONNECTED) == 0) {
                domains->is_connected = true;
                domains->retry_usec = RETRY_FIRST_USEC;
                if (domains->has_complained)
                        log_say(LOG_LEVEL_NOTICE, "libvirt (%s) answers again", domains->uri);
                domains->has_complained = false;
        }
        domains->observer.event(domains->observer.context, event, data);
}

static void on_watcher_end(void *context, const struct failure *failure)
{
        struct domains *domains = context;

        domains->worker = worker_free(domains->worker);
        if (!domains->has_complained)
                log_say(LOG_LEVEL_WARNING, "libvirt (%s) cannot be watched: %s; trying again", domains->uri,
                        domains->is_connected ? "the connection broke" : failure->text);
        domains->has_complained = true;
        domains->is_connected = false;
        try_again(domains);
        domains->observer.event(domains->observer.context, DOMAIN_WATCH_EVENT_FAILED, NULL);
}

static int start_watcher(struct domains *domains)
{
        const char *uri = virt_uri_find(domains->uri, "", false);
        char program[] = DOMAINS_PROGRAM;
        char uri_text[URI_BYTES] = "";
        char *const arguments[] = {program, uri_text, NULL};
        const struct worker_observer observer = {on_watcher_event, on_watcher_end, domains};
        struct failure failure = {0};
        int r = 0;

        if (!uri) {
                /* This host has no libvirt, yet or for the moment. */
                try_again(domains);
                return 0;
        }
        (void)snprintf(uri_text, sizeof(uri_text), "%s", uri);
        r = worker_start(domains->event, arguments, &observer, &domains->worker, &failure);
        if (r < 0)
                on_watcher_end(domains, &failure);
        return r;
}

int domains_new(sd_event *event, const char *uri, const struct domains_observer *observer,
                struct domains **ret)
{
        struct domains *domains = calloc(1, sizeof(*domains));
        int r = 0;

        if (!domains)
                return -ENOMEM;
        *domains = (struct domains){
                .event = sd_event_ref(event),
                .uri = strdup(uri),
                .observer = *observer,
                .retry_usec = RETRY_FIRST_USEC,
        };
        r = domains->uri ? sd_event_add_time_relative(event, &domains->retry, CLOCK_MONOTONIC, 0, 0, on_retry,
                                                      domains)
                         : -ENOMEM;
        if (r < 0) {
                domains_free(domains);
                return r;
        }
        /* Fires at once and starts the first watcher. */
        *ret = domains;
        return 0;
}

struct domains *domains_free(struct domains *domains)
{
        if (!domains)
                return NULL;
        sd_event_source_disable_unref(domains->retry);
        worker_free(domains->worker);
        sd_event_unref(domains->event);
        free(domains->uri);
        free(domains);
        return NULL;
}

void domains_set_result(struct domains *domains, const char *uuid, struct json_object *attributes)
{
        struct json_object *line = json_object_new_object();

        json_add_text(attributes, "uuid", uuid);
        json_add_text(line, "execute", DOMAIN_WATCH_SET_RESULT);
        json_add(line, "arguments", attributes);
        if (!domains->worker || worker_send(domains->worker, line) < 0)
                log_say(LOG_LEVEL_WARNING, "libvirt (%s) does not answer: the result for domain %s is lost",
                        domains->uri, uuid);
        json_object_put(line);
}
