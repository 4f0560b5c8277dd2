/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/log.h"
#include "daemon/schedule.h"
#include "daemon/service_state.h"
#include "merge/ksm/ksm_clock.h"
#include "qmp/pause/leasefile.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define PAUSED_USEC (USEC_PER_SEC / 2)
/* Between two attempts to resume what the dead left paused. */
#define RESUME_USEC (10 * USEC_PER_SEC)
/* Between two looks at how many passes KSM has completed. */
#define PASSES_USEC (60 * USEC_PER_SEC)
/* The kernel may wait so much longer to wake us. */
#define ACCURACY_USEC (USEC_PER_SEC / 4)

static uint64_t draw(void)
{
        uint64_t random = 0;

        (void)!getrandom(&random, sizeof(random), 0);
        return random;
}

static void arm(sd_event_source *source, uint64_t usec)
{
        if (usec == USEC_INFINITY) {
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time_relative(source, usec);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static bool has_scheduled_scan(const struct service *service)
{
        const struct task *tasks[QUEUE_MAX + 2];
        size_t n = queue_waiting(service->queue, tasks);

        if (queue_running(service->queue))
                tasks[n++] = queue_running(service->queue);
        for (size_t i = 0; i < n; i++)
                if (tasks[i]->request.origin == REQUEST_BY_SCHEDULE)
                        return true;
        return false;
}

static int on_schedule(sd_event_source *source, uint64_t usec, void *context)
{
        struct service *service = context;
        struct request request;

        (void)usec;
        if (config_is_quiet(service->config, time(NULL))) {
                arm(source, SCHEDULE_QUIET_USEC);
                return 0;
        }
        arm(source, schedule_next_usec(service->config, draw()));
        /* One that takes longer than the interval is not followed by a second one at once. */
        if (has_scheduled_scan(service))
                return 0;
        request_init(&request, REQUEST_SCAN, REQUEST_BY_SCHEDULE, service->config);
        service_request(service, &request);
        return 0;
}

void service_timers_begin(struct service *service)
{
        arm(service->schedule, schedule_first_usec(service->config, draw()));
}

/* How many lease files there are: one for each guest that is paused by us. */
static unsigned int count_leases(const struct service *service)
{
        CLEANUP_CLOSE int fd = -1;
        char **names = NULL;
        size_t n = 0;

        if (leasefile_open_folder(service->config->runtime_dir, false, &fd, NULL) < 0 ||
            leasefile_list(fd, &names, &n) < 0)
                return 0;
        for (size_t i = 0; i < n; i++)
                free(names[i]);
        free(names);
        return (unsigned int)n;
}

/* Whether somebody works who may have paused a guest: who waits for his second look has not. */
static bool is_pausing(const struct service *service)
{
        const struct task *running = queue_running(service->queue);

        return running && running->recheck_in_seconds == 0;
}

void service_timers_count_paused(struct service *service)
{
        const unsigned int n = count_leases(service);

        metrics_set_paused(service->metrics, n);
        /* Nobody works, and yet some are paused: a scan that died, or somebody's without the service. */
        if (n > 0 && !is_pausing(service) && clock_now_usec() - service->resumed_usec > RESUME_USEC)
                service_resume_left_overs(service);
        arm(service->paused, n > 0 || queue_running(service->queue) ? PAUSED_USEC : USEC_INFINITY);
}

static int on_paused(sd_event_source *source, uint64_t usec, void *context)
{
        (void)source;
        (void)usec;
        service_timers_count_paused(context);
        return 0;
}

static int on_passes(sd_event_source *source, uint64_t usec, void *context)
{
        const struct service *service = context;

        (void)usec;
        (void)ksm_clock_tick(service->config->runtime_dir, service->config->ksm_dir, NULL);
        arm(source, PASSES_USEC);
        return 0;
}

int service_timers_init(struct service *service)
{
        int r = sd_event_add_time_relative(service->event, &service->schedule, CLOCK_MONOTONIC, 0,
                                           ACCURACY_USEC, on_schedule, service);

        if (r >= 0)
                r = sd_event_add_time_relative(service->event, &service->paused, CLOCK_MONOTONIC, 0,
                                               ACCURACY_USEC, on_paused, service);
        if (r >= 0)
                r = sd_event_add_time_relative(service->event, &service->passes, CLOCK_MONOTONIC, 0,
                                               ACCURACY_USEC, on_passes, service);
        if (r < 0)
                return r;
        (void)sd_event_source_set_enabled(service->schedule, SD_EVENT_OFF);
        return 0;
}

void service_timers_deinit(struct service *service)
{
        service->schedule = sd_event_source_disable_unref(service->schedule);
        service->paused = sd_event_source_disable_unref(service->paused);
        service->passes = sd_event_source_disable_unref(service->passes);
}
