/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "made_guests.h"
#include "merge/actual.h"
#include "merge/gap.h"
#include "unit.h"

#define KSM(frame) ((frame) | FRAME_KSM)

static const struct gap_facts ksm_done = {
        .ksm_known = true,
        .ksm_runs = true,
        .full_scans = 10,
        .max_page_sharing = 256,
};

static struct gap *attribute(const struct made_guests *guests, const struct gap_facts *facts)
{
        struct census *census = NULL;
        struct actual *actual = NULL;
        struct gap *gap = NULL;
        uint64_t by_reason = 0;

        CU_ASSERT_EQUAL_FATAL(census_new(made_guests_pool(), guests->pages, guests->n, &census), 0);
        CU_ASSERT_EQUAL_FATAL(actual_new(census, made_guests_pool(), &actual), 0);
        CU_ASSERT_EQUAL_FATAL(gap_new(census, made_guests_pool(), facts, &gap), 0);
        /* Always: the gap is ideal less actual, and its reasons add up to it. */
        CU_ASSERT_EQUAL(gap->pages, census->total.self_sharing + census->total.inter_sharing -
                                            actual->total.self - actual->total.inter);
        for (size_t i = 0; i < guests->n * GAP_REASON_COUNT_; i++)
                by_reason += gap->by_guest[i];
        CU_ASSERT_EQUAL(by_reason, gap->pages);
        actual_free(actual);
        census_free(census);
        return gap;
}

static struct pages_range *range_of(const struct made_guests *guests, size_t guest)
{
        return &guests->pages[guest]->blocks[0].ranges[0];
}

static uint64_t of_guest(const struct gap *gap, size_t guest, enum gap_reason reason)
{
        return gap->by_guest[guest * GAP_REASON_COUNT_ + reason];
}

/* Two guests with the same 10 pages each, nothing merged, and one reason for the first of them. */
static void check_first_guest_is_charged(const struct gap_facts *facts, struct made_guests *guests,
                                         enum gap_reason reason)
{
        struct gap *gap = attribute(guests, facts);

        CU_ASSERT_EQUAL(gap->pages, 10);
        CU_ASSERT_EQUAL(gap->by_reason[reason], 10);
        CU_ASSERT_EQUAL(of_guest(gap, 0, reason), 10);
        gap_free(gap);
        made_guests_free(guests);
}

static void add_two_guests(struct made_guests *guests)
{
        static const int contents[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

        made_guests_add_contents(guests, contents, 10, 100);
        made_guests_add_contents(guests, contents, 10, 200);
}

static void test_shared_mapping(void)
{
        struct made_guests guests = {0};

        add_two_guests(&guests);
        range_of(&guests, 0)->shared = true;
        check_first_guest_is_charged(&ksm_done, &guests, GAP_REASON_SHARED_MAPPING);
}

static void test_hugetlb(void)
{
        struct made_guests guests = {0};

        add_two_guests(&guests);
        range_of(&guests, 0)->hugetlb = true;
        check_first_guest_is_charged(&ksm_done, &guests, GAP_REASON_HUGETLB);
}

static void test_not_mergeable(void)
{
        struct made_guests guests = {0};

        add_two_guests(&guests);
        range_of(&guests, 0)->mergeable = false;
        check_first_guest_is_charged(&ksm_done, &guests, GAP_REASON_NOT_MERGEABLE);
}

static void test_ksm_off(void)
{
        struct made_guests guests = {0};
        struct gap_facts facts = ksm_done;
        struct gap *gap = NULL;

        add_two_guests(&guests);
        facts.ksm_runs = false;
        gap = attribute(&guests, &facts);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_KSM_OFF], 10);
        gap_free(gap);
        made_guests_free(&guests);
}

static void test_too_few_passes(void)
{
        struct made_guests guests = {0};
        struct gap_facts facts = ksm_done;
        struct gap *gap = NULL;

        add_two_guests(&guests);
        facts.full_scans = GAP_PASSES_NEEDED - 1;
        gap = attribute(&guests, &facts);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_NOT_SCANNED_YET], 10);
        gap_free(gap);
        made_guests_free(&guests);
}

static void test_guest_that_ksm_has_not_met(void)
{
        static const struct gap_guest_facts of_guests[] = {
                {.visited_pages = 0, .passes = -1},
                {.visited_pages = 10, .passes = -1},
        };
        struct made_guests guests = {0};
        struct gap_facts facts = ksm_done;

        add_two_guests(&guests);
        facts.guests = of_guests;
        check_first_guest_is_charged(&facts, &guests, GAP_REASON_NOT_SCANNED_YET);
}

static void test_guest_that_is_younger_than_two_passes(void)
{
        static const struct gap_guest_facts of_guests[] = {
                {.visited_pages = 5, .passes = GAP_PASSES_NEEDED - 1},
                {.visited_pages = 10, .passes = GAP_PASSES_NEEDED},
        };
        struct made_guests guests = {0};
        struct gap_facts facts = ksm_done;

        add_two_guests(&guests);
        facts.guests = of_guests;
        check_first_guest_is_charged(&facts, &guests, GAP_REASON_NOT_SCANNED_YET);
}

/* What the second look saw of the pages of the first guest; the other one's were kept. */
static void mark(struct made_guests *guests, uint8_t marks)
{
        for (size_t g = 0; g < 2; g++) {
                struct pages_block *block = &guests->pages[g]->blocks[0];

                block->marks = calloc(block->n_pages, 1);
                for (size_t i = 0; i < block->n_pages; i++)
                        block->marks[i] = PAGE_MARK_WANTED | (g == 0 ? marks : PAGE_MARK_KEPT);
        }
}

static void test_volatile(void)
{
        struct made_guests guests = {0};

        add_two_guests(&guests);
        mark(&guests, PAGE_MARK_CHANGED);
        check_first_guest_is_charged(&ksm_done, &guests, GAP_REASON_VOLATILE);
}

static void test_merged_between_two_looks(void)
{
        struct made_guests guests = {0};

        add_two_guests(&guests);
        mark(&guests, PAGE_MARK_MERGED);
        check_first_guest_is_charged(&ksm_done, &guests, GAP_REASON_NOT_SCANNED_YET);
}

/* KSM was never here before the first look, and met every page twice before the second one: that it was not, is no reason. */
static void test_met_twice_between_two_looks(void)
{
        static const struct gap_guest_facts young[] = {{.passes = 0}, {.passes = 0}};
        struct made_guests guests = {0};
        struct gap_facts facts = ksm_done;
        struct gap *gap = NULL;

        add_two_guests(&guests);
        mark(&guests, PAGE_MARK_KEPT);
        facts.guests = young;
        gap = attribute(&guests, &facts);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_NOT_SCANNED_YET], 10);
        gap_free(gap);
        facts.was_met_twice = true;
        gap = attribute(&guests, &facts);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_UNEXPLAINED], 10);
        gap_free(gap);
        made_guests_free(&guests);
}

static void test_pinned(void)
{
        struct pin_range range = {.begin = 0x10000, .end = 0x10000 + 4 * PAGE_BYTES};
        const struct gap_guest_facts of_guests[] = {
                {.visited_pages = 10, .passes = -1, .pins = {.ranges = &range, .n_ranges = 1}},
                {.visited_pages = 10, .passes = -1},
        };
        struct made_guests guests = {0};
        struct gap_facts facts = ksm_done;
        struct gap *gap = NULL;

        add_two_guests(&guests);
        range_of(&guests, 0)->hva = 0x10000 - PAGE_BYTES;
        facts.guests = of_guests;
        /* A huge page that is pinned cannot be split. */
        guests.pages[0]->blocks[0].frames[1] |= FRAME_HUGE;
        gap = attribute(&guests, &facts);
        CU_ASSERT_EQUAL(of_guest(gap, 0, GAP_REASON_PINNED), 4);
        CU_ASSERT_EQUAL(of_guest(gap, 1, GAP_REASON_UNEXPLAINED), 6);
        gap_free(gap);
        made_guests_free(&guests);
}

/* Nodes of 100 frames: 0, 1 and one of which nothing is known. */
static const struct numa *three_nodes(void)
{
        static uint16_t nodes[] = {1, 2, 0};
        static const struct numa numa = {.n_nodes = 2, .block_frames = 100, .nodes = nodes, .n_blocks = 3};

        return &numa;
}

/* Five frames of one content: two on each node, and one nobody knows where. One more than the kept one has to be. */
static void test_numa(void)
{
        static const int five[] = {1, 1, 1, 1, 1};
        struct made_guests guests = {0};
        struct gap_facts facts = ksm_done;
        struct pages_block *block = made_guests_add_contents(&guests, five, 5, 10);
        struct gap *gap = NULL;

        facts.numa = three_nodes();
        block->frames[2] = KSM(110);
        block->frames[3] = 111;
        block->frames[4] = 210;
        gap = attribute(&guests, &facts);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_NUMA], 1);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_UNEXPLAINED], 3);
        gap_free(gap);
        facts.numa = NULL;
        gap = attribute(&guests, &facts);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_UNEXPLAINED], 4);
        gap_free(gap);
        made_guests_free(&guests);
}

/* Copies of one content, at most three, with these frames on three_nodes(). None is the nodes' doing. */
static void check_unexplained_on_nodes(const uint64_t *frames, size_t n)
{
        static const int contents[] = {1, 1, 1};
        struct made_guests guests = {0};
        struct gap_facts facts = ksm_done;
        struct pages_block *block = made_guests_add_contents(&guests, contents, n, 10);
        struct gap *gap = NULL;

        facts.numa = three_nodes();
        for (size_t i = 0; i < n; i++)
                block->frames[i] = frames[i];
        gap = attribute(&guests, &facts);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_NUMA], 0);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_UNEXPLAINED], n - 1);
        gap_free(gap);
        made_guests_free(&guests);
}

/* A page that went away lies on no node: it is not node 0's, and whoever is kept because of it is no other node's. */
static void test_numa_of_no_frame(void)
{
        static const uint64_t charged[] = {FRAME_OWN, KSM(110)};
        static const uint64_t kept[] = {FRAME_OWN, 110};

        check_unexplained_on_nodes(charged, 2);
        check_unexplained_on_nodes(kept, 2);
}

/* The kept frame may lie on either node: neither needs another one for certain. */
static void test_numa_of_the_kept_frame_unknown(void)
{
        static const uint64_t frames[] = {KSM(210), 10, 110};

        check_unexplained_on_nodes(frames, 3);
}

/* Each node has a limit of its own: 300 copies on each of two need four frames. */
static void test_sharing_limit_on_each_node(void)
{
        struct made_guests guests = {0};
        struct pages_block *block = made_guests_add(&guests, 600);
        struct gap_facts facts = ksm_done;
        struct gap *gap = NULL;

        facts.numa = three_nodes();
        for (size_t i = 0; i < 600; i++) {
                block->fingerprints[i] = made_fingerprint(9);
                block->frames[i] = KSM(i < 256 ? 1 : i < 300 ? 2 : i < 556 ? 101 : 102);
        }
        gap = attribute(&guests, &facts);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_NUMA], 1);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_SHARING_LIMIT], 2);
        CU_ASSERT_EQUAL(gap->pages, 3);
        gap_free(gap);
        made_guests_free(&guests);
}

/* The 257th copy finds its KSM page full, and nobody to share with. The 256th and before have no such excuse. */
static void test_the_one_too_many_stays_alone(void)
{
        for (size_t n = 256; n <= 257; n++) {
                struct made_guests guests = {0};
                struct pages_block *block = made_guests_add(&guests, n);
                struct gap *gap = NULL;

                for (size_t i = 0; i < n; i++) {
                        block->fingerprints[i] = made_fingerprint(9);
                        block->frames[i] = i + 1 < n ? KSM(1) : 2;
                }
                gap = attribute(&guests, &ksm_done);
                CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_SHARING_LIMIT], n == 257);
                CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_UNEXPLAINED], n == 256);
                gap_free(gap);
                made_guests_free(&guests);
        }
}

/* Two frames of one content are worth a second look, unless KSM made them or may not merge them. */
static void test_candidates(void)
{
        static const int contents[] = {1, 1, 2, 3, MADE_ZERO, MADE_ZERO};
        struct made_guests guests = {0};
        struct census *census = NULL;
        const uint8_t *marks = NULL;

        made_guests_add_contents(&guests, contents, 6, 100);
        made_guests_add_contents(&guests, contents + 2, 1, 300);
        guests.pages[0]->blocks[0].frames[2] = KSM(300);
        range_of(&guests, 1)->shared = true;
        CU_ASSERT_EQUAL_FATAL(census_new(made_guests_pool(), guests.pages, guests.n, &census), 0);
        for (size_t g = 0; g < guests.n; g++)
                CU_ASSERT_EQUAL_FATAL(pages_add_marks(guests.pages[g]), 0);
        CU_ASSERT_EQUAL(gap_mark_candidates(census, made_guests_pool()), 0);
        CU_ASSERT_EQUAL(pages_count_wanted(guests.pages[0]), 2);
        CU_ASSERT_EQUAL(pages_count_wanted(guests.pages[1]), 0);
        marks = guests.pages[0]->blocks[0].marks;
        CU_ASSERT(marks[0] == PAGE_MARK_WANTED && marks[1] == PAGE_MARK_WANTED);
        census_free(census);
        made_guests_free(&guests);
}

/* The first guest's pages lie in huge pages, and are the same as they were. */
static struct gap *attribute_huge(struct made_guests *guests, uint64_t others, const struct gap_facts *facts)
{
        add_two_guests(guests);
        mark(guests, PAGE_MARK_KEPT);
        for (size_t i = 0; i < 10; i++) {
                guests->pages[0]->blocks[0].frames[i] |= FRAME_HUGE;
                guests->pages[1]->blocks[0].frames[i] |= others;
        }
        return attribute(guests, facts);
}

/* A huge page that is still whole although KSM had another page twice to merge a part of it with. */
static void test_huge_page(void)
{
        static const uint64_t partners[] = {FRAME_HUGE, FRAME_KSM};
        struct gap_facts facts = ksm_done;

        facts.was_met_twice = true;
        for (size_t i = 0; i < sizeof(partners) / sizeof(partners[0]); i++) {
                struct made_guests guests = {0};
                struct gap *gap = attribute_huge(&guests, partners[i], &facts);

                CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_HUGE_PAGE], 10);
                gap_free(gap);
                made_guests_free(&guests);
        }
}

static void check_huge_page_is_unexplained(uint64_t others, const struct gap_facts *facts)
{
        struct made_guests guests = {0};
        struct gap *gap = attribute_huge(&guests, others, facts);

        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_UNEXPLAINED], 10);
        gap_free(gap);
        made_guests_free(&guests);
}

/* That a page lies in a huge page proves nothing: KSM splits those. */
static void test_huge_page_explains_nothing(void)
{
        struct gap_facts facts = ksm_done;

        check_huge_page_is_unexplained(FRAME_KSM, &facts);
        facts.was_met_twice = true;
        /* The other one may be what cannot be merged. */
        check_huge_page_is_unexplained(0, &facts);
        facts.passes_over = true;
        check_huge_page_is_unexplained(FRAME_KSM, &facts);
}

/* The 257th copy finds its KSM page full: its huge page need not be split. */
static void test_huge_page_at_the_limit(void)
{
        struct made_guests guests = {0};
        struct pages_block *block = made_guests_add(&guests, 257);
        struct gap_facts facts = ksm_done;
        struct gap *gap = NULL;

        facts.was_met_twice = true;
        block->marks = calloc(257, 1);
        block->marks[256] = PAGE_MARK_WANTED | PAGE_MARK_KEPT;
        for (size_t i = 0; i < 257; i++) {
                block->fingerprints[i] = made_fingerprint(9);
                block->frames[i] = i < 256 ? KSM(1) : 2 | FRAME_HUGE;
        }
        gap = attribute(&guests, &facts);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_SHARING_LIMIT], 1);
        gap_free(gap);
        made_guests_free(&guests);
}

static void test_unexplained(void)
{
        struct made_guests guests = {0};
        struct gap *gap = NULL;

        add_two_guests(&guests);
        gap = attribute(&guests, &ksm_done);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_UNEXPLAINED], 10);
        gap_free(gap);
        made_guests_free(&guests);
}

static void test_ksm_unknown_is_not_guessed(void)
{
        static const struct gap_facts nothing = {.full_scans = -1};
        struct made_guests guests = {0};
        struct gap *gap = NULL;

        add_two_guests(&guests);
        gap = attribute(&guests, &nothing);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_UNEXPLAINED], 10);
        gap_free(gap);
        made_guests_free(&guests);
}

static void test_nothing_is_left_when_all_is_merged(void)
{
        struct made_guests guests = {0};
        struct gap *gap = NULL;

        add_two_guests(&guests);
        for (size_t i = 0; i < 10; i++)
                guests.pages[0]->blocks[0].frames[i] = guests.pages[1]->blocks[0].frames[i] = KSM(300 + i);
        gap = attribute(&guests, &ksm_done);
        CU_ASSERT_EQUAL(gap->pages, 0);
        gap_free(gap);
        made_guests_free(&guests);
}

/* 5. 305 copies need two KSM pages at the ceiling of 256: the second one is forced by the limit, a third is not. And
 * as long as the first one is not full, neither is. */
static void test_sharing_limit(void)
{
        for (size_t in_first = 255; in_first <= 256; in_first++) {
                struct made_guests guests = {0};
                struct pages_block *block = made_guests_add(&guests, 305);
                struct gap *gap = NULL;

                for (size_t i = 0; i < 305; i++) {
                        block->fingerprints[i] = made_fingerprint(9);
                        block->frames[i] = KSM(i < in_first ? 1 : i < 300 ? 2 : 3);
                }
                gap = attribute(&guests, &ksm_done);
                CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_SHARING_LIMIT], in_first == 256);
                CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_UNEXPLAINED], in_first == 256 ? 1 : 2);
                gap_free(gap);
                made_guests_free(&guests);
        }
}

/* 10 000 copies, each in a frame of its own: KSM would need 40 frames, and none of them is there because one is full. */
static void test_no_limit_where_nothing_is_merged(void)
{
        struct made_guests guests = {0};
        struct pages_block *block = made_guests_add(&guests, 10000);
        struct gap *gap = NULL;

        for (size_t i = 0; i < 10000; i++) {
                block->fingerprints[i] = made_fingerprint(9);
                block->frames[i] = i + 1;
        }
        gap = attribute(&guests, &ksm_done);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_SHARING_LIMIT], 0);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_UNEXPLAINED], 9999);
        gap_free(gap);
        /* One full page explains one more frame. */
        for (size_t i = 0; i < 256; i++)
                block->frames[i] = KSM(1);
        gap = attribute(&guests, &ksm_done);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_SHARING_LIMIT], 1);
        CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_UNEXPLAINED], 9743);
        gap_free(gap);
        made_guests_free(&guests);
}

static uint64_t count_made_users(const void *context, uint64_t pfn)
{
        return pfn == 1 ? *(const uint64_t *)context : 0;
}

/* Ten copies of ours in two KSM pages, the first of which somebody else fills. */
static void test_users_outside_the_scan(void)
{
        static const int ten[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

        for (uint64_t users = 255; users <= 256; users++) {
                struct made_guests guests = {0};
                struct gap_facts facts = ksm_done;
                struct pages_block *block = made_guests_add_contents(&guests, ten, 10, 10);
                struct gap *gap = NULL;

                for (size_t i = 0; i < 10; i++)
                        block->frames[i] = KSM(i < 5 ? 1 : 2);
                facts.count_users = count_made_users;
                facts.users_context = &users;
                gap = attribute(&guests, &facts);
                CU_ASSERT_EQUAL(gap->pages, 1);
                CU_ASSERT_EQUAL(gap->by_reason[GAP_REASON_SHARING_LIMIT], users == 256);
                gap_free(gap);
                made_guests_free(&guests);
        }
}

/* One copy where KSM cannot reach, three where it has not been: the copy that stays is one of the three. */
static void test_the_most_mergeable_copy_is_kept(void)
{
        static const int one[] = {1};
        static const int three[] = {1, 1, 1};
        struct made_guests guests = {0};
        struct gap_facts facts = ksm_done;
        struct gap *gap = NULL;

        made_guests_add_contents(&guests, one, 1, 100);
        made_guests_add_contents(&guests, three, 3, 200);
        range_of(&guests, 0)->shared = true;
        facts.full_scans = 0;
        gap = attribute(&guests, &facts);
        CU_ASSERT_EQUAL(of_guest(gap, 0, GAP_REASON_SHARED_MAPPING), 1);
        CU_ASSERT_EQUAL(of_guest(gap, 1, GAP_REASON_NOT_SCANNED_YET), 2);
        CU_ASSERT_EQUAL(gap->pages, 3);
        gap_free(gap);
        made_guests_free(&guests);
}

static const struct unit_test tests[] = {
        {"shared mapping", test_shared_mapping},
        {"hugetlb", test_hugetlb},
        {"not mergeable", test_not_mergeable},
        {"ksm off", test_ksm_off},
        {"too few passes", test_too_few_passes},
        {"guest that ksm has not met", test_guest_that_ksm_has_not_met},
        {"guest that is younger than two passes", test_guest_that_is_younger_than_two_passes},
        {"volatile", test_volatile},
        {"merged between two looks", test_merged_between_two_looks},
        {"met twice between two looks", test_met_twice_between_two_looks},
        {"pinned", test_pinned},
        {"numa", test_numa},
        {"numa of no frame", test_numa_of_no_frame},
        {"numa of the kept frame unknown", test_numa_of_the_kept_frame_unknown},
        {"sharing limit on each node", test_sharing_limit_on_each_node},
        {"the one too many stays alone", test_the_one_too_many_stays_alone},
        {"candidates", test_candidates},
        {"huge page", test_huge_page},
        {"huge page explains nothing", test_huge_page_explains_nothing},
        {"huge page at the limit", test_huge_page_at_the_limit},
        {"unexplained", test_unexplained},
        {"ksm unknown is not guessed", test_ksm_unknown_is_not_guessed},
        {"nothing is left when all is merged", test_nothing_is_left_when_all_is_merged},
        {"sharing limit", test_sharing_limit},
        {"no limit where nothing is merged", test_no_limit_where_nothing_is_merged},
        {"users outside the scan", test_users_outside_the_scan},
        {"the most mergeable copy is kept", test_the_most_mergeable_copy_is_kept},
};

UNIT_MAIN("gap", tests)
