/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/clock.h"
#include "daemon/schedule.h"
#include "unit.h"

#define HOUR (3600 * USEC_PER_SEC)

static void test_within_the_jitter(void)
{
        const struct options config = {.interval_usec = HOUR, .jitter_usec = HOUR / 4};
        uint64_t least = UINT64_MAX;
        uint64_t most = 0;

        for (uint64_t random = 0; random < 4 * HOUR; random += HOUR / 97) {
                const uint64_t next = schedule_next_usec(&config, random);

                least = next < least ? next : least;
                most = next > most ? next : most;
                CU_ASSERT_TRUE(schedule_first_usec(&config, random) < HOUR / 4);
        }
        CU_ASSERT_TRUE(least >= HOUR - HOUR / 4 && least < HOUR);
        CU_ASSERT_TRUE(most <= HOUR + HOUR / 4 && most > HOUR);
}

static void test_without_jitter(void)
{
        const struct options config = {.interval_usec = HOUR};

        CU_ASSERT_EQUAL(schedule_first_usec(&config, 12345), 0);
        CU_ASSERT_EQUAL(schedule_next_usec(&config, 12345), HOUR);
}

static void test_never(void)
{
        const struct options config = {.interval_usec = USEC_INFINITY, .jitter_usec = HOUR};

        CU_ASSERT_EQUAL(schedule_first_usec(&config, 1), USEC_INFINITY);
        CU_ASSERT_EQUAL(schedule_next_usec(&config, 1), USEC_INFINITY);
}

/* More jitter than interval: sometimes at once, never before that. */
static void test_more_jitter_than_interval(void)
{
        const struct options config = {.interval_usec = HOUR, .jitter_usec = 10 * HOUR};

        for (uint64_t random = 0; random < 50 * HOUR; random += HOUR / 7)
                CU_ASSERT_TRUE(schedule_next_usec(&config, random) <= 2 * HOUR);
}

static const struct unit_test tests[] = {
        {"within the jitter", test_within_the_jitter},
        {"without jitter", test_without_jitter},
        {"never", test_never},
        {"more jitter than interval", test_more_jitter_than_interval},
};

UNIT_MAIN("schedule", tests)
