/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * With this very program in the place of samepage(1): the worker starts /proc/self/exe with a command line of
 * it.
 */
#include "base/clock.h"
#include "daemon/jobs.h"
#include "report/events.h"
#include "report/report_json.h"
#include "with_pidfd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A guest of this name has the scan end without a report. */
#define DEADLY_GUEST "deadly"
#define ENDED_MAX    8
/* What an observer adds to a report. */
#define ADDED "seen before it was kept"

struct ended {
        enum request_kind kind;
        bool has_report;
        bool has_result;
        bool is_refused;
        bool has_skipped;
        bool has_added;
        char group[32]; /* of the report's guest */
        struct failure failure;
};

struct fixture {
        sd_event *event;
        struct options *config;
        struct metrics *metrics;
        struct virt_source libvirt;
        struct guest_list *guest_list;
        struct jobs *jobs;
        size_t n_begun;
        struct ended ended[ENDED_MAX];
        size_t n_ended;
        size_t n_wanted;           /* the loop ends with so many */
        char calls[8 * ENDED_MAX]; /* which observer heard of an end */
};

static void note_call(struct fixture *fixture, const char *call)
{
        const size_t length = strlen(fixture->calls);

        (void)snprintf(fixture->calls + length, sizeof(fixture->calls) - length, "%s", call);
}

static void on_begun(void *context, const struct task *task)
{
        (void)task;
        ((struct fixture *)context)->n_begun++;
}

/* What is added to a report then is in what all others get of it. */
static void on_reported(void *context, const struct task *task, struct report *report)
{
        (void)context;
        (void)task;
        (void)failure_set(&report->guests[0].note, 0, "%s", ADDED);
}

static void on_ended(void *context, const struct jobs_outcome *outcome)
{
        struct fixture *fixture = context;
        struct ended *ended = &fixture->ended[fixture->n_ended++];

        *ended = (struct ended){
                .kind = outcome->task->request.kind,
                .has_report = outcome->report,
                .has_result = outcome->result,
                .is_refused = outcome->is_refused,
                .has_skipped = outcome->has_skipped,
                .has_added = outcome->result && strstr(json_object_to_json_string(outcome->result), ADDED),
                .failure = *outcome->failure,
        };
        if (outcome->report && outcome->report->n_guests > 0 && outcome->report->guests[0].group)
                (void)snprintf(ended->group, sizeof(ended->group), "%s", outcome->report->guests[0].group);
        note_call(fixture, "1");
}

static void on_ended_too(void *context, const struct jobs_outcome *outcome)
{
        struct fixture *fixture = context;

        (void)outcome;
        note_call(fixture, "2");
        if (fixture->n_ended >= fixture->n_wanted)
                (void)sd_event_exit(fixture->event, 0);
}

static int on_late(sd_event_source *source, uint64_t usec, void *context)
{
        (void)usec;
        (void)context;
        CU_FAIL("nothing happens");
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

static void set_up(struct fixture *fixture)
{
        *fixture = (struct fixture){0};
        CU_ASSERT_FATAL(sd_event_new(&fixture->event) >= 0);
        CU_ASSERT_EQUAL_FATAL(options_new(true, &fixture->config), 0);
        CU_ASSERT_EQUAL_FATAL(metrics_new("0", &fixture->metrics), 0);
        CU_ASSERT_EQUAL_FATAL(guest_list_new(fixture->event, NULL, NULL, &fixture->guest_list), 0);
        fixture->libvirt.metrics = fixture->metrics;
        CU_ASSERT_EQUAL_FATAL(
                jobs_new(fixture->event, fixture->guest_list, &fixture->libvirt, &fixture->jobs), 0);
        jobs_configure(fixture->jobs, fixture->config);
        CU_ASSERT_EQUAL_FATAL(jobs_observe(fixture->jobs, &(struct jobs_observer){.begun = on_begun,
                                                                                  .reported = on_reported,
                                                                                  .ended = on_ended,
                                                                                  .context = fixture}),
                              0);
        CU_ASSERT_EQUAL_FATAL(jobs_observe(fixture->jobs, &(struct jobs_observer){.ended = on_ended_too,
                                                                                  .context = fixture}),
                              0);
}

static void tear_down(struct fixture *fixture)
{
        jobs_free(fixture->jobs);
        guest_list_free(fixture->guest_list);
        metrics_free(fixture->metrics);
        options_free(fixture->config);
        sd_event_unref(fixture->event);
}

/* Has the guest list know a guest. */
static void note_guest(struct fixture *fixture, char *name)
{
        struct report_guest guest = {.name = name, .via = REPORT_VIA_QMP, .pid = getpid()};
        const struct report report = {.guests = &guest, .n_guests = 1};

        CU_ASSERT_EQUAL(guest_list_note(fixture->guest_list, &report, true), 0);
}

/* A guest that was paused just now. */
static void pause_guest(struct fixture *fixture, char *name)
{
        note_guest(fixture, name);
        guest_list_note_pause(fixture->guest_list, &(struct patterns){0});
}

static void add(struct fixture *fixture, enum request_kind kind, enum scan_mode mode, const char *guest)
{
        struct request request;

        request_init(&request, kind, REQUEST_BY_CONTROL, fixture->config);
        request.mode = mode;
        if (guest)
                CU_ASSERT_EQUAL(request_add_guest(&request, guest), 0);
        CU_ASSERT_EQUAL(jobs_add(fixture->jobs, &request, NULL, NULL, NULL), 0);
}

static void run_until(struct fixture *fixture, size_t n_wanted)
{
        fixture->n_wanted = n_wanted;
        CU_ASSERT(sd_event_add_time_relative(fixture->event, NULL, CLOCK_MONOTONIC, 30 * USEC_PER_SEC, 0,
                                             on_late, NULL) >= 0);
        CU_ASSERT(sd_event_loop(fixture->event) >= 0);
        CU_ASSERT_EQUAL_FATAL(fixture->n_ended, n_wanted);
}

/* The observers hear of it in their order, and the report says more than the scan knew. */
static void test_report(void)
{
        struct fixture fixture;

        set_up(&fixture);
        CU_ASSERT_EQUAL_FATAL(groups_set(&fixture.config->merging.groups, "acme", "g*", NULL), 0);
        add(&fixture, REQUEST_SCAN, SCAN_MODE_LIVE, NULL);
        run_until(&fixture, 1);
        CU_ASSERT_EQUAL(fixture.n_begun, 1);
        CU_ASSERT_TRUE(fixture.ended[0].has_report && fixture.ended[0].has_result);
        CU_ASSERT_STRING_EQUAL(fixture.ended[0].group, "acme");
        CU_ASSERT_TRUE(fixture.ended[0].has_added);
        CU_ASSERT_STRING_EQUAL(fixture.calls, "12");
        tear_down(&fixture);
}

/* It may have left guests paused: they are resumed, and not paused again soon. */
static void test_scan_without_report(void)
{
        struct fixture fixture;
        struct request again;
        struct failure failure = {0};

        char name[] = DEADLY_GUEST;

        set_up(&fixture);
        note_guest(&fixture, name);
        add(&fixture, REQUEST_SCAN, SCAN_MODE_SNAPSHOT, DEADLY_GUEST);
        run_until(&fixture, 2);
        CU_ASSERT_FALSE(fixture.ended[0].has_report || fixture.ended[0].has_result);
        CU_ASSERT_STRING_EQUAL(fixture.ended[0].failure.text, "it is dead");
        CU_ASSERT_EQUAL(fixture.ended[1].kind, REQUEST_RESUME);
        CU_ASSERT_TRUE(fixture.ended[1].has_result);
        request_init(&again, REQUEST_SCAN, REQUEST_BY_CONTROL, fixture.config);
        CU_ASSERT_EQUAL(request_add_guest(&again, DEADLY_GUEST), 0);
        CU_ASSERT_EQUAL(jobs_check_gap(fixture.jobs, &again, &failure), -EAGAIN);
        request_deinit(&again);
        tear_down(&fixture);
}

/*
 * One that pauses nobody has left nobody paused who could be spared: but it may hold descriptors, so it is
 * looked.
 */
static void test_live_scan_spares_nobody(void)
{
        struct fixture fixture;
        struct patterns paused = {0};
        char name[] = DEADLY_GUEST;

        set_up(&fixture);
        note_guest(&fixture, name);
        add(&fixture, REQUEST_SCAN, SCAN_MODE_LIVE, DEADLY_GUEST);
        run_until(&fixture, 2);
        CU_ASSERT_EQUAL(guest_list_paused_since(fixture.guest_list, fixture.config->min_gap_usec, &paused),
                        0);
        CU_ASSERT_EQUAL(paused.n, 0);
        tear_down(&fixture);
}

/*
 * Asked for by name, a scan within the gap is refused, which is no failure: nothing began, nobody is resumed.
 */
static void test_gap(void)
{
        char name[] = "g1";
        struct fixture fixture;

        set_up(&fixture);
        pause_guest(&fixture, name);
        add(&fixture, REQUEST_SCAN, SCAN_MODE_SNAPSHOT, "g1");
        add(&fixture, REQUEST_SCAN, SCAN_MODE_LIVE, "g1");
        run_until(&fixture, 2);
        CU_ASSERT_TRUE(fixture.ended[0].is_refused);
        CU_ASSERT_PTR_NOT_NULL(strstr(fixture.ended[0].failure.text, "g1 was paused less than"));
        CU_ASSERT_TRUE(fixture.ended[1].has_report && !fixture.ended[1].is_refused);
        CU_ASSERT_EQUAL(fixture.n_begun, 1);
        tear_down(&fixture);
}

/* Of all guests, those are left out who were paused; the observers hear that the report is not of all. */
static void test_skipped(void)
{
        char name[] = "other";
        struct fixture fixture;

        set_up(&fixture);
        pause_guest(&fixture, name);
        add(&fixture, REQUEST_SCAN, SCAN_MODE_SNAPSHOT, NULL);
        run_until(&fixture, 1);
        CU_ASSERT_TRUE(fixture.ended[0].has_report && fixture.ended[0].has_skipped);
        tear_down(&fixture);
}

static void test_stop(void)
{
        struct fixture fixture;

        set_up(&fixture);
        add(&fixture, REQUEST_SCAN, SCAN_MODE_LIVE, NULL);
        add(&fixture, REQUEST_GUESTS, SCAN_MODE_LIVE, NULL);
        jobs_stop(fixture.jobs);
        CU_ASSERT_EQUAL(fixture.n_ended, 2);
        CU_ASSERT_STRING_EQUAL(fixture.ended[0].failure.text, "it was cancelled");
        jobs_resume_left_overs(fixture.jobs);
        CU_ASSERT_EQUAL(jobs_waiting(fixture.jobs, (const struct task * [QUEUE_MAX + 1]){0}), 0);
        tear_down(&fixture);
}

static const struct unit_test tests[] = {
        {"report", test_report},
        {"scan without report", test_scan_without_report},
        {"live scan spares nobody", test_live_scan_spares_nobody},
        {"gap", test_gap},
        {"skipped", test_skipped},
        {"stop", test_stop},
};

static struct json_object *make_report(void)
{
        struct report *report = calloc(1, sizeof(*report));
        struct json_object *json = NULL;

        report->guests = calloc(1, sizeof(*report->guests));
        report->n_guests = 1;
        report->guests[0].name = strdup("g1");
        report->guests[0].via = REPORT_VIA_QMP;
        report->guests[0].pid = getpid();
        report->guests[0].scanned = true;
        json = report_to_json(report);
        report_free(report);
        return json;
}

static int be_samepage(int argc, char *argv[])
{
        for (int i = 2; i < argc; i++)
                if (strcmp(argv[i], "--guest=" DEADLY_GUEST) == 0) {
                        events_print_failure("it is dead");
                        return 1;
                }
        if (strcmp(argv[1], "resume") != 0)
                return events_print(EVENT_REPORT, make_report()) ? 0 : 1;
        return events_print(EVENT_REPORT, json_tokener_parse("{\"guests\": []}")) ? 0 : 1;
}

int main(int argc, char *argv[])
{
        sigset_t children;

        if (argc > 1)
                return be_samepage(argc, argv);
        if (pidfd_is_missing()) {
                (void)printf("skipped: no pidfd_open(2) here\n");
                return EXIT_SKIPPED;
        }
        /* As the service does: children are heard of through the loop. */
        (void)sigemptyset(&children);
        (void)sigaddset(&children, SIGCHLD);
        (void)sigprocmask(SIG_BLOCK, &children, NULL);
        return unit_run("jobs", tests, sizeof(tests) / sizeof(tests[0]));
}
