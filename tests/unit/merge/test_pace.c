/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "merge/pace.h"
#include "unit.h"

#define PAGES 1000000

/* A host in which everything sharable is merged, and a sample that says so. */
static struct pace_facts settled(void)
{
        return (struct pace_facts){
                .now_usec = 1000000,
                .sample = {.pages = 2000,
                           .merged = 0.40,
                           .merged_error = 0.02,
                           .changed = 0,
                           .changed_error = 0},
                .sharable = 0.40,
                .full_scans = 10,
                .merged_pages = 400000,
                .scanned_pages = PAGES,
        };
}

static void test_starts_with_a_gap(void)
{
        struct pace_facts facts = settled();
        struct pace pace;

        pace_init(&pace);
        pace_step(&pace, &facts);
        CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
        CU_ASSERT_DOUBLE_EQUAL(pace.gap, 0, 1e-9);
        facts.sample.merged = 0.37; /* within the error of 2 % and the 2 % that count */
        pace_step(&pace, &facts);
        CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
        facts.sample.merged = 0.35;
        pace_step(&pace, &facts);
        CU_ASSERT_EQUAL(pace.speed, PACE_FAST);
        CU_ASSERT_DOUBLE_EQUAL(pace.gap, 0.05, 1e-9);
}

static void test_nothing_known(void)
{
        struct pace_facts facts = settled();
        struct pace pace;

        pace_init(&pace);
        facts.sharable = -1;
        facts.sample.merged = 0;
        pace_step(&pace, &facts);
        CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
        CU_ASSERT_TRUE(pace.gap < 0);
        facts = settled();
        facts.sample = (struct pace_sample){0};
        pace_step(&pace, &facts);
        CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
}

/* One pass of KSM, and one look at the sample. */
static void pass(struct pace *pace, struct pace_facts *facts, int64_t merged)
{
        facts->full_scans++;
        facts->merged_pages += merged;
        facts->sample.number++;
        pace_step(pace, facts);
}

static void test_fast_until_nothing_is_gained(void)
{
        struct pace_facts facts = settled();
        struct pace pace;

        pace_init(&pace);
        pace_kick(&pace, &facts, 0);
        pass(&pace, &facts, 0);
        pass(&pace, &facts, 0);
        CU_ASSERT_EQUAL(pace.speed, PACE_FAST); /* two passes merge nothing that came in between */
        pass(&pace, &facts, 5000);
        CU_ASSERT_EQUAL(pace.speed, PACE_FAST);
        pass(&pace, &facts, 2001);
        CU_ASSERT_EQUAL(pace.speed, PACE_FAST);
        pass(&pace, &facts, 2000);
        CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
}

/* Zero pages that lose their frames by the splitting of huge pages are in no counter of KSM's. */
static void test_sample_gains(void)
{
        struct pace_facts facts = settled();
        struct pace pace;

        pace_init(&pace);
        pace_kick(&pace, &facts, 0);
        for (int i = 0; i < 10; i++) {
                facts.sample.merged += 0.003;
                pass(&pace, &facts, 0);
        }
        CU_ASSERT_EQUAL(pace.speed, PACE_FAST);
        facts.sample.merged += 0.001;
        pass(&pace, &facts, 0);
        CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
}

static void test_hold(void)
{
        struct pace_facts facts = settled();
        struct pace pace;

        pace_init(&pace);
        pace_kick(&pace, &facts, 5000000);
        for (int i = 0; i < 10; i++)
                pass(&pace, &facts, 0);
        CU_ASSERT_EQUAL(pace.speed, PACE_FAST);
        facts.now_usec += 5000000;
        pass(&pace, &facts, 0);
        CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
}

/* What KSM could not merge in one try it is not asked to merge again at once. */
static void test_residual_is_left_alone(void)
{
        struct pace_facts facts = settled();
        struct pace pace;

        facts.sample.merged = 0.30;
        pace_init(&pace);
        pace_step(&pace, &facts);
        CU_ASSERT_EQUAL(pace.speed, PACE_FAST);
        for (int i = 0; i < 3; i++)
                pass(&pace, &facts, 0);
        CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
        for (int i = 0; i < 100; i++)
                pace_step(&pace, &facts);
        CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
        facts.sample.merged = 0.25;
        pace_step(&pace, &facts);
        CU_ASSERT_EQUAL(pace.speed, PACE_FAST);
        for (int i = 0; i < 3; i++)
                pass(&pace, &facts, 0);
        pace_step(&pace, &facts);
        facts.now_usec += UINT64_C(1000) * 1000000; /* much later it is worth another try */
        pace_step(&pace, &facts);
        CU_ASSERT_EQUAL(pace.speed, PACE_FAST);
}

static void test_churn_wants_a_scan(void)
{
        struct pace_facts facts = settled();
        struct pace pace;

        pace_init(&pace);
        facts.sample.changed = 0.11;
        facts.sample.changed_error = 0.02;
        pace_step(&pace, &facts);
        CU_ASSERT_FALSE(pace.wants_scan);
        facts.sample.changed = 0.13;
        pace_step(&pace, &facts);
        CU_ASSERT_TRUE(pace.wants_scan);
        pace_scanned(&pace);
        CU_ASSERT_FALSE(pace.wants_scan);
}

/* A gap that cannot be closed is no less so after another scan. */
static void test_scan_is_no_reason(void)
{
        struct pace_facts facts = settled();
        struct pace pace;

        facts.sample.merged = 0.30;
        pace_init(&pace);
        pace_step(&pace, &facts);
        for (int i = 0; i < 3; i++)
                pass(&pace, &facts, 0);
        for (int i = 0; i < 20; i++) {
                facts.now_usec += 1000000;
                pace_scanned(&pace);
                pace_step(&pace, &facts);
                CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
        }
}

/* A burst that took long has to pay before the next one, however clear the gap is. */
static void test_pays(void)
{
        struct pace_facts facts = settled();
        struct pace pace;
        double gib_seconds = 0;

        pace_init(&pace);
        pace_kick(&pace, &facts, 0);
        facts.now_usec += 100 * UINT64_C(1000000); /* a burst of 100 s is worth 400 GiB s */
        for (int i = 0; i < 3; i++)
                pass(&pace, &facts, 0);
        CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
        facts.sample.merged = 0.30;
        for (int i = 0; i < 2000 && pace.speed == PACE_STOPPED; i++) {
                facts.now_usec += 1000000;
                gib_seconds += 0.1 * PAGES * 4096 / (1 << 30);
                pace_step(&pace, &facts);
        }
        CU_ASSERT_EQUAL(pace.speed, PACE_FAST);
        CU_ASSERT_DOUBLE_EQUAL(gib_seconds, 400, 1);
        facts.now_usec += 1000000; /* and one of a second that of a second */
        facts.sample.merged = 0.40;
        for (int i = 0; i < 3; i++)
                pass(&pace, &facts, 50000);
        pass(&pace, &facts, 0);
        CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
        facts.sample.merged = 0.30;
        facts.now_usec += 11 * UINT64_C(1000000);
        pace_step(&pace, &facts);
        CU_ASSERT_EQUAL(pace.speed, PACE_FAST);
}

/* What came of the forecast is worth a look when KSM has merged something, and only then. */
static void test_end_of_a_gain(void)
{
        struct pace_facts facts = settled();
        struct pace pace;

        pace_init(&pace);
        for (int gained = 0; gained < 2; gained++) {
                pace_kick(&pace, &facts, 0);
                pass(&pace, &facts, gained ? 50000 : 0);
                CU_ASSERT_FALSE(pace.has_gained);
                for (int i = 0; i < 3; i++)
                        pass(&pace, &facts, 0);
                CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
                CU_ASSERT_EQUAL(pace.has_gained, gained);
        }
}

/* Whoever had KSM begin anew: it comes to its end again. */
static void test_counter_that_falls(void)
{
        struct pace_facts facts = settled();
        struct pace pace;

        pace_init(&pace);
        pace_kick(&pace, &facts, 0);
        facts.full_scans = 0;
        for (int i = 0; i < 4; i++)
                pass(&pace, &facts, 0);
        CU_ASSERT_EQUAL(pace.speed, PACE_STOPPED);
}

static const struct unit_test tests[] = {
        {"starts with a gap", test_starts_with_a_gap},
        {"nothing known", test_nothing_known},
        {"fast until nothing is gained", test_fast_until_nothing_is_gained},
        {"hold", test_hold},
        {"sample gains", test_sample_gains},
        {"residual is left alone", test_residual_is_left_alone},
        {"churn wants a scan", test_churn_wants_a_scan},
        {"scan is no reason", test_scan_is_no_reason},
        {"pays", test_pays},
        {"end of a gain", test_end_of_a_gain},
        {"counter that falls", test_counter_that_falls},
};

UNIT_MAIN("pace", tests)
