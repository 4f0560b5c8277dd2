/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy "act": merge/loop.c decides, this file carries out.
 *
 *      tuning    a job: a scan in the mode live with forecast and plan, which marks guests (job/merge_act.c)
 *      writing   KSM's settings, when the plan has come, by ksm_settings_write(); its only other caller is
 *                a person's "samepage tune"
 *      sampling  a process that looks at some thousand pages every few seconds (job/sampler.c)
 *
 * When the settings turn out not to be ours alone (another program changed one, another tuner runs), the
 * acting ends until the configuration is read again, and the settings found at the start are put back.
 */
#include "daemon/merger.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/log.h"
#include "daemon/worker.h"
#include "merge/ksm/ksm.h"
#include "merge/ksm/ksm_settings.h"
#include "merge/ksm/ksmd.h"
#include "merge/loop.h"
#include "merge/plan.h"
#include "pages/page.h"
#include "report/sampler_lines.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP_USEC USEC_PER_SEC
/* Time between two searches for another tuner. */
#define RIVAL_USEC (UINT64_C(30) * USEC_PER_SEC)

struct merger {
        sd_event *event;
        const struct options *config;    /* NULL before the first one */
        struct ksm_settings_place place; /* of @config */
        struct jobs *jobs;
        struct metrics_merge *metrics;
        struct ksm_settings_owner owner; /* this process */
        sd_event_source *step;
        sd_event_source *stranger_turn; /* for what the sampler reported: its callback must not free it */
        struct failure stranger;
        struct worker *sampler;
        struct loop loop;
        uint64_t tuning;  /* the job that waits or runs; 0: none */
        uint64_t sockets; /* sum over the sockets' names and inodes */
        uint64_t rival_usec;
        struct ksm_progress progress;
};

static void carry_out(struct merger *merger, unsigned int actions, struct report *report);

static struct loop_look look_at_ksm(struct merger *merger)
{
        /* A figure that cannot be read keeps its old value. */
        (void)ksm_read_progress(merger->config->ksm_dir, &merger->progress);
        return (struct loop_look){
                .now_usec = clock_now_usec(),
                .full_scans = merger->progress.full_scans,
                .merged_pages = merger->progress.merged_pages,
                .is_sampling = merger->sampler != NULL,
        };
}

/* KSM's settings */

/* Settings that a person changed with samepage(1) stay. */
static void put_back(struct merger *merger)
{
        struct failure failure = {0};
        size_t n = 0;

        if (!ksm_settings_owner_is(&merger->place, &merger->owner))
                return;
        if (ksm_settings_restore(&merger->place, &n, &failure) < 0)
                log_say(LOG_LEVEL_ERROR, "KSM's settings could not be put back: %s", failure.text);
        else if (n > 0)
                log_say(LOG_LEVEL_NOTICE, "KSM's settings are as they were found");
}

/* Logs why the loop, which already knows, did not go on. */
static void log_refusal(struct merger *merger, const struct failure *failure)
{
        log_say(LOG_LEVEL_WARNING, "merging: %s%s", failure->text,
                merger->loop.has_given_up ? "; nothing more is done until the configuration is read again"
                                          : "");
        merger->metrics->n_refused += merger->loop.has_given_up;
}

static void give_up(struct merger *merger, const struct failure *failure)
{
        const unsigned int actions = loop_give_up(&merger->loop);

        log_refusal(merger, failure);
        carry_out(merger, actions, NULL);
}

/* Writes the settings of the loop's speed; the switches were set with the plan. */
static void write_speed(struct merger *merger)
{
        const struct plan_rules rules = {.pinned = -1};
        const struct plan_rate rate = plan_rate_of_cpu(merger->config->merging.cpu_percent,
                                                       ksmd_page_seconds(merger->progress.pages_scanned));
        const struct ksm_settings settings =
                plan_settings(&rules, NULL, merger->loop.pace.speed == PACE_FAST ? &rate : NULL);
        struct failure failure = {0};

        if (ksm_settings_write(&merger->place, &merger->owner, &settings, &failure) < 0)
                give_up(merger, &failure);
}

/* Settings of a person stay. Settings of a dead service are put back by whoever comes next. */
static void stop_ksm(struct merger *merger)
{
        struct ksm_settings_owner owner = {0};

        if (ksm_settings_owner_read(&merger->place, &owner) == 0 &&
            !ksm_settings_owner_is(&merger->place, &merger->owner))
                return;
        if (ksm_is_running(merger->place.ksm_dir))
                write_speed(merger);
}

/* The guests are marked and kept apart by now. Return: whether KSM follows the plan. */
static bool write_plan(struct merger *merger, struct report_merge *plan)
{
        struct ksm_settings settings = plan->settings;
        unsigned int actions = 0;

        /* Where there is nothing to gain KSM is not even switched on. */
        if (merger->loop.pace.speed == PACE_STOPPED)
                ksm_settings_add(&settings, "run", 0);
        plan->is_done = ksm_settings_write(&merger->place, &merger->owner, &settings, &plan->refusal) == 0;
        if (plan->is_done)
                return true;
        actions = loop_refused(&merger->loop);
        log_refusal(merger, &plan->refusal);
        carry_out(merger, actions, NULL);
        return false;
}

/* Jobs */

static int add_forecast(struct merger *merger, bool acts, uint64_t *ret_id, struct failure *failure)
{
        struct request request;

        request_init(&request, REQUEST_SCAN, REQUEST_BY_SERVICE, merger->config);
        request.mode = SCAN_MODE_LIVE;
        request.forecast = true;
        request.acts = acts;
        request.recheck_usec = 0; /* a second look would close its connections */
        return jobs_add(merger->jobs, &request, NULL, ret_id, failure);
}

static void add_tuning_job(struct merger *merger)
{
        struct failure failure = {0};

        if (add_forecast(merger, true, &merger->tuning, &failure) == 0)
                return;
        log_say(LOG_LEVEL_WARNING, "merging: a scan is left out: %s", failure.text);
        /* The loop asks again, as after a tuning without result. */
        merger->loop.is_tuning = false;
}

/* Arrivals */

static uint64_t add_up(const char *path)
{
        uint64_t sum = 5381;
        struct stat status = {0};

        for (const char *c = path; *c; c++)
                sum = sum * 33 + (unsigned char)*c;
        return stat(path, &status) < 0 ? 0
                                       : sum * UINT64_C(0x9e3779b97f4a7c15) + status.st_ino * 31 +
                                                 (uint64_t)status.st_ctim.tv_nsec;
}

static uint64_t add_up_sockets(const struct options *config)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < config->guests.qmp_sockets.n; i++) {
                glob_t found = {0};

                if (glob(config->guests.qmp_sockets.words[i], GLOB_NOSORT, NULL, &found) == 0)
                        for (size_t j = 0; j < found.gl_pathc; j++)
                                sum += add_up(found.gl_pathv[j]);
                globfree(&found);
        }
        return sum;
}

void merger_arrived(struct merger *merger)
{
        carry_out(merger, loop_arrived(&merger->loop, clock_now_usec()), NULL);
}

static void look_for_arrivals(struct merger *merger)
{
        const uint64_t sockets = add_up_sockets(merger->config);

        if (sockets == merger->sockets)
                return;
        merger->sockets = sockets;
        merger_arrived(merger);
}

/* Sampling */

/* A stranger means that the plan no longer holds. */
static int on_stranger(sd_event_source *source, void *context)
{
        struct merger *merger = context;
        const unsigned int actions = loop_met_stranger(&merger->loop, clock_now_usec());

        (void)source;
        if (actions)
                log_say(LOG_LEVEL_NOTICE, "merging: KSM stands still until there is another plan: %s",
                        merger->stranger.text);
        carry_out(merger, actions, NULL);
        return 0;
}

static void on_sample(void *context, const char *event, struct json_object *data)
{
        struct merger *merger = context;

        if (strcmp(event, SAMPLER_STRANGER_EVENT) == 0) {
                const char *sentence = json_get_text(data, "desc");

                (void)failure_set(&merger->stranger, 0, "%s", sentence ? sentence : "?");
                (void)sd_event_source_set_enabled(merger->stranger_turn, SD_EVENT_ONESHOT);
        } else if (strcmp(event, SAMPLER_EVENT) == 0) {
                const struct pace_sample sample = sampler_parse(data);

                loop_sampled(&merger->loop, &sample);
        }
}

static void on_sampler_end(void *context, const struct failure *failure)
{
        struct merger *merger = context;

        log_say(LOG_LEVEL_WARNING, "merging: the sampling ended: %s", failure->text);
        carry_out(merger, loop_lost_sampling(&merger->loop), NULL);
}

/* QEMUs of the merged guests, or of the others, for free(); NULL when out of memory. */
static pid_t *list_pids(const struct report *report, bool is_chosen, size_t *ret_n)
{
        pid_t *pids = calloc(report->n_guests + 1, sizeof(*pids));
        size_t n = 0;

        for (size_t i = 0; pids && i < report->n_guests; i++)
                if (report->merge->guests[i].is_chosen == is_chosen && report->guests[i].pid > 0)
                        pids[n++] = report->guests[i].pid;
        *ret_n = n;
        return pids;
}

static void start_sampling(struct merger *merger, const struct report *report)
{
        const struct worker_observer observer = {on_sample, on_sampler_end, merger};
        size_t n = 0;
        size_t n_others = 0;
        CLEANUP_FREE pid_t *pids = list_pids(report, true, &n);
        /* Where all may share with all, no guest has to stay apart. */
        CLEANUP_FREE pid_t *others =
                merger->config->merging.cross_group ? NULL : list_pids(report, false, &n_others);
        char program[] = SAMPLER_PROGRAM;
        char *const arguments[] = {program, NULL};
        struct json_object *line = NULL;
        struct failure failure = {0};

        if (!merger->sampler &&
            worker_start(merger->event, arguments, &observer, &merger->sampler, &failure) < 0) {
                log_say(LOG_LEVEL_WARNING, "merging: no sampling: %s", failure.text);
                return;
        }
        line = sampler_line(pids, n, others, n_others);
        if (worker_send(merger->sampler, line) < 0)
                merger->sampler = worker_free(merger->sampler);
        json_object_put(line);
}

/* Does what the loop asks for; @report of the tuning that just ended, or NULL. */
static void carry_out(struct merger *merger, unsigned int actions, struct report *report)
{
        if (actions & LOOP_CANCEL)
                (void)jobs_cancel(merger->jobs, merger->tuning);
        if (actions & LOOP_TUNE)
                add_tuning_job(merger);
        /* Another forecast shows the outcome of the last one, to history and metrics. */
        if (actions & LOOP_COMPARE)
                (void)add_forecast(merger, false, NULL, NULL);
        if (actions & LOOP_END_SAMPLING)
                merger->sampler = worker_free(merger->sampler);
        if (actions & LOOP_PUT_BACK)
                put_back(merger);
        if (actions & LOOP_STOP)
                stop_ksm(merger);
        if (actions & LOOP_WRITE_SPEED)
                write_speed(merger);
        if (report && (actions & LOOP_WRITE_PLAN) && write_plan(merger, report->merge))
                start_sampling(merger, report);
}

/* What a tuning came to */

static enum loop_plan judge_plan(const struct report_merge *plan)
{
        if (!plan || !plan->acts)
                return LOOP_PLAN_NONE;
        if (!plan->refusal.text[0])
                return LOOP_PLAN_READY;
        return plan->may_pass ? LOOP_PLAN_NONE : LOOP_PLAN_REFUSED;
}

/* Guests that could not be marked are left out; the others are merged. */
static void complain_of_guests(const struct report *report)
{
        for (size_t i = 0; i < report->n_guests; i++)
                if (report->merge->guests[i].failure.text[0])
                        log_say(LOG_LEVEL_WARNING, "merging: guest %s: %s", report->guests[i].name,
                                report->merge->guests[i].failure.text);
}

static void take_plan(struct merger *merger, struct report *report)
{
        struct report_merge *plan = report->merge;
        size_t n_pids = 0;
        CLEANUP_FREE pid_t *pids = list_pids(report, true, &n_pids);
        const struct loop_look now = look_at_ksm(merger);
        const struct loop_tuning tuning = {
                .plan = judge_plan(plan),
                .is_complete = report->complete,
                .duration_usec = (uint64_t)(report->duration_seconds * USEC_PER_SEC),
                .sharable = plan->mergeable_bytes > 0
                                    ? (double)plan->sharable_bytes / (double)plan->mergeable_bytes
                                    : -1,
                .scanned_pages = plan->scanned_bytes / (int64_t)PAGE_BYTES,
                .pids = pids,
                .n_pids = n_pids,
        };
        const bool is_open = loop_is_open(&merger->loop);
        const unsigned int actions = loop_tuned(&merger->loop, &now, &tuning);

        if (is_open && plan->refusal.text[0] && !(actions & LOOP_TUNE)) {
                log_refusal(merger, &plan->refusal);
        } else if (tuning.plan == LOOP_PLAN_READY && !(actions & LOOP_WRITE_PLAN)) {
                plan->may_pass = true;
                (void)failure_set(
                        &plan->refusal, 0,
                        "guests or the configuration changed meanwhile: there will be another plan");
        }
        carry_out(merger, actions, report);
}

/* Once a second */

static bool is_disturbed(struct merger *merger, struct failure *failure)
{
        const uint64_t now_usec = clock_now_usec();

        if (!ksm_settings_owner_is(&merger->place, &merger->owner)) {
                (void)failure_set(failure, -EBUSY,
                                  "somebody else has undone or taken over what samepaged set");
                return true;
        }
        if (ksm_settings_check(&merger->place, failure) < 0)
                return true;
        if (now_usec - merger->rival_usec < RIVAL_USEC)
                return false;
        merger->rival_usec = now_usec;
        return ksmd_find_rival(failure);
}

static void export_metrics(const struct merger *merger)
{
        struct metrics_merge *metrics = merger->metrics;
        const struct loop *loop = &merger->loop;
        const double seconds = ksmd_cpu_seconds();

        metrics->acts = loop->acts;
        metrics->is_fast = loop->pace.speed == PACE_FAST;
        metrics->gap = loop->acts ? loop->pace.gap : -1;
        metrics->gap_error = loop->pace.gap_error;
        metrics->ksmd_usec = seconds > 0 ? (uint64_t)(seconds * USEC_PER_SEC) : 0;
}

static void step_loop(struct merger *merger)
{
        struct failure failure = {0};
        struct loop_look now = {0};

        look_for_arrivals(merger);
        if (loop_is_pacing(&merger->loop) && is_disturbed(merger, &failure))
                give_up(merger, &failure);
        now = look_at_ksm(merger);
        carry_out(merger, loop_step(&merger->loop, &now), NULL);
}

static int on_step(sd_event_source *source, uint64_t usec, void *context)
{
        struct merger *merger = context;
        const bool is_open = loop_is_open(&merger->loop);

        (void)usec;
        if (is_open)
                step_loop(merger);
        export_metrics(merger);
        (void)sd_event_source_set_time_relative(source, STEP_USEC);
        (void)sd_event_source_set_enabled(source, is_open ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
        return 0;
}

/* An observer of jobs */

static bool is_tuning(const struct merger *merger, const struct task *task)
{
        return task->request.acts && task->id == merger->tuning;
}

static void merger_on_reported(void *context, const struct task *task, struct report *report)
{
        struct merger *merger = context;

        if (!is_tuning(merger, task) || !report->merge)
                return;
        /* Look again right before: a guest that came meanwhile is in no plan. */
        look_for_arrivals(merger);
        merger->tuning = 0;
        complain_of_guests(report);
        take_plan(merger, report);
}

static void merger_on_ended(void *context, const struct jobs_outcome *outcome)
{
        struct merger *merger = context;
        const struct loop_tuning tuning = {
                .plan = LOOP_PLAN_NONE,
                .is_complete = outcome->report && outcome->report->complete,
        };
        struct loop_look now = {0};

        if (!is_tuning(merger, outcome->task))
                return;
        merger->tuning = 0;
        now = look_at_ksm(merger);
        carry_out(merger, loop_tuned(&merger->loop, &now, &tuning), NULL);
}

struct jobs_observer merger_observer(struct merger *merger)
{
        return (struct jobs_observer){
                .reported = merger_on_reported, .ended = merger_on_ended, .context = merger};
}

/* Life */

void merger_configure(struct merger *merger, const struct options *config)
{
        const struct loop_rules rules = {
                .is_wanted = config->merge_policy == MERGING_POLICY_ACT,
                .cross_group = config->merging.cross_group,
        };

        merger->config = config;
        merger->place = (struct ksm_settings_place){config->ksm_dir, config->runtime_dir};
        merger->sockets = add_up_sockets(config);
        carry_out(merger, loop_begin(&merger->loop, &rules, clock_now_usec()), NULL);
        if (!rules.is_wanted)
                return;
        (void)sd_event_source_set_time_relative(merger->step, STEP_USEC);
        (void)sd_event_source_set_enabled(merger->step, SD_EVENT_ONESHOT);
}

void merger_stop(struct merger *merger)
{
        carry_out(merger, loop_end(&merger->loop), NULL);
}

int merger_new(sd_event *event, struct jobs *jobs, struct metrics_merge *metrics, struct merger **ret)
{
        struct merger *merger = calloc(1, sizeof(*merger));
        int r = 0;

        if (!merger)
                return -ENOMEM;
        *merger = (struct merger){
                .event = event, .jobs = jobs, .metrics = metrics, .owner = ksm_settings_owner_of(getpid())};
        r = sd_event_add_time_relative(event, &merger->step, CLOCK_MONOTONIC, 0, 0, on_step, merger);
        if (r >= 0)
                r = sd_event_source_set_enabled(merger->step, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &merger->stranger_turn, on_stranger, merger);
        if (r >= 0)
                r = sd_event_source_set_enabled(merger->stranger_turn, SD_EVENT_OFF);
        if (r < 0) {
                merger_free(merger);
                return r;
        }
        *ret = merger;
        return 0;
}

struct merger *merger_free(struct merger *merger)
{
        if (!merger)
                return NULL;
        if (merger->config)
                merger_stop(merger);
        sd_event_source_disable_unref(merger->step);
        sd_event_source_disable_unref(merger->stranger_turn);
        loop_deinit(&merger->loop);
        free(merger);
        return NULL;
}
