/* SPDX-License-Identifier: GPL-2.0-or-later */
/* With made-up time, counters and samples. */
#include "base/clock.h"
#include "merge/loop.h"
#include "unit.h"

#define PAGES 1000000
#define SEC   USEC_PER_SEC

static const struct loop_rules apart = {.is_wanted = true};
static const struct loop_rules together = {.is_wanted = true, .cross_group = true};
static const pid_t two[] = {100, 200};
static const pid_t three[] = {100, 200, 300};

/* A loop and the world around it. */
struct world {
        struct loop loop;
        struct loop_look look;
};

static void set_up(struct world *world)
{
        *world = (struct world){.look = {.now_usec = 1000 * SEC, .full_scans = 10}};
}

static struct loop_tuning ready(const pid_t *pids, size_t n)
{
        return (struct loop_tuning){
                .plan = LOOP_PLAN_READY,
                .is_complete = true,
                .duration_usec = SEC / 10,
                .sharable = 0.4,
                .scanned_pages = PAGES,
                .pids = pids,
                .n_pids = n,
        };
}

static unsigned int tuned(struct world *world, struct loop_tuning tuning)
{
        return loop_tuned(&world->loop, &world->look, &tuning);
}

static unsigned int step_after(struct world *world, uint64_t usec)
{
        world->look.now_usec += usec;
        return loop_step(&world->loop, &world->look);
}

static void sample(struct world *world, double merged, double changed)
{
        loop_sampled(&world->loop,
                     &(struct pace_sample){
                             .pages = 4000, .merged = merged, .merged_error = 0.01, .changed = changed});
}

/* Two guests are merged, and KSM has just been set going. */
static void begin_acting(struct world *world, const struct loop_rules *rules)
{
        set_up(world);
        CU_ASSERT_EQUAL(loop_begin(&world->loop, rules, world->look.now_usec),
                        LOOP_END_SAMPLING | LOOP_PUT_BACK | LOOP_TUNE);
        CU_ASSERT_EQUAL(tuned(world, ready(two, 2)), LOOP_WRITE_PLAN);
        CU_ASSERT_TRUE(world->loop.acts);
        CU_ASSERT_EQUAL(world->loop.pace.speed, PACE_FAST);
        world->look.is_sampling = true;
}

/* KSM has merged all that can be, and stands still. */
static void settle(struct world *world)
{
        unsigned int actions = 0;

        for (int i = 0; i < 10 && !(actions & LOOP_WRITE_SPEED); i++) {
                world->look.full_scans++;
                if (i == 0)
                        world->look.merged_pages += PAGES / 3;
                sample(world, 0.4, 0);
                actions = step_after(world, SEC);
        }
        CU_ASSERT_TRUE(actions & LOOP_WRITE_SPEED);
        CU_ASSERT_EQUAL(world->loop.pace.speed, PACE_STOPPED);
}

static void test_not_wanted(void)
{
        struct world world;

        set_up(&world);
        CU_ASSERT_EQUAL(loop_begin(&world.loop, &(struct loop_rules){0}, world.look.now_usec),
                        LOOP_END_SAMPLING | LOOP_PUT_BACK);
        CU_ASSERT_EQUAL(loop_arrived(&world.loop, world.look.now_usec), 0);
        CU_ASSERT_EQUAL(step_after(&world, 3600 * SEC), 0);
        CU_ASSERT_FALSE(loop_is_pacing(&world.loop));
        loop_deinit(&world.loop);
}

static void test_fast_then_still(void)
{
        struct world world;

        begin_acting(&world, &apart);
        CU_ASSERT_TRUE(loop_is_pacing(&world.loop));
        CU_ASSERT_EQUAL(step_after(&world, SEC), 0);
        settle(&world);
        CU_ASSERT_EQUAL(step_after(&world, SEC), 0);
        /* The gap opens: a tenth of the pages came apart. */
        sample(&world, 0.3, 0);
        CU_ASSERT_EQUAL(step_after(&world, 60 * SEC), LOOP_WRITE_SPEED);
        CU_ASSERT_EQUAL(world.loop.pace.speed, PACE_FAST);
        loop_deinit(&world.loop);
}

/* What has come is looked at once after KSM's end, and not right after the look before. */
static void test_comparison(void)
{
        struct world world;

        begin_acting(&world, &apart);
        settle(&world);
        CU_ASSERT_FALSE(world.loop.pace.has_gained); /* it was asked for with the stopping */
        world.loop.pace.has_gained = true;
        CU_ASSERT_EQUAL(step_after(&world, 19 * SEC), 0);
        CU_ASSERT_EQUAL(step_after(&world, 2 * SEC), LOOP_COMPARE);
        CU_ASSERT_EQUAL(step_after(&world, 21 * SEC), 0);
        loop_deinit(&world.loop);
}

static void test_nothing_worth_while(void)
{
        struct world world;

        set_up(&world);
        (void)loop_begin(&world.loop, &apart, world.look.now_usec);
        /* What KSM merged before across groups is not merged further. */
        CU_ASSERT_EQUAL(tuned(&world, (struct loop_tuning){.is_complete = true}),
                        LOOP_END_SAMPLING | LOOP_STOP);
        CU_ASSERT_FALSE(world.loop.acts);
        CU_ASSERT_EQUAL(step_after(&world, 600 * SEC), 0);
        CU_ASSERT_EQUAL(step_after(&world, 1), LOOP_TUNE);
        CU_ASSERT_EQUAL(step_after(&world, 700 * SEC), 0); /* one at a time */
        loop_deinit(&world.loop);

        set_up(&world);
        (void)loop_begin(&world.loop, &together, world.look.now_usec);
        CU_ASSERT_EQUAL(tuned(&world, (struct loop_tuning){.is_complete = true}),
                        LOOP_END_SAMPLING | LOOP_PUT_BACK);
        loop_deinit(&world.loop);
}

/* Of a guest that could not be scanned there is another look soon, and later each time. */
static void test_incomplete(void)
{
        static const uint64_t waits[] = {10, 20, 40, 80, 160, 320, 600, 600};
        struct loop_tuning tuning = ready(two, 2);
        struct world world;

        begin_acting(&world, &apart);
        tuning.is_complete = false;
        world.loop.is_tuning = true;
        for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
                CU_ASSERT_EQUAL(tuned(&world, tuning), LOOP_WRITE_PLAN);
                CU_ASSERT_FALSE(step_after(&world, waits[i] * SEC) & LOOP_TUNE);
                CU_ASSERT_TRUE(step_after(&world, 1) & LOOP_TUNE);
        }
        /* All is well again, as the first sample after a complete one says. */
        (void)tuned(&world, ready(two, 2));
        sample(&world, 0.4, 0);
        CU_ASSERT_FALSE(step_after(&world, 5 * SEC) & LOOP_TUNE);
        CU_ASSERT_EQUAL(loop_lost_sampling(&world.loop), LOOP_END_SAMPLING);
        world.look.is_sampling = false;
        CU_ASSERT_FALSE(step_after(&world, 5 * SEC) & LOOP_TUNE);
        CU_ASSERT_TRUE(step_after(&world, 1) & LOOP_TUNE);
        loop_deinit(&world.loop);
}

/* Kept apart, KSM stands still until there is a plan that knows who came, also when one is under way. */
static void test_arrival(void)
{
        struct world world;

        begin_acting(&world, &apart);
        settle(&world);
        CU_ASSERT_EQUAL(loop_arrived(&world.loop, world.look.now_usec), LOOP_STOP | LOOP_TUNE);
        CU_ASSERT_FALSE(loop_is_pacing(&world.loop));
        CU_ASSERT_EQUAL(loop_arrived(&world.loop, world.look.now_usec), LOOP_STOP);
        CU_ASSERT_EQUAL(tuned(&world, ready(two, 2)), LOOP_STOP | LOOP_TUNE);
        CU_ASSERT_EQUAL(world.loop.pace.speed, PACE_STOPPED);
        CU_ASSERT_EQUAL(tuned(&world, ready(three, 3)), LOOP_WRITE_PLAN);
        CU_ASSERT_EQUAL(world.loop.pace.speed, PACE_FAST);
        /* It fills its memory: KSM goes for five seconds at least, whatever it gains. */
        for (int i = 0; i < 4; i++) {
                world.look.full_scans += 3;
                sample(&world, 0.4, 0);
                CU_ASSERT_EQUAL(step_after(&world, SEC), 0);
        }
        loop_deinit(&world.loop);
}

/* Where everybody may share, nothing stops for it. */
static void test_arrival_among_friends(void)
{
        struct world world;

        begin_acting(&world, &together);
        CU_ASSERT_EQUAL(loop_arrived(&world.loop, world.look.now_usec), LOOP_TUNE);
        CU_ASSERT_EQUAL(loop_arrived(&world.loop, world.look.now_usec), 0);
        CU_ASSERT_EQUAL(tuned(&world, ready(two, 2)), LOOP_TUNE | LOOP_WRITE_PLAN);
        CU_ASSERT_EQUAL(world.loop.pace.speed, PACE_FAST);
        loop_deinit(&world.loop);
}

/* A plan without anybody new does not set KSM going. */
static void test_nobody_new(void)
{
        struct world world;

        begin_acting(&world, &apart);
        settle(&world);
        world.loop.is_tuning = true;
        CU_ASSERT_EQUAL(tuned(&world, ready(two, 2)), LOOP_WRITE_PLAN);
        CU_ASSERT_EQUAL(world.loop.pace.speed, PACE_STOPPED);
        loop_deinit(&world.loop);
}

static void test_stranger(void)
{
        struct world world;

        begin_acting(&world, &apart);
        CU_ASSERT_EQUAL(loop_met_stranger(&world.loop, world.look.now_usec), LOOP_STOP | LOOP_TUNE);
        CU_ASSERT_EQUAL(world.loop.pace.speed, PACE_STOPPED);
        CU_ASSERT_EQUAL(loop_met_stranger(&world.loop, world.look.now_usec), 0);
        /* Those that were merged begin from the start. */
        CU_ASSERT_EQUAL(tuned(&world, ready(two, 2)), LOOP_WRITE_PLAN);
        CU_ASSERT_EQUAL(world.loop.pace.speed, PACE_FAST);
        loop_deinit(&world.loop);
}

/* Nothing is done any more, until somebody wants it again. */
static void test_refused(void)
{
        struct loop_tuning refused = {.plan = LOOP_PLAN_REFUSED, .is_complete = true};
        struct world world;

        begin_acting(&world, &apart);
        world.loop.is_tuning = true;
        CU_ASSERT_EQUAL(tuned(&world, refused), LOOP_END_SAMPLING | LOOP_PUT_BACK);
        CU_ASSERT_TRUE(world.loop.has_given_up);
        CU_ASSERT_EQUAL(loop_arrived(&world.loop, world.look.now_usec), 0);
        CU_ASSERT_EQUAL(step_after(&world, 3600 * SEC), 0);
        CU_ASSERT_TRUE(loop_begin(&world.loop, &apart, world.look.now_usec) & LOOP_TUNE);
        /* By a plan that does not know everybody: it may pass. */
        refused.is_complete = false;
        CU_ASSERT_EQUAL(tuned(&world, refused), LOOP_END_SAMPLING | LOOP_STOP);
        CU_ASSERT_FALSE(world.loop.has_given_up);
        CU_ASSERT_EQUAL(step_after(&world, 10 * SEC + 1), LOOP_TUNE);
        loop_deinit(&world.loop);
}

/* The settings of a plan could not be written. */
static void test_not_written(void)
{
        struct world world;

        begin_acting(&world, &apart);
        CU_ASSERT_EQUAL(loop_refused(&world.loop), LOOP_END_SAMPLING | LOOP_PUT_BACK);
        CU_ASSERT_FALSE(loop_is_open(&world.loop) || world.loop.acts);
        loop_deinit(&world.loop);
}

/* Other rules while a tuning runs: what comes of it counts no more. */
static void test_other_rules(void)
{
        struct world world;

        begin_acting(&world, &apart);
        (void)loop_arrived(&world.loop, world.look.now_usec);
        CU_ASSERT_EQUAL(loop_begin(&world.loop, &apart, world.look.now_usec), LOOP_CANCEL);
        CU_ASSERT_EQUAL(tuned(&world, ready(three, 3)), LOOP_END_SAMPLING | LOOP_PUT_BACK | LOOP_TUNE);
        CU_ASSERT_FALSE(world.loop.acts);
        CU_ASSERT_EQUAL(loop_begin(&world.loop, &(struct loop_rules){0}, world.look.now_usec),
                        LOOP_CANCEL | LOOP_END_SAMPLING | LOOP_PUT_BACK);
        CU_ASSERT_EQUAL(tuned(&world, ready(three, 3)), LOOP_PUT_BACK);
        CU_ASSERT_FALSE(world.loop.acts);
        loop_deinit(&world.loop);
}

static void test_end(void)
{
        struct world world;

        begin_acting(&world, &apart);
        (void)loop_arrived(&world.loop, world.look.now_usec);
        CU_ASSERT_EQUAL(loop_end(&world.loop), LOOP_END_SAMPLING | LOOP_PUT_BACK);
        CU_ASSERT_EQUAL(tuned(&world, ready(three, 3)), LOOP_PUT_BACK);
        CU_ASSERT_EQUAL(step_after(&world, 3600 * SEC), 0);
        loop_deinit(&world.loop);
}

/* Guests that change all the time are not scanned all the time: a hundredth of it. */
static void test_content_changes(void)
{
        struct loop_tuning tuning = ready(two, 2);
        struct world world;

        begin_acting(&world, &apart);
        sample(&world, 0.4, 0.5);
        CU_ASSERT_FALSE(step_after(&world, 20 * SEC) & LOOP_TUNE);
        CU_ASSERT_TRUE(step_after(&world, 1) & LOOP_TUNE);
        tuning.duration_usec = 3 * SEC;
        (void)tuned(&world, tuning);
        sample(&world, 0.4, 0.5);
        CU_ASSERT_FALSE(step_after(&world, 300 * SEC) & LOOP_TUNE);
        CU_ASSERT_TRUE(step_after(&world, 1) & LOOP_TUNE);
        loop_deinit(&world.loop);
}

static const struct unit_test tests[] = {
        {"not wanted", test_not_wanted},
        {"fast, then still", test_fast_then_still},
        {"comparison", test_comparison},
        {"nothing worth while", test_nothing_worth_while},
        {"incomplete", test_incomplete},
        {"arrival", test_arrival},
        {"arrival among friends", test_arrival_among_friends},
        {"nobody new", test_nobody_new},
        {"stranger", test_stranger},
        {"refused", test_refused},
        {"not written", test_not_written},
        {"other rules", test_other_rules},
        {"end", test_end},
        {"content changes", test_content_changes},
};

UNIT_MAIN("loop", tests)
