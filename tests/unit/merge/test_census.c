/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worked examples of docs/sharing-model.md, and the identity on random page sets. */
#include "made_guests.h"
#include "merge/census.h"
#include "unit.h"

#include <stdatomic.h>

#include <string.h>

static struct census *count(const struct made_guests *guests)
{
        struct census *census = NULL;

        CU_ASSERT_EQUAL_FATAL(census_new(made_guests_pool(), guests->pages, guests->n, &census), 0);
        return census;
}

static void fill(int *contents, size_t n, int first, size_t n_distinct)
{
        for (size_t i = 0; i < n; i++)
                contents[i] = first + (int)(i % n_distinct);
}

/* 1. A and B each hold the same 10 distinct pages: 20 pages, self 0, inter 10. */
static void test_two_equal_guests(void)
{
        struct made_guests guests = {0};
        struct census *census = NULL;
        int contents[10];

        fill(contents, 10, 1, 10);
        made_guests_add_contents(&guests, contents, 10, 100);
        made_guests_add_contents(&guests, contents, 10, 200);
        census = count(&guests);
        CU_ASSERT_EQUAL(census->total.present, 20);
        CU_ASSERT_EQUAL(census->total.self_sharing, 0);
        CU_ASSERT_EQUAL(census->total.inter_sharing, 10);
        CU_ASSERT_EQUAL(census->total.distinct, 10);
        CU_ASSERT_EQUAL(census->guests[0].inter_sharing, 10);
        CU_ASSERT_EQUAL(census->guests[1].inter_sharing, 10);
        census_free(census);
        made_guests_free(&guests);
}

/* 2. A and B each hold 3 copies of the same 10 pages: self 40, inter 10, distinct 10 of 60. */
static void test_copies_inside_and_across(void)
{
        struct made_guests guests = {0};
        struct census *census = NULL;
        int contents[30];

        fill(contents, 30, 1, 10);
        made_guests_add_contents(&guests, contents, 30, 100);
        made_guests_add_contents(&guests, contents, 30, 200);
        census = count(&guests);
        CU_ASSERT_EQUAL(census->total.present, 60);
        CU_ASSERT_EQUAL(census->total.self_sharing, 40);
        CU_ASSERT_EQUAL(census->total.inter_sharing, 10);
        CU_ASSERT_EQUAL(census->total.distinct, 10);
        CU_ASSERT_EQUAL(census->guests[0].self_sharing, 20);
        CU_ASSERT_EQUAL(census->guests[0].distinct, 10);
        census_free(census);
        made_guests_free(&guests);
}

/* 4. One machine alone: inter is 0 whatever it holds. */
static void test_one_guest_has_no_inter(void)
{
        struct made_guests guests = {0};
        struct census *census = NULL;
        int contents[100];

        fill(contents, 100, 5, 7);
        made_guests_add_contents(&guests, contents, 100, 100);
        census = count(&guests);
        CU_ASSERT_EQUAL(census->total.inter_sharing, 0);
        CU_ASSERT_EQUAL(census->guests[0].inter_sharing, 0);
        CU_ASSERT_EQUAL(census->total.self_sharing, 93);
        census_free(census);
        made_guests_free(&guests);
}

/* 5. A holds content x 5 times, B 300 times: self 4 + 299, inter 1, distinct 1. */
static void test_one_content_many_times(void)
{
        struct made_guests guests = {0};
        struct census *census = NULL;
        int contents[300];

        fill(contents, 300, 9, 1);
        made_guests_add_contents(&guests, contents, 5, 100);
        made_guests_add_contents(&guests, contents, 300, 1000);
        census = count(&guests);
        CU_ASSERT_EQUAL(census->guests[0].self_sharing, 4);
        CU_ASSERT_EQUAL(census->guests[1].self_sharing, 299);
        CU_ASSERT_EQUAL(census->total.inter_sharing, 1);
        CU_ASSERT_EQUAL(census->total.distinct, 1);
        census_free(census);
        made_guests_free(&guests);
}

/* 6. Only zero pages: self = inter = distinct = 0. */
static void test_only_zero_pages(void)
{
        struct made_guests guests = {0};
        struct census *census = NULL;
        int contents[50];

        for (size_t i = 0; i < 50; i++)
                contents[i] = MADE_ZERO;
        made_guests_add_contents(&guests, contents, 50, 100);
        made_guests_add_contents(&guests, contents, 20, 200);
        census = count(&guests);
        CU_ASSERT_EQUAL(census->total.zero, 70);
        CU_ASSERT_EQUAL(census->total.present, 70);
        CU_ASSERT_EQUAL(census->total.self_sharing, 0);
        CU_ASSERT_EQUAL(census->total.inter_sharing, 0);
        CU_ASSERT_EQUAL(census->total.distinct, 0);
        census_free(census);
        made_guests_free(&guests);
}

static void test_absent_and_swapped_are_not_present(void)
{
        static const int contents[] = {MADE_ABSENT, 3, MADE_SWAPPED, 3, MADE_ZERO, MADE_SWAPPED, 4};
        struct made_guests guests = {0};
        struct census *census = NULL;

        made_guests_add_contents(&guests, contents, 7, 100);
        census = count(&guests);
        CU_ASSERT_EQUAL(census->total.ram, 7);
        CU_ASSERT_EQUAL(census->total.absent, 1);
        CU_ASSERT_EQUAL(census->total.swapped, 2);
        CU_ASSERT_EQUAL(census->total.present, 4);
        CU_ASSERT_EQUAL(census->total.zero, 1);
        CU_ASSERT_EQUAL(census->total.distinct, 2);
        CU_ASSERT_EQUAL(census->total.self_sharing, 1);
        census_free(census);
        made_guests_free(&guests);
}

static void test_no_guests(void)
{
        struct made_guests guests = {0};
        struct census *census = count(&guests);

        CU_ASSERT_EQUAL(census->total.present, 0);
        census_free(census);
}

#define RANDOM_CONTENTS 400

/* The figures by counting contents in a table: no sorting, no hashing. */
struct plain_count {
        uint64_t copies[MADE_MAX_GUESTS][RANDOM_CONTENTS];
};

static void check_against(const struct plain_count *plain, const struct census *census)
{
        uint64_t distinct = 0;
        uint64_t self = 0;
        uint64_t inter = 0;

        for (size_t g = 0; g < census->n_guests; g++) {
                const struct census_figures *figures = &census->guests[g];
                uint64_t guest_inter = 0;

                for (int c = 1; c < RANDOM_CONTENTS; c++) {
                        size_t holders = 0;

                        for (size_t other = 0; other < census->n_guests; other++)
                                holders += plain->copies[other][c] > 0;
                        if (plain->copies[g][c] == 0)
                                continue;
                        self += plain->copies[g][c] - 1;
                        guest_inter += holders > 1;
                }
                CU_ASSERT_EQUAL(figures->inter_sharing, guest_inter);
                CU_ASSERT_EQUAL(figures->present, figures->zero + figures->distinct + figures->self_sharing);
                CU_ASSERT_EQUAL(figures->ram, figures->present + figures->absent + figures->swapped);
        }
        for (int c = 1; c < RANDOM_CONTENTS; c++) {
                size_t holders = 0;

                for (size_t g = 0; g < census->n_guests; g++)
                        holders += plain->copies[g][c] > 0;
                distinct += holders > 0;
                inter += holders > 0 ? holders - 1 : 0;
        }
        CU_ASSERT_EQUAL(census->total.distinct, distinct);
        CU_ASSERT_EQUAL(census->total.self_sharing, self);
        CU_ASSERT_EQUAL(census->total.inter_sharing, inter);
        CU_ASSERT_EQUAL(census->total.present, census->total.zero + distinct + self + inter);
}

static void test_identity_on_random_pages(void)
{
        static struct plain_count plain;

        srand(1);
        for (int round = 0; round < 40; round++) {
                struct made_guests guests = {0};
                struct census *census = NULL;
                const size_t n_guests = 1 + (size_t)rand() % 5;

                memset(&plain, 0, sizeof(plain));
                for (size_t g = 0; g < n_guests; g++) {
                        const size_t n_pages = (size_t)rand() % 3000;
                        struct pages_block *block = made_guests_add(&guests, n_pages);

                        for (size_t i = 0; i < n_pages; i++) {
                                const int content = rand() % (RANDOM_CONTENTS + 2) - 2;

                                block->fingerprints[i] = made_fingerprint(content);
                                if (content > 0)
                                        plain.copies[g][content]++;
                        }
                }
                census = count(&guests);
                check_against(&plain, census);
                census_free(census);
                made_guests_free(&guests);
        }
}

/* Fingerprints that differ in one byte only, in every position, and many equal ones: the sort's corner cases.
 */
static void test_sort_by_every_byte(void)
{
        struct made_guests guests = {0};
        struct pages_block *block = made_guests_add(&guests, UINT64_C(2) * 8 * 256);
        struct census *census = NULL;
        size_t n = 0;

        for (unsigned int copy = 0; copy < 2; copy++)
                for (unsigned int shift = 0; shift < 64; shift += 8)
                        for (uint64_t digit = 0; digit < 256; digit++)
                                block->fingerprints[n++] = UINT64_C(0x8080808080808080) ^ digit << shift;
        census = count(&guests);
        /* digit 0 gives the same value in all 8 positions */
        CU_ASSERT_EQUAL(census->total.distinct, 8 * 255 + 1);
        CU_ASSERT_EQUAL(census->total.self_sharing, 2 * 8 * 256 - (8 * 255 + 1));
        census_free(census);
        made_guests_free(&guests);
}

/* Two contents that are there very often, and equal in all that pages are placed by, one in turn with the other. */
static void test_many_pages_of_one_place(void)
{
        const size_t n_pages = 100000;
        struct made_guests guests = {0};
        struct pages_block *block = made_guests_add(&guests, n_pages);
        struct census *census = NULL;

        for (size_t i = 0; i < n_pages; i++)
                block->fingerprints[i] = UINT64_C(0x1234567800000000) + i % 2;
        census = count(&guests);
        CU_ASSERT_EQUAL(census->total.distinct, 2);
        CU_ASSERT_EQUAL(census->total.self_sharing, n_pages - 2);
        census_free(census);
        made_guests_free(&guests);
}

struct equality {
        const struct made_guests *guests;
        atomic_size_t n_copies; /* the workers call at the same time */
        atomic_size_t n_wrong;
};

static void check_equality(void *context, unsigned int worker, const struct census_copy *copies,
                           size_t n_copies)
{
        struct equality *equality = context;
        uint64_t first = 0;

        (void)worker;
        for (size_t i = 0; i < n_copies; i++) {
                const struct pages *pages = equality->guests->pages[copies[i].guest];
                const uint64_t fingerprint = pages->blocks[copies[i].block].fingerprints[copies[i].page];

                first = i == 0 ? fingerprint : first;
                equality->n_wrong += fingerprint != first;
        }
        equality->n_copies += n_copies;
}

/* Enough pages for several partitions, with one content that is there very often and pairs in between. */
static void test_many_partitions(void)
{
        const size_t n_pages = 300000;
        struct made_guests guests = {0};
        struct pages_block *a = made_guests_add(&guests, n_pages);
        struct pages_block *b = made_guests_add(&guests, n_pages);
        struct equality equality = {.guests = &guests};
        struct census *census = NULL;

        for (size_t i = 0; i < n_pages; i++) {
                /* even pages: one content; odd pages: of their own, and every fourth the same in both guests */
                a->fingerprints[i] = made_fingerprint(i % 2 == 0 ? 1 : (int)i + 10);
                b->fingerprints[i] = made_fingerprint(i % 2 == 0 ? 1 : (int)i + (i % 4 == 1 ? 10 : 1000000));
        }
        census = count(&guests);
        CU_ASSERT_EQUAL(census->total.distinct, 1 + n_pages / 2 + n_pages / 4);
        CU_ASSERT_EQUAL(census->total.self_sharing, 2 * (n_pages / 2 - 1));
        CU_ASSERT_EQUAL(census->total.inter_sharing, 1 + n_pages / 4);
        CU_ASSERT_EQUAL(census->guests[0].distinct, 1 + n_pages / 2);
        CU_ASSERT_EQUAL(census->guests[1].inter_sharing, 1 + n_pages / 4);
        CU_ASSERT_EQUAL(census_for_each_duplicate(census, made_guests_pool(), check_equality, &equality), 0);
        CU_ASSERT_EQUAL(equality.n_wrong, 0);
        CU_ASSERT_EQUAL(equality.n_copies, n_pages + n_pages / 2);
        census_free(census);
        made_guests_free(&guests);
}

static void note_group(void *context, unsigned int worker, const struct census_copy *copies, size_t n_copies)
{
        atomic_uint_least64_t *seen = context;

        CU_ASSERT(worker < pool_n_threads(made_guests_pool()));
        seen[0]++;
        seen[1] += n_copies;
        for (size_t i = 1; i < n_copies; i++)
                CU_ASSERT(copies[i - 1].frame <= copies[i].frame);
}

static void test_duplicates_are_visited_once(void)
{
        static const int a[] = {1, 2, 2, 3, MADE_ZERO, MADE_ZERO};
        static const int b[] = {3, 4, 5};
        struct made_guests guests = {0};
        struct census *census = NULL;
        atomic_uint_least64_t seen[2] = {0};

        made_guests_add_contents(&guests, a, 6, 100);
        made_guests_add_contents(&guests, b, 3, 50);
        census = count(&guests);
        CU_ASSERT_EQUAL(census_for_each_duplicate(census, made_guests_pool(), note_group, seen), 0);
        CU_ASSERT_EQUAL(seen[0], 2);
        CU_ASSERT_EQUAL(seen[1], 4);
        census_free(census);
        made_guests_free(&guests);
}

static const struct unit_test tests[] = {
        {"two equal guests", test_two_equal_guests},
        {"copies inside and across", test_copies_inside_and_across},
        {"one guest has no inter", test_one_guest_has_no_inter},
        {"one content many times", test_one_content_many_times},
        {"only zero pages", test_only_zero_pages},
        {"absent and swapped are not present", test_absent_and_swapped_are_not_present},
        {"no guests", test_no_guests},
        {"identity on random pages", test_identity_on_random_pages},
        {"sort by every byte", test_sort_by_every_byte},
        {"many partitions", test_many_partitions},
        {"many pages of one place", test_many_pages_of_one_place},
        {"duplicates are visited once", test_duplicates_are_visited_once},
};

UNIT_MAIN("census", tests)
