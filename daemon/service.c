/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The service's life. One thread owns all state and never waits for a guest: whatever talks to one runs in a process
 * of its own (worker.c). Whoever starts the service is told when it is ready, reads the configuration again, and ends.
 *
 * A part that cannot be had (the history's disk, a port in use, no control group) costs that part and not the
 * service, as what it does for the guests is worth more; at the start, and when asked to check, it is an error.
 */
#include "daemon/service.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/version.h"
#include "daemon/log.h"
#include "daemon/service_state.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

static void say_problem(void *context, enum config_severity severity, const char *text)
{
        (void)context;
        log_say(severity == CONFIG_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "%s", text);
}

static int load(const struct service *service, struct config **ret)
{
        struct failure failure = {0};

        return config_load(service->config_path, service->must_exist, say_problem, NULL, ret, &failure);
}

/* The parts that the configuration opens. */

static int open_history(struct service *service)
{
        struct failure failure = {0};
        int r = 0;

        service->history = history_free(service->history);
        if (!service->config->history_file)
                return 0;
        r = history_open(service->config->history_file, HISTORY_READ_WRITE, &service->history, &failure);
        if (r != 0)
                log_say(LOG_LEVEL_WARNING, "history: %s", failure.text);
        return r < 0 ? r : 0;
}

static int open_metrics(struct service *service)
{
        struct failure failure = {0};
        int r = 0;

        service->metrics_server = metrics_server_free(service->metrics_server);
        if (service->config->metrics_address.length == 0)
                return 0;
        r = metrics_server_new(&service->config->metrics_address, service->event, service->metrics,
                               service->config->ksm_dir, &service->metrics_server, &failure);
        if (r < 0)
                log_say(LOG_LEVEL_ERROR, "%s", failure.text);
        return r;
}

static int open_control(struct service *service)
{
        const struct control_server server = service_control_server(service);
        struct failure failure = {0};
        int r = 0;

        service->control = control_free(service->control);
        if (!service->config->control_socket)
                return 0;
        r = control_new(service->event, service->config->control_socket, service->config->control_group,
                        &server, &service->control, &failure);
        if (r < 0)
                log_say(LOG_LEVEL_ERROR, "%s", failure.text);
        return r;
}

static bool is_same_text(const char *a, const char *b)
{
        return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_same_address(const struct address *a, const struct address *b)
{
        return a->length == b->length && memcmp(&a->sockaddr, &b->sockaddr, a->length) == 0;
}

/* Leases of a scan that runs lie in the old one: another folder needs a service that starts anew. */
static void keep_runtime_dir(struct config *old, struct config *config)
{
        char *other = config->runtime_dir;

        if (is_same_text(old->runtime_dir, other))
                return;
        log_say(LOG_LEVEL_WARNING, "runtime_dir stays %s until the service is started anew",
                old->runtime_dir);
        config->runtime_dir = old->runtime_dir;
        old->runtime_dir = other;
}

/* Puts a configuration in force in a service that runs; parts that could not be had before are tried again. */
static void change(struct service *service, struct config *config)
{
        struct config *old = service->config;

        keep_runtime_dir(old, config);
        service->config = config;
        if (!is_same_text(old->history_file, config->history_file) ||
            (config->history_file && !service->history))
                (void)open_history(service);
        if (!is_same_address(&old->metrics_address, &config->metrics_address) ||
            !is_same_text(old->ksm_dir, config->ksm_dir) || !service->metrics_server)
                (void)open_metrics(service);
        if (!is_same_text(old->control_socket, config->control_socket) ||
            !is_same_text(old->control_group, config->control_group) || !service->control)
                (void)open_control(service);
        if (!is_same_text(old->libvirt_uri, config->libvirt_uri))
                (void)service_domains_open(service);
        else
                service_domains_forget(service);
        service_merge_begin(service);
        if (old->interval_usec != config->interval_usec || old->jitter_usec != config->jitter_usec)
                service_timers_begin(service);
        config_free(old);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
        struct service *service = context;
        struct config *config = NULL;

        (void)source;
        (void)info;
        (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_now_usec());
        tzset();
        if (load(service, &config) < 0) {
                log_say(LOG_LEVEL_ERROR, "the configuration has errors: the one before stays in force");
        } else {
                change(service, config);
                log_say(LOG_LEVEL_NOTICE, "the configuration was read again");
        }
        (void)sd_notify(0, "READY=1");
        return 0;
}

/* The end */

void service_end_if_idle(struct service *service)
{
        if (service->is_stopping && !queue_running(service->queue))
                (void)sd_event_exit(service->event, EXIT_SUCCESS);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
        struct service *service = context;

        (void)source;
        (void)info;
        (void)sd_notify(0, "STOPPING=1\nSTATUS=Ending");
        service->is_stopping = true;
        queue_stop(service->queue);
        service_end_if_idle(service);
        return 0;
}

static int take_signals(struct service *service)
{
        sigset_t mask;
        int r = 0;

        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGTERM);
        (void)sigaddset(&mask, SIGINT);
        (void)sigaddset(&mask, SIGHUP);
        (void)sigaddset(&mask, SIGCHLD);
        (void)sigprocmask(SIG_BLOCK, &mask, NULL);
        r = sd_event_add_signal(service->event, NULL, SIGTERM, on_stop, service);
        if (r >= 0)
                r = sd_event_add_signal(service->event, NULL, SIGINT, on_stop, service);
        if (r >= 0)
                r = sd_event_add_signal(service->event, NULL, SIGHUP, on_reload, service);
        return r;
}

static int make_parts(struct service *service)
{
        const struct queue_observer observer = service_queue_observer(service);
        int r = sd_event_new(&service->event);

        if (r >= 0)
                r = take_signals(service);
        if (r >= 0)
                r = sd_event_set_watchdog(service->event, true);
        if (r >= 0)
                r = queue_new(service->event, &observer, &service->queue);
        if (r >= 0)
                r = roster_new(service->event, service_guest_gone, service, &service->roster);
        if (r >= 0)
                r = metrics_new(SAMEPAGE_VERSION, &service->metrics);
        if (r >= 0)
                r = service_timers_init(service);
        if (r >= 0)
                r = service_merge_init(service);
        if (r < 0)
                log_say(LOG_LEVEL_ERROR, "cannot start: %s", strerror(-r));
        return r;
}

static void free_parts(struct service *service)
{
        service_merge_deinit(service);
        service_timers_deinit(service);
        service_history_deinit(service);
        control_free(service->control);
        metrics_server_free(service->metrics_server);
        domains_free(service->domains);
        queue_free(service->queue);
        roster_free(service->roster);
        metrics_free(service->metrics);
        history_free(service->history);
        json_object_put(service->last_report);
        config_free(service->config);
        sd_event_unref(service->event);
}

/* What an earlier one left paused is resumed before anything else. */
static void begin(struct service *service)
{
        service_resume_left_overs(service);
        service_timers_begin(service);
        service_merge_begin(service);
        (void)sd_notify(0, "READY=1\nSTATUS=Idle");
        log_say(LOG_LEVEL_INFO, "samepaged " SAMEPAGE_VERSION " is ready");
}

int service_run(const char *config_path, bool must_exist)
{
        struct service service = {.config_path = config_path, .must_exist = must_exist};
        int r = load(&service, &service.config);

        if (r >= 0)
                r = make_parts(&service);
        if (r >= 0)
                r = open_history(&service);
        if (r >= 0)
                r = open_metrics(&service);
        if (r >= 0)
                r = open_control(&service);
        if (r >= 0)
                r = service_domains_open(&service);
        if (r >= 0) {
                begin(&service);
                r = sd_event_loop(service.event);
        }
        free_parts(&service);
        return r < 0 ? EXIT_FAILURE : r;
}
