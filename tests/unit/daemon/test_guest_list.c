/* SPDX-License-Identifier: GPL-2.0-or-later */
/* With processes that live and end. */
#include "base/clock.h"
#include "daemon/guest_list.h"
#include "with_pidfd.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOUR (3600 * USEC_PER_SEC)

struct fixture {
        sd_event *event;
        struct guest_list *guest_list;
        char gone[64];
        int n_gone;
};

static void on_gone(void *context, const char *name)
{
        struct fixture *fixture = context;

        (void)snprintf(fixture->gone, sizeof(fixture->gone), "%s", name);
        fixture->n_gone++;
}

static void set_up(struct fixture *fixture)
{
        *fixture = (struct fixture){0};
        CU_ASSERT_FATAL(sd_event_new(&fixture->event) >= 0);
        CU_ASSERT_EQUAL_FATAL(guest_list_new(fixture->event, on_gone, fixture, &fixture->guest_list), 0);
}

static void tear_down(struct fixture *fixture)
{
        guest_list_free(fixture->guest_list);
        sd_event_unref(fixture->event);
}

static pid_t start_process(void)
{
        pid_t pid = fork();

        if (pid == 0) {
                (void)pause();
                _exit(0);
        }
        return pid;
}

static void end_process(pid_t pid)
{
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
}

/* A report of up to two guests; without a name there is none. */
static void note(const struct fixture *fixture, const char *first, pid_t first_pid, unsigned int pauses,
                 const char *second, pid_t second_pid, bool all)
{
        char a[32] = "";
        char b[32] = "";
        struct report_guest guests[] = {
                {.name = a, .pid = first_pid, .pauses = pauses},
                {.name = b, .pid = second_pid},
        };
        const struct report report = {.guests = guests, .n_guests = second ? 2 : 1};

        (void)snprintf(a, sizeof(a), "%s", first);
        (void)snprintf(b, sizeof(b), "%s", second ? second : "");
        CU_ASSERT_EQUAL(guest_list_note(fixture->guest_list, &report, all), 0);
}

static void test_guests_of_reports(void)
{
        const pid_t process = start_process();
        struct fixture fixture;

        set_up(&fixture);
        note(&fixture, "a", getpid(), 1, "b", getpid(), true);
        CU_ASSERT_EQUAL(guest_list_n(fixture.guest_list), 2);
        /* One that could not be reached is not known; a report of some says nothing of the others. */
        note(&fixture, "c", 0, 0, NULL, 0, false);
        note(&fixture, "a", getpid(), 1, NULL, 0, false);
        CU_ASSERT_EQUAL(guest_list_n(fixture.guest_list), 2);
        /* One that is not named but lives was not reached this time. */
        note(&fixture, "b", getpid(), 1, NULL, 0, true);
        CU_ASSERT_EQUAL(guest_list_n(fixture.guest_list), 2);
        /* One that ended, of which the loop has not heard yet, is gone. */
        note(&fixture, "a", process, 1, "b", getpid(), true);
        end_process(process);
        note(&fixture, "b", getpid(), 1, NULL, 0, true);
        CU_ASSERT_EQUAL_FATAL(guest_list_n(fixture.guest_list), 1);
        CU_ASSERT_STRING_EQUAL(guest_list_names(fixture.guest_list)[0], "b");
        CU_ASSERT_EQUAL(fixture.n_gone, 0);
        tear_down(&fixture);
}

static size_t n_paused_since(const struct fixture *fixture, uint64_t gap_usec)
{
        struct patterns list = {0};
        size_t n = 0;

        CU_ASSERT_EQUAL(guest_list_paused_since(fixture->guest_list, gap_usec, &list), 0);
        n = list.n;
        for (size_t i = 0; i < list.n; i++)
                free(list.words[i]);
        free(list.words);
        return n;
}

static void test_pauses_without_a_report(void)
{
        char name[] = "b";
        char *names[] = {name};
        const struct patterns some = {names, 1};
        const struct patterns none = {0};
        struct fixture fixture;

        set_up(&fixture);
        note(&fixture, "a", getpid(), 0, "b", getpid(), true);
        CU_ASSERT_EQUAL(n_paused_since(&fixture, HOUR), 0);
        guest_list_note_pause(fixture.guest_list, &some);
        CU_ASSERT_EQUAL(n_paused_since(&fixture, HOUR), 1);
        guest_list_note_pause(fixture.guest_list, &none);
        CU_ASSERT_EQUAL(n_paused_since(&fixture, HOUR), 2);
        tear_down(&fixture);
}

static void test_pauses(void)
{
        struct fixture fixture;

        set_up(&fixture);
        note(&fixture, "a", getpid(), 1, "b", getpid(), true);
        CU_ASSERT_EQUAL(n_paused_since(&fixture, HOUR), 1);
        CU_ASSERT_EQUAL(n_paused_since(&fixture, 0), 0);
        /* A later scan without a pause does not make the last one older, or younger. */
        (void)usleep(20000);
        note(&fixture, "a", getpid(), 0, "b", getpid(), true);
        CU_ASSERT_EQUAL(n_paused_since(&fixture, HOUR), 1);
        CU_ASSERT_EQUAL(n_paused_since(&fixture, 10000), 0);
        tear_down(&fixture);
}

static void test_process_that_ends(void)
{
        struct fixture fixture;
        const pid_t old = start_process();
        const pid_t new = start_process();

        set_up(&fixture);
        note(&fixture, "a", old, 0, "b", getpid(), true);
        /* Started anew under the same name: the old one's end is not its end. */
        note(&fixture, "a", new, 0, "b", getpid(), true);
        end_process(old);
        (void)sd_event_run(fixture.event, 100000);
        CU_ASSERT_EQUAL(fixture.n_gone, 0);
        end_process(new);
        (void)sd_event_run(fixture.event, 1000000);
        CU_ASSERT_EQUAL(fixture.n_gone, 1);
        CU_ASSERT_STRING_EQUAL(fixture.gone, "a");
        CU_ASSERT_EQUAL(guest_list_n(fixture.guest_list), 1);
        tear_down(&fixture);
}

/* The guest was paused before the second look was waited for. */
static void test_pause_before_a_second_look(void)
{
        char name[] = "a";
        struct report_guest guest = {.name = name, .pid = getpid(), .pauses = 1};
        const struct report report = {.guests = &guest, .n_guests = 1, .recheck_seconds = 20};
        struct fixture fixture;

        set_up(&fixture);
        CU_ASSERT_EQUAL(guest_list_note(fixture.guest_list, &report, true), 0);
        CU_ASSERT_EQUAL(n_paused_since(&fixture, 15 * USEC_PER_SEC), 0);
        CU_ASSERT_EQUAL(n_paused_since(&fixture, HOUR), 1);
        tear_down(&fixture);
}

static const struct unit_test tests[] = {
        {"guests of reports", test_guests_of_reports},
        {"pauses", test_pauses},
        {"pause before a second look", test_pause_before_a_second_look},
        {"pauses without a report", test_pauses_without_a_report},
        {"a process that ends", test_process_that_ends},
};

UNIT_MAIN_WITH_PIDFD("guest_list", tests)
