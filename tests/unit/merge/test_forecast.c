/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "made_guests.h"
#include "merge/forecast.h"
#include "unit.h"

static const bool nobody[MADE_MAX_GUESTS];

static struct forecast *reckon(const struct made_guests *guests, const uint32_t *groups, size_t n_groups,
                               uint64_t max_page_sharing, bool *left_out)
{
        const struct forecast_request request = {.groups = groups,
                                                 .n_groups = n_groups,
                                                 .left_out = nobody,
                                                 .max_page_sharing = max_page_sharing};
        struct census *census = NULL;
        struct forecast *forecast = NULL;

        CU_ASSERT_EQUAL_FATAL(census_new(made_guests_pool(), guests->pages, guests->n, &census), 0);
        if (left_out)
                CU_ASSERT_EQUAL_FATAL(
                        forecast_leave_out_losses(census, made_guests_pool(), &request, left_out, &forecast),
                        0)
        else
                CU_ASSERT_EQUAL_FATAL(forecast_new(census, made_guests_pool(), &request, &forecast), 0)
        census_free(census);
        return forecast;
}

static void check(const struct forecast_figures *figures, uint64_t scanned, uint64_t sharable, uint64_t self,
                  uint64_t inter, uint64_t zero)
{
        CU_ASSERT_EQUAL(figures->scanned, scanned);
        CU_ASSERT_EQUAL(figures->sharable, sharable);
        CU_ASSERT_EQUAL(figures->self, self);
        CU_ASSERT_EQUAL(figures->inter, inter);
        CU_ASSERT_EQUAL(figures->zero, zero);
}

/* Worked example 2 of the sharing model: three copies of the same ten pages each. */
static void test_one_group(void)
{
        static const uint32_t groups[] = {0, 0};
        struct made_guests guests = {0};
        struct forecast *forecast = NULL;
        int contents[30];

        for (int i = 0; i < 30; i++)
                contents[i] = 1 + i % 10;
        made_guests_add_contents(&guests, contents, 30, 1000);
        made_guests_add_contents(&guests, contents, 30, 2000);
        forecast = reckon(&guests, groups, 1, 256, NULL);
        check(&forecast->groups[0], 60, 60, 40, 10, 0);
        check(&forecast->across, 60, 60, 40, 10, 0);
        check(&forecast->guests[0], 30, 30, 20, 10, 0);
        check(&forecast->guests[1], 30, 30, 20, 10, 0);
        CU_ASSERT_EQUAL(forecast_saved_bytes(&forecast->groups[0]), INT64_C(50) * 4096);
        CU_ASSERT_EQUAL(forecast_net_bytes(&forecast->groups[0]), INT64_C(50) * 4096 - INT64_C(60) * 64);
        forecast_free(forecast);
        made_guests_free(&guests);
}

/* Guests of different groups share nothing; across says what that costs. */
static void test_groups_are_apart(void)
{
        static const uint32_t groups[] = {0, 1, 1};
        static const int contents[] = {1, 2, 3, MADE_ABSENT, MADE_ZERO};
        struct made_guests guests = {0};
        struct forecast *forecast = NULL;

        for (int i = 0; i < 3; i++)
                made_guests_add_contents(&guests, contents, 5, 1000 * (uint64_t)(i + 1));
        forecast = reckon(&guests, groups, 2, 256, NULL);
        check(&forecast->groups[0], 4, 0, 0, 0, 0);
        check(&forecast->groups[1], 8, 6, 0, 3, 1);
        check(&forecast->across, 12, 9, 0, 6, 2);
        check(&forecast->guests[0], 4, 0, 0, 0, 0);
        check(&forecast->guests[1], 4, 3, 0, 3, 0);
        forecast_free(forecast);
        made_guests_free(&guests);
}

/* Worked example 5: five and 300 copies of one content; two frames are needed. */
static void test_ceiling(void)
{
        static const uint32_t groups[] = {0, 0};
        struct made_guests guests = {0};
        struct forecast *forecast = NULL;
        int contents[300];

        for (int i = 0; i < 300; i++)
                contents[i] = 7;
        made_guests_add_contents(&guests, contents, 5, 1000);
        made_guests_add_contents(&guests, contents, 300, 2000);
        forecast = reckon(&guests, groups, 1, 256, NULL);
        check(&forecast->groups[0], 305, 305, 4 + 298, 1, 0);
        CU_ASSERT_EQUAL(forecast->guests[0].self + forecast->guests[0].inter, 5);
        CU_ASSERT_EQUAL(forecast->guests[1].self, 298);
        forecast_free(forecast);
        forecast = reckon(&guests, groups, 1, 0, NULL);
        check(&forecast->groups[0], 305, 305, 4 + 299, 1, 0);
        forecast_free(forecast);
        made_guests_free(&guests);
}

/* Shared and hugetlb memory is none of KSM's; memory that is not marked yet is. */
static void test_what_can_merge(void)
{
        static const uint32_t groups[] = {0, 0, 0};
        static const int contents[] = {1, 1, 2};
        struct made_guests guests = {0};
        struct forecast *forecast = NULL;

        for (int i = 0; i < 3; i++)
                made_guests_add_contents(&guests, contents, 3, 1000 * (uint64_t)(i + 1));
        guests.pages[0]->blocks[0].ranges[0].shared = true;
        guests.pages[1]->blocks[0].ranges[0].hugetlb = true;
        guests.pages[2]->blocks[0].ranges[0].mergeable = false;
        forecast = reckon(&guests, groups, 1, 256, NULL);
        check(&forecast->groups[0], 3, 2, 1, 0, 0);
        check(&forecast->guests[0], 0, 0, 0, 0, 0);
        check(&forecast->guests[2], 3, 2, 1, 0, 0);
        forecast_free(forecast);
        made_guests_free(&guests);
}

/* Zero pages that use no frame are saved already and are not scanned. */
static void test_zero_pages(void)
{
        static const uint32_t groups[] = {0};
        static const int contents[] = {MADE_ZERO, MADE_ZERO, MADE_ZERO, 5};
        struct made_guests guests = {0};
        struct pages_block *block = made_guests_add_contents(&guests, contents, 4, 1000);
        struct forecast *forecast = NULL;

        block->frames[0] = 1 | FRAME_ZERO;
        forecast = reckon(&guests, groups, 1, 256, NULL);
        check(&forecast->groups[0], 3, 0, 0, 0, 2);
        CU_ASSERT_EQUAL(forecast->groups[0].zero_now, 1);
        CU_ASSERT_EQUAL(forecast_saved_bytes(&forecast->groups[0]), INT64_C(2) * 4096);
        CU_ASSERT_EQUAL(forecast_net_bytes(&forecast->groups[0]),
                        INT64_C(4096) - INT64_C(3) * 64); /* one is saved already */
        forecast_free(forecast);
        made_guests_free(&guests);
}

/* A huge page is split once, however many of its pages are merged, and not for pages that are unique. */
static void test_huge_pages(void)
{
        static const uint32_t groups[] = {0, 1};
        struct made_guests guests = {0};
        struct pages_block *block = made_guests_add(&guests, 2048);
        struct pages_block *other = made_guests_add(&guests, 512);
        struct forecast *forecast = NULL;

        block->ranges[0].hva = UINT64_C(0x7f0000100000); /* in the middle of a huge page */
        other->ranges[0].hva = UINT64_C(0x7f0000000000);
        for (uint64_t i = 0; i < 2048; i++) {
                block->fingerprints[i] = made_fingerprint((int)i + 1);
                block->frames[i] = (1000 + i) | FRAME_HUGE;
        }
        other->fingerprints[0] = made_fingerprint(2000); /* in another group */
        other->frames[0] = 9000 | FRAME_HUGE;
        block->fingerprints[10] = block->fingerprints[11] = made_fingerprint(5000);
        block->fingerprints[300] = made_fingerprint(5000);
        block->fingerprints[900] = made_fingerprint(5000);
        block->frames[900] = 5; /* split already */
        forecast = reckon(&guests, groups, 2, 256, NULL);
        CU_ASSERT_EQUAL(forecast->huge_pages[0], 2); /* page 256 is the first of the second one */
        CU_ASSERT_EQUAL(forecast->huge_pages[1], 0);
        forecast_free(forecast);
        made_guests_free(&guests);
}

/* 64 bytes for each page that is scanned, 4096 for one that is saved: 1 in 64 is break-even. */
static void test_losses_are_left_out(void)
{
        static const uint32_t groups[] = {0, 0, 0};
        struct made_guests guests = {0};
        bool left_out[3] = {false};
        struct forecast *forecast = NULL;

        for (int g = 0; g < 3; g++) {
                struct pages_block *block = made_guests_add(&guests, 1000);

                for (uint64_t i = 0; i < 1000; i++) {
                        block->fingerprints[i] = made_fingerprint(g * 1000 + (int)i + 1);
                        block->frames[i] = (uint64_t)(g + 1) * 10000 + i;
                }
        }
        /* The first two share 100 pages; the third has 10 of the first's. */
        for (uint64_t i = 0; i < 100; i++)
                guests.pages[1]->blocks[0].fingerprints[i] = made_fingerprint((int)i + 1);
        for (uint64_t i = 500; i < 510; i++)
                guests.pages[2]->blocks[0].fingerprints[i] = made_fingerprint((int)i + 1);
        forecast = reckon(&guests, groups, 1, 256, left_out);
        CU_ASSERT_FALSE(left_out[0]);
        CU_ASSERT_FALSE(left_out[1]);
        CU_ASSERT_TRUE(left_out[2]);
        check(&forecast->groups[0], 2000, 200, 0, 100, 0);
        CU_ASSERT_EQUAL(forecast->across.inter, 110);
        forecast_free(forecast);
        made_guests_free(&guests);
}

/* Leaving one out makes another one a loss. */
static void test_losses_follow_each_other(void)
{
        static const uint32_t groups[] = {0, 0};
        struct made_guests guests = {0};
        bool left_out[2] = {false};
        struct forecast *forecast = NULL;
        struct pages_block *small = made_guests_add(&guests, 20);
        struct pages_block *large = made_guests_add(&guests, 2000);

        for (uint64_t i = 0; i < 20; i++)
                small->fingerprints[i] = made_fingerprint((int)i + 1);
        for (uint64_t i = 0; i < 2000; i++)
                large->fingerprints[i] = made_fingerprint((int)i + 1);
        forecast = reckon(&guests, groups, 1, 256, left_out);
        CU_ASSERT_TRUE(left_out[0]);
        CU_ASSERT_TRUE(left_out[1]);
        check(&forecast->groups[0], 0, 0, 0, 0, 0);
        forecast_free(forecast);
        made_guests_free(&guests);
}

/* Against plain counting: saved = pages - frames, whatever the copies. */
static void test_random(void)
{
        enum { GUESTS = 5, PAGES = 400, CONTENTS = 60, MAX = 4 };
        static const uint32_t groups[GUESTS] = {0, 1, 0, 1, 2};
        struct made_guests guests = {0};
        struct forecast *forecast = NULL;
        uint64_t counts[3][CONTENTS + 1] = {{0}};
        unsigned int seed = 42;

        for (int g = 0; g < GUESTS; g++) {
                struct pages_block *block = made_guests_add(&guests, PAGES);

                for (uint64_t i = 0; i < PAGES; i++) {
                        const int content = rand_r(&seed) % CONTENTS + 1;

                        block->fingerprints[i] = made_fingerprint(content);
                        counts[groups[g]][content]++;
                }
        }
        forecast = reckon(&guests, groups, 3, MAX, NULL);
        for (int group = 0; group < 3; group++) {
                uint64_t saved = 0;

                for (int c = 1; c <= CONTENTS; c++)
                        saved += counts[group][c] - (counts[group][c] + MAX - 1) / MAX;
                CU_ASSERT_EQUAL(forecast->groups[group].self + forecast->groups[group].inter, saved);
        }
        forecast_free(forecast);
        made_guests_free(&guests);
}

static const struct unit_test tests[] = {
        {"one group", test_one_group},
        {"groups are apart", test_groups_are_apart},
        {"ceiling", test_ceiling},
        {"what can merge", test_what_can_merge},
        {"zero pages", test_zero_pages},
        {"huge pages", test_huge_pages},
        {"losses are left out", test_losses_are_left_out},
        {"losses follow each other", test_losses_follow_each_other},
        {"random", test_random},
};

UNIT_MAIN("forecast", tests)
