/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "made_guests.h"
#include "merge/actual.h"
#include "unit.h"

#define KSM(frame)  ((frame) | FRAME_KSM)
#define ZERO(frame) ((frame) | FRAME_ZERO)

static struct actual *count(const struct made_guests *guests)
{
        struct census *census = NULL;
        struct actual *actual = NULL;

        CU_ASSERT_EQUAL_FATAL(census_new(made_guests_pool(), guests->pages, guests->n, &census), 0);
        CU_ASSERT_EQUAL_FATAL(actual_new(census, made_guests_pool(), &actual), 0);
        census_free(census);
        return actual;
}

/* 3. Six guest pages served by four frames: saved 2. */
static void test_six_pages_in_four_frames(void)
{
        static const int contents[] = {1, 1, 1, 2, 3, 4};
        struct made_guests guests = {0};
        struct pages_block *block = made_guests_add_contents(&guests, contents, 6, 100);
        struct actual *actual = NULL;

        block->frames[0] = block->frames[1] = block->frames[2] = KSM(7);
        actual = count(&guests);
        CU_ASSERT_EQUAL(actual_saved(&actual->total), 2);
        CU_ASSERT_EQUAL(actual->total.self, 2);
        CU_ASSERT_EQUAL(actual->total.ksm, 3);
        CU_ASSERT_EQUAL(actual->guests[0].self, 2);
        actual_free(actual);
        made_guests_free(&guests);
}

static void test_self_and_inter_of_one_frame(void)
{
        static const int contents[] = {1, 1, 1};
        struct made_guests guests = {0};
        struct pages_block *a = made_guests_add_contents(&guests, contents, 3, 100);
        struct pages_block *b = made_guests_add_contents(&guests, contents, 2, 200);
        struct actual *actual = NULL;

        for (size_t i = 0; i < 3; i++)
                a->frames[i] = KSM(7);
        for (size_t i = 0; i < 2; i++)
                b->frames[i] = KSM(7);
        actual = count(&guests);
        CU_ASSERT_EQUAL(actual->total.self, 3);
        CU_ASSERT_EQUAL(actual->total.inter, 1);
        CU_ASSERT_EQUAL(actual->guests[0].self, 2);
        CU_ASSERT_EQUAL(actual->guests[0].inter, 1);
        CU_ASSERT_EQUAL(actual->guests[1].self, 1);
        CU_ASSERT_EQUAL(actual->guests[1].inter, 1);
        CU_ASSERT_EQUAL(actual_saved(&actual->total), 4);
        actual_free(actual);
        made_guests_free(&guests);
}

/* A frame that changed hands between two readings: equal numbers behind different contents share nothing. */
static void test_recycled_frame_is_not_shared(void)
{
        static const int a[] = {1, 2};
        static const int b[] = {3, 2};
        struct made_guests guests = {0};
        struct actual *actual = NULL;

        made_guests_add_contents(&guests, a, 2, 100)->frames[0] = 7;
        made_guests_add_contents(&guests, b, 2, 200)->frames[0] = 7;
        actual = count(&guests);
        CU_ASSERT_EQUAL(actual_saved(&actual->total), 0);
        actual_free(actual);
        made_guests_free(&guests);
}

static void test_unknown_frames_are_own(void)
{
        static const int contents[] = {1, 1, MADE_ZERO, MADE_ZERO};
        struct made_guests guests = {0};
        struct pages_block *block = made_guests_add_contents(&guests, contents, 4, 100);
        struct actual *actual = NULL;

        for (size_t i = 0; i < 4; i++)
                block->frames[i] = FRAME_OWN;
        actual = count(&guests);
        CU_ASSERT_EQUAL(actual_saved(&actual->total), 0);
        actual_free(actual);
        made_guests_free(&guests);
}

static void test_zero_pages(void)
{
        static const int contents[] = {MADE_ZERO, MADE_ZERO, MADE_ZERO, MADE_ZERO, MADE_ZERO};
        struct made_guests guests = {0};
        struct pages_block *a = made_guests_add_contents(&guests, contents, 5, 100);
        struct pages_block *b = made_guests_add_contents(&guests, contents, 2, 200);
        struct actual *actual = NULL;

        a->frames[0] = ZERO(1); /* the kernel's zero page: no frame of its own */
        a->frames[1] = ZERO(1);
        a->frames[2] = KSM(9); /* merged with each other */
        a->frames[3] = KSM(9);
        b->frames[0] = KSM(9); /* and with another guest's */
        actual = count(&guests);
        CU_ASSERT_EQUAL(actual->guests[0].zero, 3); /* 5 pages in 2 frames */
        CU_ASSERT_EQUAL(actual->guests[1].zero, 0);
        CU_ASSERT_EQUAL(actual->total.zero, 4); /* 7 pages in frames 9, 104, 201 */
        CU_ASSERT_EQUAL(actual->total.self, 0);
        CU_ASSERT_EQUAL(actual->total.inter, 0);
        CU_ASSERT_EQUAL(actual->total.ksm, 3);
        actual_free(actual);
        made_guests_free(&guests);
}

static void test_known_only_if_all_are(void)
{
        static const int contents[] = {1};
        struct made_guests guests = {0};
        struct actual *actual = NULL;

        made_guests_add_contents(&guests, contents, 1, 100);
        made_guests_add_contents(&guests, contents, 1, 200);
        guests.pages[1]->frames_known = false;
        actual = count(&guests);
        CU_ASSERT_FALSE(actual->known);
        actual_free(actual);
        made_guests_free(&guests);
}

/* Saved is present pages less frames in use, whatever is merged with what. */
static void test_saved_on_random_frames(void)
{
        srand(2);
        for (int round = 0; round < 40; round++) {
                struct made_guests guests = {0};
                struct actual *actual = NULL;
                static unsigned char used[4096];
                size_t n_present = 0;
                size_t n_used = 0;

                for (size_t i = 0; i < sizeof(used); i++)
                        used[i] = 0;
                for (size_t g = 0; g < 3; g++) {
                        struct pages_block *block = made_guests_add(&guests, 700);

                        for (size_t i = 0; i < 700; i++) {
                                const int content = rand() % 60 - 1; /* -1: zero, 0: absent */
                                const uint64_t frame = 1 + (uint64_t)(content + 1) * 8 + (uint64_t)rand() % 8;

                                block->fingerprints[i] = made_fingerprint(content);
                                block->frames[i] = frame;
                                if (content == MADE_ABSENT)
                                        continue;
                                n_present++;
                                n_used += !used[frame];
                                used[frame] = 1;
                        }
                }
                actual = count(&guests);
                CU_ASSERT_EQUAL(actual_saved(&actual->total), n_present - n_used);
                actual_free(actual);
                made_guests_free(&guests);
        }
}

static const struct unit_test tests[] = {
        {"six pages in four frames", test_six_pages_in_four_frames},
        {"self and inter of one frame", test_self_and_inter_of_one_frame},
        {"recycled frame is not shared", test_recycled_frame_is_not_shared},
        {"unknown frames are own", test_unknown_frames_are_own},
        {"zero pages", test_zero_pages},
        {"known only if all are", test_known_only_if_all_are},
        {"saved on random frames", test_saved_on_random_frames},
};

UNIT_MAIN("actual", tests)
