/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pages/page.h"
#include "pages/pages.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static void test_blocks(void)
{
        struct pages pages = {0};
        struct pages_block *block = NULL;
        char id[] = "ram";

        CU_ASSERT_EQUAL_FATAL(pages_add_block(&pages, id, 100, 3, &block), 0);
        id[0] = 'x';
        CU_ASSERT_STRING_EQUAL(block->id, "ram");
        CU_ASSERT_EQUAL(block->n_pages, 100);
        CU_ASSERT_EQUAL(block->n_ranges, 3);
        CU_ASSERT_EQUAL(block->fingerprints[99], PAGE_ABSENT);
        CU_ASSERT_EQUAL(block->frames[99], FRAME_OWN);
        CU_ASSERT_PTR_NULL(block->marks);
        CU_ASSERT_EQUAL_FATAL(pages_add_block(&pages, "rom", 1, 1, &block), 0);
        CU_ASSERT_EQUAL(pages.n_blocks, 2);
        CU_ASSERT_PTR_EQUAL(block, &pages.blocks[1]);
        CU_ASSERT_STRING_EQUAL(pages.blocks[0].id, "ram");
        pages_deinit(&pages);
        CU_ASSERT_EQUAL(pages.n_blocks, 0);
}

static void test_impossible_size(void)
{
        struct pages pages = {0};
        struct pages_block *block = NULL;

        CU_ASSERT_EQUAL(pages_add_block(&pages, "ram", UINT64_MAX / 4, 1, &block), -ENOMEM);
        CU_ASSERT_PTR_NULL(block);
        CU_ASSERT_EQUAL(pages.n_blocks, 0);
        pages_deinit(&pages);
}

static void test_range_of_a_page(void)
{
        struct pages pages = {0};
        struct pages_block *block = NULL;

        CU_ASSERT_EQUAL_FATAL(pages_add_block(&pages, "ram", 100, 3, &block), 0);
        for (size_t i = 0; i < 3; i++)
                block->ranges[i].first_page = i == 0 ? 0 : i == 1 ? 10 : 11;
        for (uint64_t page = 0; page < 100; page++)
                CU_ASSERT_PTR_EQUAL(pages_range_of(block, page), &block->ranges[page < 10   ? 0
                                                                                : page < 11 ? 1
                                                                                            : 2]);
        pages_deinit(&pages);
}

/* Marks of an earlier look are gone; what has been looked at is not wanted any more. */
static void test_marks(void)
{
        struct pages pages = {0};
        struct pages_block *block = NULL;

        CU_ASSERT_EQUAL_FATAL(pages_add_block(&pages, "ram", 10, 1, &block), 0);
        CU_ASSERT_EQUAL_FATAL(pages_add_block(&pages, "rom", 10, 1, &block), 0);
        CU_ASSERT_EQUAL(pages_count_wanted(&pages), 0);
        for (int i = 0; i < 2; i++) {
                CU_ASSERT_EQUAL_FATAL(pages_add_marks(&pages), 0);
                CU_ASSERT_EQUAL(pages_count_wanted(&pages), 0);
                pages.blocks[0].marks[9] = PAGE_MARK_WANTED;
                pages.blocks[1].marks[0] = PAGE_MARK_WANTED;
                pages.blocks[1].marks[1] = PAGE_MARK_WANTED | PAGE_MARK_KEPT;
                CU_ASSERT_EQUAL(pages_count_wanted(&pages), 2);
        }
        pages_deinit(&pages);
}

static const struct unit_test tests[] = {
        {"blocks", test_blocks},
        {"impossible size", test_impossible_size},
        {"range of a page", test_range_of_a_page},
        {"marks", test_marks},
};

UNIT_MAIN("pages", tests)
