/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/timers.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/schedule.h"
#include "merge/ksm/ksm_clock.h"
#include "qmp/pause/leasefile.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define PAUSED_USEC (USEC_PER_SEC / 2)
/* Time between two attempts to resume guests that dead scans left paused. */
#define RESUME_USEC (10 * USEC_PER_SEC)
/* Time between two looks at how many passes KSM has completed. */
#define PASSES_USEC (60 * USEC_PER_SEC)
/* The kernel may wake us this much later. */
#define ACCURACY_USEC (USEC_PER_SEC / 4)

struct timers {
        const struct options *config; /* NULL before the first one */
        struct jobs *jobs;
        struct metrics *metrics;
        sd_event_source *schedule; /* the next scan */
        sd_event_source *passes;   /* counts KSM's passes */
        sd_event_source *paused;   /* counts paused guests, while there may be some */
};

static uint64_t draw_jitter(void)
{
        uint64_t random = 0;

        (void)!getrandom(&random, sizeof(random), 0);
        return random;
}

static void arm_timer(sd_event_source *source, uint64_t usec)
{
        if (usec == USEC_INFINITY) {
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time_relative(source, usec);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static bool has_scheduled_scan(const struct timers *timers)
{
        const struct task *tasks[QUEUE_MAX + 2];
        size_t n = jobs_waiting(timers->jobs, tasks);

        if (jobs_running(timers->jobs))
                tasks[n++] = jobs_running(timers->jobs);
        for (size_t i = 0; i < n; i++)
                if (tasks[i]->request.origin == REQUEST_BY_SCHEDULE)
                        return true;
        return false;
}

static int on_schedule(sd_event_source *source, uint64_t usec, void *context)
{
        struct timers *timers = context;
        struct request request;

        (void)usec;
        if (options_are_quiet(timers->config, time(NULL))) {
                arm_timer(source, SCHEDULE_QUIET_USEC);
                return 0;
        }
        arm_timer(source, schedule_next_usec(timers->config, draw_jitter()));
        /* A scan that takes longer than the interval is not followed by a second one at once. */
        if (has_scheduled_scan(timers))
                return 0;
        request_init(&request, REQUEST_SCAN, REQUEST_BY_SCHEDULE, timers->config);
        jobs_request(timers->jobs, &request);
        return 0;
}

/* The number of lease files: one for each guest that we paused. */
static unsigned int count_leases(const struct timers *timers)
{
        CLEANUP_CLOSE int fd = -1;
        char **names = NULL;
        size_t n = 0;

        if (leasefile_open_folder(timers->config->runtime_dir, false, &fd, NULL) < 0 ||
            leasefile_list(fd, &names, &n) < 0)
                return 0;
        for (size_t i = 0; i < n; i++)
                free(names[i]);
        free(names);
        return (unsigned int)n;
}

/* Whether a job runs that may have paused a guest. A job that waits for its second look has not. */
static bool may_have_paused(const struct timers *timers)
{
        const struct task *running = jobs_running(timers->jobs);

        return running && running->recheck_in_seconds == 0;
}

static void count_paused(struct timers *timers)
{
        const unsigned int n = count_leases(timers);

        metrics_set_paused(timers->metrics, n);
        /* No job runs, yet guests are paused: by a scan that died, or by one without the service. */
        if (n > 0 && !may_have_paused(timers) &&
            clock_now_usec() - jobs_resumed_usec(timers->jobs) > RESUME_USEC)
                jobs_resume_left_overs(timers->jobs);
        arm_timer(timers->paused, n > 0 || jobs_running(timers->jobs) ? PAUSED_USEC : USEC_INFINITY);
}

static int on_paused(sd_event_source *source, uint64_t usec, void *context)
{
        (void)source;
        (void)usec;
        count_paused(context);
        return 0;
}

static int on_passes(sd_event_source *source, uint64_t usec, void *context)
{
        const struct timers *timers = context;

        (void)usec;
        (void)ksm_clock_tick(timers->config->runtime_dir, timers->config->ksm_dir, NULL);
        arm_timer(source, PASSES_USEC);
        return 0;
}

/* An observer of jobs */

static void timers_on_begun(void *context, const struct task *task)
{
        (void)task;
        count_paused(context);
}

static void timers_on_ended(void *context, const struct jobs_outcome *outcome)
{
        (void)outcome;
        count_paused(context);
}

struct jobs_observer timers_observer(struct timers *timers)
{
        return (struct jobs_observer){.begun = timers_on_begun, .ended = timers_on_ended, .context = timers};
}

void timers_configure(struct timers *timers, const struct options *config)
{
        const struct options *old = timers->config;

        timers->config = config;
        if (!old || old->interval_usec != config->interval_usec || old->jitter_usec != config->jitter_usec)
                arm_timer(timers->schedule, schedule_first_usec(config, draw_jitter()));
        if (!old) {
                arm_timer(timers->paused, 0);
                arm_timer(timers->passes, 0);
        }
}

static int add_source(sd_event *event, sd_event_time_handler_t handler, struct timers *timers,
                      sd_event_source **ret)
{
        const int r =
                sd_event_add_time_relative(event, ret, CLOCK_MONOTONIC, 0, ACCURACY_USEC, handler, timers);

        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int timers_new(sd_event *event, struct jobs *jobs, struct metrics *metrics, struct timers **ret)
{
        struct timers *timers = calloc(1, sizeof(*timers));
        int r = 0;

        if (!timers)
                return -ENOMEM;
        timers->jobs = jobs;
        timers->metrics = metrics;
        r = add_source(event, on_schedule, timers, &timers->schedule);
        if (r >= 0)
                r = add_source(event, on_paused, timers, &timers->paused);
        if (r >= 0)
                r = add_source(event, on_passes, timers, &timers->passes);
        if (r < 0) {
                timers_free(timers);
                return r;
        }
        *ret = timers;
        return 0;
}

struct timers *timers_free(struct timers *timers)
{
        if (!timers)
                return NULL;
        sd_event_source_disable_unref(timers->schedule);
        sd_event_source_disable_unref(timers->paused);
        sd_event_source_disable_unref(timers->passes);
        free(timers);
        return NULL;
}
