/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The service's life. One thread owns all state and never waits for a guest: child processes talk to guests
 * (worker.c). The service tells its starter when it is ready, reads the configuration again on request, and
 * ends.
 *
 * A part that cannot be set up (the history's disk, a port in use, no control group) costs that part and not
 * the service, because the service's work for the guests is worth more. At the start, and when asked to
 * check, it is an error.
 */
#include "daemon/service.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/version.h"
#include "daemon/control_commands.h"
#include "daemon/domain_requests.h"
#include "daemon/guest_list.h"
#include "daemon/jobs.h"
#include "daemon/log.h"
#include "daemon/merger.h"
#include "daemon/records.h"
#include "daemon/timers.h"
#include "daemon/virt_source.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

/* The parts; observe_jobs() sets the order in which they learn of jobs. */
struct service {
        sd_event *event;
        const char *config_path;
        bool must_exist;
        struct options *config;
        struct virt_source libvirt;
        struct guest_list *guest_list;
        struct metrics *metrics;
        struct jobs *jobs;
        struct records *records;
        struct merger *merger;
        struct domain_requests *domains;
        struct control_commands *commands;
        struct timers *timers;
        bool is_stopping;
};

static void say_problem(void *context, enum config_severity severity, const char *text)
{
        (void)context;
        log_say(severity == CONFIG_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "%s", text);
}

static int load_config(const struct service *service, struct options **ret)
{
        const struct config_source source = {service->config_path, service->must_exist, say_problem, NULL};

        return config_load(&source, ret, NULL);
}

/* Leases of a running scan are in the old folder: another folder needs a restart of the service. */
static void keep_runtime_dir(struct options *old, struct options *config)
{
        char *other = config->runtime_dir;

        if (text_is_same(old->runtime_dir, other))
                return;
        log_say(LOG_LEVEL_WARNING, "runtime_dir stays %s until the service is started anew",
                old->runtime_dir);
        config->runtime_dir = old->runtime_dir;
        old->runtime_dir = other;
}

static int first_error(int before, int r)
{
        return before < 0 ? before : r;
}

/* Applies a configuration; tries again the parts that failed before. Return: the first error. */
static int configure_parts(struct service *service, struct options *config)
{
        struct options *old = service->config;
        int r = 0;

        if (old)
                keep_runtime_dir(old, config);
        service->config = config;
        jobs_configure(service->jobs, config);
        r = records_configure(service->records, config);
        r = first_error(r, control_commands_configure(service->commands, config));
        r = first_error(r, domain_requests_configure(service->domains, config));
        merger_configure(service->merger, config);
        timers_configure(service->timers, config);
        options_free(old);
        return r;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
        struct service *service = context;
        struct options *config = NULL;

        (void)source;
        (void)info;
        (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_now_usec());
        tzset();
        if (load_config(service, &config) < 0) {
                log_say(LOG_LEVEL_ERROR, "the configuration has errors: the one before stays in force");
        } else {
                (void)configure_parts(service, config);
                log_say(LOG_LEVEL_NOTICE, "the configuration was read again");
        }
        (void)sd_notify(0, "READY=1");
        return 0;
}

/* The end */

static void end_if_idle(const struct service *service)
{
        if (service->is_stopping && !jobs_running(service->jobs))
                (void)sd_event_exit(service->event, EXIT_SUCCESS);
}

static void on_job_ended(void *context, const struct jobs_outcome *outcome)
{
        (void)outcome;
        end_if_idle(context);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
        struct service *service = context;

        (void)source;
        (void)info;
        (void)sd_notify(0, "STOPPING=1\nSTATUS=Ending");
        service->is_stopping = true;
        merger_stop(service->merger);
        jobs_stop(service->jobs);
        end_if_idle(service);
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

/* Each part learns of a job's end after those before it: the client gets its answer when all is kept. */
static int observe_jobs(struct service *service)
{
        const struct jobs_observer observers[] = {
                records_observer(service->records), domain_requests_observer(service->domains),
                merger_observer(service->merger),   control_commands_observer(service->commands),
                timers_observer(service->timers),   {.ended = on_job_ended, .context = service},
        };
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(observers) && r >= 0; i++)
                r = jobs_observe(service->jobs, &observers[i]);
        return r;
}

static int make_observers(struct service *service)
{
        struct jobs *jobs = service->jobs;
        int r = merger_new(service->event, jobs, metrics_merge_of(service->metrics), &service->merger);

        if (r >= 0)
                r = domain_requests_new(service->event, jobs, service->merger, &service->libvirt,
                                        &service->domains);
        if (r >= 0)
                r = control_commands_new(service->event, jobs, service->records, &service->commands);
        if (r >= 0)
                r = timers_new(service->event, jobs, service->metrics, &service->timers);
        return r < 0 ? r : observe_jobs(service);
}

/* The guest list comes first: the others ask it about guests, and it calls the records. */
static void on_guest_gone(void *context, const char *name)
{
        const struct service *service = context;

        records_guest_gone(service->records, name);
}

static int make_parts(struct service *service)
{
        int r = sd_event_new(&service->event);

        if (r >= 0)
                r = take_signals(service);
        if (r >= 0)
                r = sd_event_set_watchdog(service->event, true);
        if (r >= 0)
                r = metrics_new(SAMEPAGE_VERSION, &service->metrics);
        service->libvirt.metrics = service->metrics;
        if (r >= 0)
                r = guest_list_new(service->event, on_guest_gone, service, &service->guest_list);
        if (r >= 0)
                r = jobs_new(service->event, service->guest_list, &service->libvirt, &service->jobs);
        if (r >= 0)
                r = records_new(service->event, service->guest_list, service->metrics, &service->records);
        if (r >= 0)
                r = make_observers(service);
        if (r < 0)
                log_say(LOG_LEVEL_ERROR, "cannot start: %s", strerror(-r));
        return r;
}

static void free_parts(struct service *service)
{
        merger_free(service->merger);
        timers_free(service->timers);
        control_commands_free(service->commands);
        domain_requests_free(service->domains);
        jobs_free(service->jobs);
        records_free(service->records);
        guest_list_free(service->guest_list);
        metrics_free(service->metrics);
        options_free(service->config);
        sd_event_unref(service->event);
}

int service_run(const char *config_path, bool must_exist)
{
        struct service service = {.config_path = config_path, .must_exist = must_exist};
        struct options *config = NULL;
        int r = load_config(&service, &config);

        if (r >= 0)
                r = make_parts(&service);
        if (r >= 0)
                r = configure_parts(&service, TAKE_PTR(config));
        options_free(config);
        if (r >= 0) {
                /* Guests that an earlier service left paused are resumed before anything else. */
                jobs_resume_left_overs(service.jobs);
                (void)sd_notify(0, "READY=1\nSTATUS=Idle");
                log_say(LOG_LEVEL_INFO, "samepaged " SAMEPAGE_VERSION " is ready");
                r = sd_event_loop(service.event);
        }
        free_parts(&service);
        return r < 0 ? EXIT_FAILURE : r;
}
