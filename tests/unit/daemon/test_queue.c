/* SPDX-License-Identifier: GPL-2.0-or-later */
/* With this very program as the process that does a task: the worker starts /proc/self/exe. */
#include "base/clock.h"
#include "base/json.h"
#include "base/strv.h"
#include "daemon/job/second_look.h"
#include "daemon/queue.h"
#include "report/events.h"
#include "with_pidfd.h"

#include <errno.h>
#include <string.h>

/* What the program is to be then: argv[1] of it. */
#define BE_WAITING "waiting"
#define BE_QUICK   "quick"

#define LONG_SECONDS 60

struct fixture {
        sd_event *event;
        struct queue *queue;
        bool adds_another; /* once it hears that the first one waits */
        size_t n_ended;
        uint64_t ended_ids[4];
        int64_t hurried; /* what the first one's report says */
};

static int on_arguments(void *context, const struct task *task, char ***ret, struct failure *failure)
{
        struct strv strv = {0};

        (void)context;
        (void)failure;
        strv_add(&strv, "queue");
        strv_add(&strv, "%s", task->request.kind == REQUEST_SCAN ? BE_WAITING : BE_QUICK);
        return strv_end(&strv, ret);
}

static void add_task(struct fixture *fixture, enum request_kind kind)
{
        struct request request = {.kind = kind};

        CU_ASSERT_EQUAL(queue_add(fixture->queue, &request, NULL, NULL, NULL), 0);
}

static void on_progress(void *context, const struct task *task)
{
        struct fixture *fixture = context;

        CU_ASSERT_EQUAL(task->recheck_in_seconds, LONG_SECONDS);
        if (!fixture->adds_another)
                return;
        fixture->adds_another = false;
        add_task(fixture, REQUEST_GUESTS);
}

static void on_ended(void *context, struct task *task, struct json_object *result,
                     const struct failure *failure)
{
        struct fixture *fixture = context;

        CU_ASSERT_STRING_EQUAL(failure->text, "");
        fixture->ended_ids[fixture->n_ended++] = task->id;
        if (task->request.kind == REQUEST_SCAN)
                fixture->hurried = json_get_int(result, "hurried", -1);
        if (fixture->n_ended == 2)
                (void)sd_event_exit(fixture->event, 0);
}

static int on_late(sd_event_source *source, uint64_t usec, void *context)
{
        (void)usec;
        (void)context;
        CU_FAIL("nothing happens");
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

static void run_loop(struct fixture *fixture)
{
        CU_ASSERT(sd_event_add_time_relative(fixture->event, NULL, CLOCK_MONOTONIC, 30 * USEC_PER_SEC, 0,
                                             on_late, NULL) >= 0);
        CU_ASSERT(sd_event_loop(fixture->event) >= 0);
        CU_ASSERT_EQUAL(fixture->n_ended, 2);
        CU_ASSERT(fixture->ended_ids[0] < fixture->ended_ids[1]);
        CU_ASSERT_EQUAL(fixture->hurried, 1);
        queue_free(fixture->queue);
        sd_event_unref(fixture->event);
}

static void set_up(struct fixture *fixture)
{
        *fixture = (struct fixture){0};
        CU_ASSERT_FATAL(sd_event_new(&fixture->event) >= 0);
        CU_ASSERT_EQUAL_FATAL(queue_new(fixture->event,
                                        &(struct queue_observer){.arguments = on_arguments,
                                                                 .progress = on_progress,
                                                                 .ended = on_ended,
                                                                 .context = fixture},
                                        &fixture->queue),
                              0);
}

static void test_who_comes_hurries_a_second_look(void)
{
        struct fixture fixture;

        set_up(&fixture);
        fixture.adds_another = true;
        add_task(&fixture, REQUEST_SCAN);
        run_loop(&fixture);
}

static void test_who_waits_already_hurries_a_second_look(void)
{
        struct fixture fixture;

        set_up(&fixture);
        add_task(&fixture, REQUEST_SCAN);
        add_task(&fixture, REQUEST_GUESTS);
        run_loop(&fixture);
}

static const struct unit_test tests[] = {
        {"who comes hurries a second look", test_who_comes_hurries_a_second_look},
        {"who waits already hurries a second look", test_who_waits_already_hurries_a_second_look},
};

/* A scan that waits for its second look, or something else that is done at once. */
static int be_worker(const char *what)
{
        const struct timespec length = {.tv_sec = LONG_SECONDS};
        struct json_object *report = json_object_new_object();
        sigset_t signals;
        bool hurried = false;

        if (strcmp(what, BE_WAITING) == 0) {
                second_look_prepare();
                events_print_wait(1, 1, LONG_SECONDS);
                (void)sigemptyset(&signals);
                (void)sigaddset(&signals, EVENTS_HURRY_SIGNAL);
                hurried = sigtimedwait(&signals, NULL, &length) == EVENTS_HURRY_SIGNAL;
        }
        json_add_int(report, "hurried", hurried);
        return events_print(EVENT_REPORT, report) ? 0 : 1;
}

int main(int argc, char *argv[])
{
        sigset_t children;

        if (argc > 1)
                return be_worker(argv[1]);
        if (pidfd_is_missing()) {
                (void)printf("skipped: no pidfd_open(2) here\n");
                return EXIT_SKIPPED;
        }
        /* As the service does: children are heard of through the loop. */
        (void)sigemptyset(&children);
        (void)sigaddset(&children, SIGCHLD);
        (void)sigprocmask(SIG_BLOCK, &children, NULL);
        return unit_run("queue", tests, sizeof(tests) / sizeof(tests[0]));
}
