/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When there is a second look, how long it is waited for, and what KSM has done meanwhile. The guests cannot be read. */
#include "base/clock.h"
#include "base/process.h"
#include "daemon/job/job.h"
#include "daemon/job/second_look.h"
#include "merge/made_guests.h"
#include "report/events.h"
#include "scanner/made_tree.h"
#include "scanner/recheck.h"
#include "unit.h"

#include <inttypes.h>

#define PASSES_BEFORE 10

struct heard {
        size_t n;
        uint64_t first_usec;
        uint64_t last_usec;
};

struct look {
        struct made_tree tree;
        struct made_guests guests;
        struct census *census;
        struct ksm before;
        struct ksm_settings_place place;
        uint64_t recheck_usec;
        struct fingerprint_key key;
        int kpageflags_fd;
        struct heard heard;
        struct second_look second;
};

static void hear(void *context, uint64_t left_usec)
{
        struct heard *heard = context;

        if (heard->n++ == 0)
                heard->first_usec = left_usec;
        heard->last_usec = left_usec;
}

/* Two guests with equal pages of which none is merged. */
static void look_init(struct look *look, const char *run)
{
        static const int contents[] = {1, 2, 3};
        char passes[16] = "";

        *look = (struct look){.kpageflags_fd = open("/dev/null", O_RDONLY | O_CLOEXEC)};
        made_tree_init(&look->tree);
        (void)snprintf(passes, sizeof(passes), "%d\n", PASSES_BEFORE);
        made_tree_file(&look->tree, "full_scans", passes);
        made_tree_file(&look->tree, "run", run);
        CU_ASSERT_EQUAL_FATAL(ksm_read(look->tree.path, &look->before), 0);
        look->place.ksm_dir = look->tree.path;
        look->place.runtime_dir = look->tree.path;
        look->recheck_usec = USEC_PER_MSEC;
        for (int i = 0; i < 2; i++)
                made_guests_add_contents(&look->guests, contents, 3, i == 0 ? 100 : 200);
        CU_ASSERT_EQUAL_FATAL(
                census_new(made_guests_pool(), look->guests.pages, look->guests.n, &look->census), 0);
}

static void look_deinit(struct look *look)
{
        census_free(look->census);
        made_guests_free(&look->guests);
        made_tree_deinit(&look->tree);
        (void)close(look->kpageflags_fd);
}

static void run_look(struct look *look)
{
        const struct job_observer observer = {.waiting = hear, .context = &look->heard};
        const struct first_look first = {
                .pool = made_guests_pool(),
                .place = &look->place,
                .key = &look->key,
                .kpageflags_fd = look->kpageflags_fd,
                .ended_usec = clock_now_usec(),
                .recheck_usec = look->recheck_usec,
                .observer = &observer,
        };

        CU_ASSERT_EQUAL(second_look_run(&first, look->census, &look->before, &look->second), 0);
}

/* The pass under way at the first look and the one at the second prove nothing: two whole ones take three steps. */
static void test_met_twice(void)
{
        for (int n = 0; n <= 4; n++) {
                struct look look;
                char passes[16] = "";

                look_init(&look, "1\n");
                (void)snprintf(passes, sizeof(passes), "%d\n", PASSES_BEFORE + n);
                made_tree_file(&look.tree, "full_scans", passes);
                run_look(&look);
                CU_ASSERT_EQUAL(look.second.was_met_twice, n >= 3);
                CU_ASSERT_TRUE(look.second.seconds > 0);
                look_deinit(&look);
        }
}

/* run = 2 sets the counter back, or there is none any more. */
static void test_counter_that_fell(void)
{
        struct look look;

        look_init(&look, "1\n");
        made_tree_file(&look.tree, "full_scans", "3\n");
        run_look(&look);
        CU_ASSERT_FALSE(look.second.was_met_twice);
        CU_ASSERT_EQUAL(unlinkat(look.tree.fd, "full_scans", 0), 0);
        run_look(&look);
        CU_ASSERT_FALSE(look.second.was_met_twice);
        look_deinit(&look);
}

/* Whoever waits for us hears of it all the time, and not only at the end. */
static void test_waiting_is_told(void)
{
        struct look look;

        look_init(&look, "1\n");
        look.recheck_usec = USEC_PER_SEC * 3 / 2;
        run_look(&look);
        CU_ASSERT_EQUAL(look.heard.n, 2);
        CU_ASSERT(look.heard.first_usec > USEC_PER_SEC && look.heard.first_usec <= USEC_PER_SEC * 3 / 2);
        CU_ASSERT(look.heard.last_usec > 0 && look.heard.last_usec <= USEC_PER_SEC / 2);
        CU_ASSERT_TRUE(look.second.seconds >= 1.5);
        look_deinit(&look);
}

/* Also by who came before we waited. */
static void test_hurried(void)
{
        const uint64_t begun_usec = clock_now_usec();
        struct look look;

        look_init(&look, "1\n");
        look.recheck_usec = 3600 * USEC_PER_SEC;
        second_look_prepare();
        CU_ASSERT_EQUAL(kill(getpid(), EVENTS_HURRY_SIGNAL), 0);
        run_look(&look);
        CU_ASSERT_EQUAL(look.heard.n, 1);
        CU_ASSERT_TRUE(look.second.seconds > 0);
        CU_ASSERT_TRUE(look.second.seconds < 3600);
        CU_ASSERT(clock_now_usec() - begun_usec < 60 * USEC_PER_SEC);
        CU_ASSERT_PTR_NOT_NULL(look.guests.pages[0]->blocks[0].marks);
        look_deinit(&look);
}

static void test_nothing_to_look_at(void)
{
        struct look look;

        look_init(&look, "0\n");
        run_look(&look);
        CU_ASSERT_TRUE(look.second.seconds == 0 && look.heard.n == 0);
        look_deinit(&look);
        look_init(&look, "1\n");
        look.recheck_usec = 0;
        run_look(&look);
        CU_ASSERT_TRUE(look.second.seconds == 0);
        CU_ASSERT_PTR_NULL(look.guests.pages[0]->blocks[0].marks);
        look_deinit(&look);
}

/* Whether there is a look while KSM stands still, and somebody is noted as the one who has changed its settings. */
static bool looks_for(const char *run, int pid, uint64_t start_ticks)
{
        struct look look;
        char note[128] = "";
        bool looked = false;

        look_init(&look, run);
        (void)snprintf(note, sizeof(note), "owner %d %" PRIu64 "\nsetting run 0 0 0\n", pid, start_ticks);
        made_tree_file(&look.tree, "ksm-settings", note);
        run_look(&look);
        looked = look.second.seconds > 0;
        look_deinit(&look);
        return looked;
}

static void test_ksm_that_samepaged_has_stopped(void)
{
        struct process me = {0};

        CU_ASSERT_EQUAL_FATAL(process_identify(getpid(), &me), 0);
        CU_ASSERT_TRUE(looks_for("0\n", me.pid, me.start_ticks));
        /* It un-merges all; it was somebody else with this number, who is dead; it was a person. */
        CU_ASSERT_FALSE(looks_for("2\n", me.pid, me.start_ticks));
        CU_ASSERT_FALSE(looks_for("0\n", me.pid, me.start_ticks + 1));
        CU_ASSERT_FALSE(looks_for("0\n", 0, 0));
}

static const struct unit_test tests[] = {
        {"met twice", test_met_twice},
        {"counter that fell", test_counter_that_fell},
        {"waiting is told", test_waiting_is_told},
        {"hurried", test_hurried},
        {"nothing to look at", test_nothing_to_look_at},
        {"ksm that samepaged has stopped", test_ksm_that_samepaged_has_stopped},
};

UNIT_MAIN("second_look", tests)
