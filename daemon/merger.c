/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy "act": the closed loop around KSM.
 *
 *      tuning    a scan in the mode live that pauses nobody, with forecast and plan, which carries the plan out: at the
 *                start, when guests come, when a sample says that their content is another, and when the configuration was
 *                read again
 *      sampling  a process looks at some thousand pages every few seconds (sampler.c)
 *      pace      once a second it is decided how fast KSM goes (merge/pace.c), and that is written
 *
 * While guests of different groups are kept apart, KSM stands still until there is a plan of all who are there: when a new
 * one has come (a QEMU marks its RAM when it starts, and KSM would merge it with whoever is marked), when somebody is found
 * marked whom the plan does not know (apart.c), and where no plan can be carried out.
 *
 * Whatever says that the settings are not ours alone (somebody else changed one, another tuner runs) ends the acting until
 * the configuration is read again; what was found is put back.
 */
#include "daemon/merger.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/process.h"
#include "daemon/log.h"
#include "daemon/worker.h"
#include "merge/ksm/ksmd.h"
#include "merge/pace.h"
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
/* A guest that has come fills its memory; what it does later the samples show. */
#define ARRIVAL_USEC (UINT64_C(5) * USEC_PER_SEC)
/* Between two scans that a sample asks for: a guest that changes all the time is not scanned all the time, and scanning takes
 * one part in so many of the time. */
#define TUNE_GAP_USEC  (UINT64_C(20) * USEC_PER_SEC)
#define TUNE_GAP_SCANS 100
/* Between two looks for another tuner. */
#define RIVAL_USEC (UINT64_C(30) * USEC_PER_SEC)
/* Where nothing is worth while, or a scan failed, it is looked again after so long. */
#define RETRY_USEC (UINT64_C(600) * USEC_PER_SEC)
/* Where a guest could not be scanned: it may just be starting, or migrate. */
#define RETRY_SOON_USEC (UINT64_C(10) * USEC_PER_SEC)

struct merger {
        sd_event *event;
        const struct config *config;
        struct jobs *jobs;
        struct metrics_merge *metrics;
        sd_event_source *step;
        struct worker *sampler;
        struct pace pace;
        struct pace_facts facts;
        bool acts;       /* KSM runs, or stands still, as we say */
        uint64_t tuning; /* the scan for it that waits or runs; 0: none does */
        pid_t *pids;     /* QEMUs of the guests that are merged */
        size_t n_pids;
        bool is_outdated;  /* the scan that runs may not know who has come */
        bool begins_again; /* it was made by a configuration that is not in force any more */
        uint64_t sockets;  /* what the sockets' names and inodes add up to */
        uint64_t tuned_usec;
        uint64_t tune_gap_usec;
        uint64_t retry_usec;
        uint64_t soon_usec;     /* after how long it was last looked again soon; 0: all was well since */
        uint64_t compared_usec; /* when what had come was last looked at */
        bool is_complete;       /* the last scan knew all guests */
        uint64_t rival_usec;
        struct failure refusal; /* why nothing is done any more */
};

static struct apply_place place_of(const struct merger *merger)
{
        return (struct apply_place){merger->config->ksm_dir, merger->config->runtime_dir};
}

static bool is_wanted(const struct merger *merger)
{
        return merger->config->merge_policy == MERGING_POLICY_ACT && !jobs_is_stopped(merger->jobs);
}

static struct apply_owner myself(void)
{
        struct process process = {0};

        (void)process_identify(getpid(), &process);
        return (struct apply_owner){(int)process.pid, process.start_ticks};
}

/* Whether the note of what was found is this process's. */
static bool is_mine(const struct apply_place *place)
{
        const struct apply_owner me = myself();
        struct apply_owner owner = {0};

        return apply_owner_read(place, &owner) == 0 && owner.pid == me.pid &&
               owner.start_ticks == me.start_ticks;
}

/* What a person has changed with samepage(1) is his. */
static void put_back(struct merger *merger)
{
        const struct apply_place place = place_of(merger);
        struct failure failure = {0};
        size_t n = 0;

        if (!is_mine(&place))
                return;
        if (apply_restore(&place, &n, &failure) < 0)
                log_say(LOG_LEVEL_ERROR, "KSM's settings could not be put back: %s", failure.text);
        else if (n > 0)
                log_say(LOG_LEVEL_NOTICE, "KSM's settings are as they were found");
}

static void stop_sampling(struct merger *merger)
{
        merger->sampler = worker_free(merger->sampler);
        merger->facts.sample = (struct pace_sample){0};
}

/* Gives up, until the configuration is read again. */
static void back_off(struct merger *merger, const struct failure *failure)
{

        log_say(LOG_LEVEL_WARNING, "merging: %s; nothing more is done until the configuration is read again",
                failure->text);
        merger->refusal = *failure;
        merger->acts = false;
        merger->n_pids = 0;
        stop_sampling(merger);
        put_back(merger);
        merger->metrics->n_refused++;
}

/* Writes what a speed means. */
static void set_speed(struct merger *merger, enum pace_speed speed)
{
        const struct apply_place place = place_of(merger);
        const struct apply_owner owner = myself();
        const struct plan_rules rules = {.pinned = -1}; /* the switches were set by the tuning */
        struct apply_settings settings;
        struct failure failure = {0};
        struct plan_rate rate;
        struct ksm ksm;

        if (ksm_read(place.ksm_dir, &ksm) < 0)
                return;
        rate = plan_rate_of_cpu(merger->config->merging.cpu_percent, ksmd_page_seconds(&ksm));
        settings = plan_settings(&rules, &ksm, speed == PACE_FAST ? &rate : NULL);
        if (apply_settings_write(&place, &owner, &settings, &failure) < 0)
                back_off(merger, &failure);
}

static void request_tuning(struct merger *merger)
{
        struct failure failure = {0};
        struct request request;

        if (merger->tuning || !is_wanted(merger) || merger->refusal.text[0])
                return;
        request_init(&request, REQUEST_SCAN, REQUEST_BY_SERVICE, merger->config);
        request.mode = SCAN_MODE_LIVE;
        request.forecast = true;
        request.acts = true;
        request.recheck_usec = 0; /* it keeps its connections */
        merger->tuned_usec = clock_now_usec();
        if (jobs_add(merger->jobs, &request, NULL, &merger->tuning, &failure) < 0)
                log_say(LOG_LEVEL_WARNING, "merging: a scan is left out: %s", failure.text);
}

/* Looks at what has come of the forecast: for the history, and for metrics. */
static void request_comparison(struct merger *merger)
{
        struct request request;

        request_init(&request, REQUEST_SCAN, REQUEST_BY_SERVICE, merger->config);
        request.mode = SCAN_MODE_LIVE;
        request.forecast = true;
        request.recheck_usec = 0;
        merger->pace.has_gained = false;
        merger->compared_usec = merger->facts.now_usec;
        (void)jobs_add(merger->jobs, &request, NULL, NULL, NULL);
}

/* Nobody shares with anybody new until there is another plan. */
static void stop_for_now(struct merger *merger)
{
        const struct apply_place place = place_of(merger);
        struct apply_owner owner = {0};

        /* What a person has set is his. */
        if (merger->config->merging.cross_group ||
            (apply_owner_read(&place, &owner) == 0 && !is_mine(&place)))
                return;
        merger->pace.speed = PACE_STOPPED;
        if (ksm_is_running(merger->config->ksm_dir))
                set_speed(merger, PACE_STOPPED);
}

/* Longer each time: what does not pass is no reason to scan all the time. */
static void retry_soon(struct merger *merger)
{
        merger->soon_usec = merger->soon_usec == 0               ? RETRY_SOON_USEC
                            : merger->soon_usec * 2 < RETRY_USEC ? merger->soon_usec * 2
                                                                 : RETRY_USEC;
        merger->retry_usec = merger->soon_usec;
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

static uint64_t add_up_sockets(const struct config *config)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < config->qmp_sockets.n; i++) {
                glob_t found = {0};

                if (glob(config->qmp_sockets.words[i], GLOB_NOSORT, NULL, &found) == 0)
                        for (size_t j = 0; j < found.gl_pathc; j++)
                                sum += add_up(found.gl_pathv[j]);
                globfree(&found);
        }
        return sum;
}

void merger_arrived(struct merger *merger)
{

        if (!is_wanted(merger) || merger->refusal.text[0])
                return;
        merger->is_outdated = merger->tuning > 0;
        stop_for_now(merger);
        request_tuning(merger);
}

/* Somebody came while the scan ran: what it switched on stands still until the next one. */
static bool is_too_late(struct merger *merger)
{

        if (!merger->is_outdated)
                return false;
        merger->is_outdated = false;
        stop_for_now(merger);
        request_tuning(merger);
        return !merger->config->merging.cross_group;
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

/* The plan does not hold any more. */
static void take_stranger(struct merger *merger, struct json_object *data)
{
        const char *sentence = json_get_text(data, "desc");

        if (!merger->acts || merger->tuning)
                return;
        log_say(LOG_LEVEL_NOTICE, "merging: KSM stands still until there is another plan: %s",
                sentence ? sentence : "?");
        stop_for_now(merger);
        /* The next plan's are all new: it begins from the start. */
        merger->n_pids = 0;
        request_tuning(merger);
}

static void take_sample(struct merger *merger, struct json_object *data)
{
        const uint64_t number = merger->facts.sample.number;

        merger->facts.sample = sampler_parse(data);
        merger->facts.sample.number = number + 1;
        if (merger->is_complete)
                merger->soon_usec = 0;
}

static void on_sample(void *context, const char *event, struct json_object *data)
{
        struct merger *merger = context;

        if (strcmp(event, SAMPLER_STRANGER_EVENT) == 0)
                take_stranger(merger, data);
        else if (strcmp(event, SAMPLER_EVENT) == 0)
                take_sample(merger, data);
}

static void on_sampler_end(void *context, const struct failure *failure)
{
        struct merger *merger = context;

        /* The next tuning starts another one. */
        retry_soon(merger);
        log_say(LOG_LEVEL_WARNING, "merging: the sampling ended: %s", failure->text);
        stop_sampling(merger);
}

/* Takes over whose QEMUs are merged now. Return: whether one is among them that was not before. */
static bool take_pids(struct merger *merger, const struct report *report)
{
        pid_t *pids = calloc(report->n_guests + 1, sizeof(*pids));
        bool has_new = false;
        size_t n = 0;

        for (size_t i = 0; pids && i < report->n_guests; i++) {
                bool is_known = false;

                if (!report->merge->guests[i].is_chosen)
                        continue;
                for (size_t j = 0; j < merger->n_pids; j++)
                        is_known = is_known || merger->pids[j] == report->guests[i].pid;
                has_new = has_new || !is_known;
                pids[n++] = report->guests[i].pid;
        }
        free(merger->pids);
        merger->pids = pids;
        merger->n_pids = n;
        return has_new;
}

/* QEMUs of the guests that must not share with those that are merged; NULL where everybody may. For free(). */
static pid_t *list_others(const struct merger *merger, const struct report *report, size_t *ret_n)
{
        pid_t *pids =
                merger->config->merging.cross_group ? NULL : calloc(report->n_guests + 1, sizeof(*pids));
        size_t n = 0;

        for (size_t i = 0; pids && i < report->n_guests; i++)
                if (!report->merge->guests[i].is_chosen && report->guests[i].pid > 0)
                        pids[n++] = report->guests[i].pid;
        *ret_n = n;
        return pids;
}

static void start_sampling(struct merger *merger, const struct report *report)
{
        size_t n_others = 0;
        CLEANUP_FREE pid_t *others = list_others(merger, report, &n_others);
        const struct worker_observer observer = {on_sample, on_sampler_end, merger};
        char program[] = SAMPLER_PROGRAM;
        char *const arguments[] = {program, NULL};
        struct json_object *line = NULL;
        struct failure failure = {0};

        merger->facts.sample = (struct pace_sample){0};
        if (!merger->sampler &&
            worker_start(merger->event, arguments, &observer, &merger->sampler, &failure) < 0) {
                log_say(LOG_LEVEL_WARNING, "merging: no sampling: %s", failure.text);
                return;
        }
        line = sampler_line(merger->pids, merger->n_pids, others, n_others);
        if (worker_send(merger->sampler, line) < 0)
                stop_sampling(merger);
        json_object_put(line);
}

/* What the tuning found */

/* How far KSM is. */
static void observe(struct merger *merger, struct pace_facts *facts)
{
        int64_t shared = 0;
        int64_t sharing = 0;
        int64_t zero = 0;
        struct ksm ksm;

        facts->now_usec = clock_now_usec();
        if (ksm_read(merger->config->ksm_dir, &ksm) < 0)
                return;
        (void)ksm_get(&ksm, "full_scans", &facts->full_scans);
        (void)ksm_get(&ksm, "pages_shared", &shared);
        (void)ksm_get(&ksm, "pages_sharing", &sharing);
        (void)ksm_get(&ksm, "ksm_zero_pages", &zero);
        facts->merged_pages = shared + sharing + zero;
}

static void begin_acting(struct merger *merger, const struct report *report)
{
        const int64_t mergeable = report->merge->mergeable_bytes;
        /* At the start nobody has just come. */
        const uint64_t hold_usec = merger->n_pids > 0 ? ARRIVAL_USEC : 0;

        merger->acts = true;
        merger->tune_gap_usec = (uint64_t)(report->duration_seconds * USEC_PER_SEC) * TUNE_GAP_SCANS;
        if (merger->tune_gap_usec < TUNE_GAP_USEC)
                merger->tune_gap_usec = TUNE_GAP_USEC;
        merger->facts.sharable =
                mergeable > 0 ? (double)report->merge->sharable_bytes / (double)mergeable : -1;
        merger->facts.scanned_pages = report->merge->scanned_bytes / (int64_t)PAGE_BYTES;
        observe(merger, &merger->facts);
        pace_scanned(&merger->pace);
        /* The tuning has switched KSM on, which need not be: whether a gap has opened the samples will say. */
        if (take_pids(merger, report))
                pace_kick(&merger->pace, &merger->facts, hold_usec);
        else if (merger->pace.speed != PACE_FAST)
                set_speed(merger, PACE_STOPPED);
        /* Unless somebody else had changed a setting just then. */
        if (merger->acts)
                start_sampling(merger, report);
}

/* Guests that could not be marked are left out; the others are merged. */
static void complain(const struct report *report)
{
        for (size_t i = 0; i < report->n_guests; i++)
                if (report->merge->guests[i].failure.text[0])
                        log_say(LOG_LEVEL_WARNING, "merging: guest %s: %s", report->guests[i].name,
                                report->merge->guests[i].failure.text);
}

/*
 * Nothing that is worth while, no report, or somebody who might be marked and must not share: nobody merges for now. Where
 * everybody may share, KSM is as it was found.
 */
static void stand_still(struct merger *merger)
{

        merger->acts = false;
        merger->n_pids = 0;
        merger->pace.speed = PACE_STOPPED;
        stop_sampling(merger);
        if (merger->config->merging.cross_group)
                put_back(merger);
        else
                stop_for_now(merger);
}

/* Whether the report is of a plan that was carried out; says why not. */
static bool is_carried_out(struct merger *merger, const struct report *report)
{
        const struct report_merge *plan = report ? report->merge : NULL;

        if (!plan)
                return false;
        complain(report);
        if (plan->acts && plan->is_done)
                return true;
        if (!plan->refusal.text[0])
                return false;
        if (!plan->acts || plan->may_pass || !merger->is_complete)
                log_say(LOG_LEVEL_WARNING, "merging: %s", plan->refusal.text);
        else
                back_off(merger, &plan->refusal);
        return false;
}

static void end(struct merger *merger)
{

        stop_sampling(merger);
        put_back(merger);
        merger->acts = false;
        merger->n_pids = 0;
        merger->pace.speed = PACE_STOPPED;
}

static void begin(struct merger *merger)
{

        merger->refusal = (struct failure){0};
        /* One that was begun by the old rules comes to nothing, and what it changed is put back at its end. */
        if (merger->tuning) {
                merger->begins_again = is_wanted(merger);
                (void)jobs_cancel(merger->jobs, merger->tuning);
                if (!merger->begins_again)
                        end(merger);
                return;
        }
        end(merger);
        pace_init(&merger->pace);
        if (!is_wanted(merger))
                return;
        merger->sockets = add_up_sockets(merger->config);
        request_tuning(merger);
        (void)sd_event_source_set_time_relative(merger->step, STEP_USEC);
        (void)sd_event_source_set_enabled(merger->step, SD_EVENT_ONESHOT);
}

static void take_tuning(struct merger *merger, const struct task *task, const struct report *report)
{
        const bool begins_again = merger->begins_again;

        if (task->id != merger->tuning)
                return;
        merger->tuning = 0;
        merger->begins_again = false;
        if (!is_wanted(merger) || merger->refusal.text[0]) {
                put_back(merger);
                return;
        }
        if (begins_again) {
                begin(merger);
                return;
        }
        merger->is_complete = report && report->complete;
        merger->retry_usec = RETRY_USEC;
        if (!merger->is_complete)
                retry_soon(merger);
        if (is_too_late(merger))
                return;
        if (is_carried_out(merger, report))
                begin_acting(merger, report);
        else if (!merger->refusal.text[0])
                stand_still(merger);
}

/* Once a second */

static bool is_disturbed(struct merger *merger, struct failure *failure)
{
        const struct apply_place place = place_of(merger);

        if (!is_mine(&place)) {
                (void)failure_set(failure, -EBUSY,
                                  "somebody else has undone or taken over what samepaged set");
                return true;
        }
        if (apply_settings_check(&place, failure) < 0)
                return true;
        if (merger->facts.now_usec - merger->rival_usec < RIVAL_USEC)
                return false;
        merger->rival_usec = merger->facts.now_usec;
        return ksmd_find_rival(failure);
}

static void step(struct merger *merger)
{
        const enum pace_speed before = merger->pace.speed;
        struct failure failure = {0};

        observe(merger, &merger->facts);
        if (is_disturbed(merger, &failure)) {
                back_off(merger, &failure);
                return;
        }
        pace_step(&merger->pace, &merger->facts);
        if (merger->pace.speed != before)
                set_speed(merger, merger->pace.speed);
        if (merger->pace.wants_scan && merger->facts.now_usec - merger->tuned_usec > merger->tune_gap_usec)
                request_tuning(merger);
        else if (merger->pace.has_gained &&
                 merger->facts.now_usec - merger->compared_usec > merger->tune_gap_usec)
                request_comparison(merger);
}

static void export(struct merger *merger)
{
        struct metrics_merge *metrics = merger->metrics;
        const double seconds = ksmd_cpu_seconds();

        metrics->acts = merger->acts;
        metrics->is_fast = merger->pace.speed == PACE_FAST;
        metrics->gap = merger->acts ? merger->pace.gap : -1;
        metrics->gap_error = merger->pace.gap_error;
        metrics->ksmd_usec = seconds > 0 ? (uint64_t)(seconds * USEC_PER_SEC) : 0;
}

static int on_step(sd_event_source *source, uint64_t usec, void *context)
{
        struct merger *merger = context;

        (void)usec;
        if (!is_wanted(merger) || merger->refusal.text[0]) {
                export(merger);
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return 0;
        }
        look_for_arrivals(merger);
        /* While a tuning runs, it is the one that writes. */
        if (merger->acts && merger->tuning == 0)
                step(merger);
        if ((!merger->acts || !merger->is_complete || !merger->sampler) &&
            clock_now_usec() - merger->tuned_usec > merger->retry_usec)
                request_tuning(merger);
        export(merger);
        (void)sd_event_source_set_time_relative(source, STEP_USEC);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

/* An observer of jobs */

static void on_ended(void *context, const struct jobs_outcome *outcome)
{
        if (outcome->task->request.acts)
                take_tuning(context, outcome->task, outcome->report);
}

struct jobs_observer merger_observer(struct merger *merger)
{
        return (struct jobs_observer){.ended = on_ended, .context = merger};
}

/* Life */

void merger_configure(struct merger *merger, const struct config *config)
{
        merger->config = config;
        begin(merger);
}

int merger_new(sd_event *event, struct jobs *jobs, struct metrics_merge *metrics, struct merger **ret)
{
        struct merger *merger = calloc(1, sizeof(*merger));
        int r = 0;

        if (!merger)
                return -ENOMEM;
        *merger = (struct merger){.event = event, .jobs = jobs, .metrics = metrics};
        r = sd_event_add_time_relative(event, &merger->step, CLOCK_MONOTONIC, 0, 0, on_step, merger);
        if (r >= 0)
                r = sd_event_source_set_enabled(merger->step, SD_EVENT_OFF);
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
                end(merger);
        sd_event_source_disable_unref(merger->step);
        free(merger->pids);
        free(merger);
        return NULL;
}
