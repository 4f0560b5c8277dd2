/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "scanner/mapping.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static const char smaps[] =
        "7f0000000000-7f0000200000 rw-p 00000000 00:00 0 \n"
        "Size:               2048 kB\n"
        "KernelPageSize:        4 kB\n"
        "VmFlags: rd wr mr mw me ac hg mg \n"
        "7f0000200000-7f0000400000 rw-p 00000000 00:00 0 \n"
        "Size:               2048 kB\n"
        "KernelPageSize:        4 kB\n"
        "VmFlags: rd wr mr mw me ac hg \n"
        "7f0000400000-7f0000800000 rw-s 00100000 00:01 4711                       /memfd:ram (deleted)\n"
        "KernelPageSize:     2048 kB\n"
        "VmFlags: rd wr sh mr mw me ms de ht hg \n"
        "7f0000900000-7f0000a00000 rw-p 00000000 00:00 0                          [heap]\n"
        "KernelPageSize:        4 kB\n"
        "VmFlags: rd wr\n";

static int find(uint64_t hva, uint64_t size, struct mapping **ret, size_t *ret_n, struct failure *failure)
{
        *ret = NULL;
        *ret_n = 0;
        return mapping_find(smaps, hva, size, ret, ret_n, failure);
}

static void test_one_private_mapping(void)
{
        CLEANUP_FREE struct mapping *mappings = NULL;
        size_t n = 0;

        CU_ASSERT_EQUAL_FATAL(find(0x7f0000001000, 0x2000, &mappings, &n, NULL), 0);
        CU_ASSERT_EQUAL(n, 1);
        CU_ASSERT_EQUAL(mappings[0].hva, 0x7f0000001000);
        CU_ASSERT_EQUAL(mappings[0].size_bytes, 0x2000);
        CU_ASSERT_EQUAL(mappings[0].first_page, 0);
        CU_ASSERT_EQUAL(mappings[0].file_offset, 0);
        CU_ASSERT_FALSE(mappings[0].shared);
        CU_ASSERT_FALSE(mappings[0].hugetlb);
        CU_ASSERT_TRUE(mappings[0].mergeable);
        CU_ASSERT_TRUE(mappings[0].writable);
        CU_ASSERT_EQUAL(mappings[0].page_size_bytes, 4096);
}

static void test_block_over_several_mappings(void)
{
        CLEANUP_FREE struct mapping *mappings = NULL;
        size_t n = 0;

        CU_ASSERT_EQUAL_FATAL(find(0x7f0000100000, 0x600000, &mappings, &n, NULL), 0);
        CU_ASSERT_EQUAL_FATAL(n, 3);
        CU_ASSERT_EQUAL(mappings[0].size_bytes, 0x100000);
        CU_ASSERT_TRUE(mappings[0].mergeable);
        CU_ASSERT_FALSE(mappings[1].mergeable);
        CU_ASSERT_EQUAL(mappings[1].first_page, 0x100);
        CU_ASSERT_EQUAL(mappings[2].first_page, 0x300);
        CU_ASSERT_EQUAL(mappings[2].size_bytes, 0x300000);
        CU_ASSERT_TRUE(mappings[2].shared);
        CU_ASSERT_TRUE(mappings[2].hugetlb);
        CU_ASSERT_EQUAL(mappings[2].page_size_bytes, 2 << 20);
        CU_ASSERT_EQUAL(mappings[2].file_offset, 0x100000);
        CU_ASSERT_EQUAL(mappings[2].file_inode, 4711);
        CU_ASSERT_EQUAL(mappings[2].start, 0x7f0000400000);
        CU_ASSERT_EQUAL(mappings[2].end, 0x7f0000800000);
}

static void test_offset_inside_a_file(void)
{
        CLEANUP_FREE struct mapping *mappings = NULL;
        size_t n = 0;

        CU_ASSERT_EQUAL_FATAL(find(0x7f0000500000, 0x1000, &mappings, &n, NULL), 0);
        CU_ASSERT_EQUAL(mappings[0].file_offset, 0x200000);
}

static void test_hole_in_the_block(void)
{
        struct mapping *mappings = NULL;
        struct failure failure = {0};
        size_t n = 0;

        CU_ASSERT_EQUAL(find(0x7f0000700000, 0x300000, &mappings, &n, &failure), -ENXIO);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "0x7f0000800000"));
        CU_ASSERT_EQUAL(find(0x1000, 0x1000, &mappings, &n, NULL), -ENXIO);
        CU_ASSERT_EQUAL(find(0x7f0000a00000, 0x1000, &mappings, &n, NULL), -ENXIO);
        CU_ASSERT_PTR_NULL(mappings);
}

static void test_impossible_addresses(void)
{
        struct mapping *mappings = NULL;
        size_t n = 0;

        CU_ASSERT_EQUAL(find(UINT64_MAX - 0xfff, 0x2000, &mappings, &n, NULL), -EINVAL);
        CU_ASSERT_EQUAL(find(0x7f0000000001, 0x1000, &mappings, &n, NULL), -EINVAL);
        CU_ASSERT_EQUAL(find(0x7f0000000000, 0x1001, &mappings, &n, NULL), -EINVAL);
}

static void test_garbage(void)
{
        static const char *const texts[] = {
                "garbage\n",
                "7f0000000000\n",
                "7f0000000000-7f0000200000\n",
                "7f0000000000-7f0000200000 rw\n",
                "7f0000200000-7f0000000000 rw-p 00000000 00:00 0 \n",
                "7f0000000000-7f0000200000 rw-p 00000000 00:00",
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                struct mapping *mappings = NULL;
                size_t n = 0;

                CU_ASSERT_EQUAL(mapping_find(texts[i], 0x7f0000000000, 0x1000, &mappings, &n, NULL), -EINVAL);
        }
}

/* One that cannot be written to now may be made so, unless its file was opened for reading. */
static void test_writable(void)
{
        static const struct {
                const char *smaps;
                bool writable;
        } cases[] = {
                {"1000-2000 r--s 00000000 00:01 5 /x\nVmFlags: rd sh mr me ms \n", false},
                {"1000-2000 r--s 00000000 00:01 5 /x\nVmFlags: rd sh mr mw me ms \n", true},
                {"1000-2000 rw-s 00000000 00:01 5 /x\n", true},
                {"1000-2000 r--s 00000000 00:01 5 /x\n", false},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                CLEANUP_FREE struct mapping *mappings = NULL;
                size_t n = 0;

                CU_ASSERT_EQUAL_FATAL(mapping_find(cases[i].smaps, 0x1000, 0x1000, &mappings, &n, NULL), 0);
                CU_ASSERT_EQUAL(mappings[0].writable, cases[i].writable);
        }
}

static const struct unit_test tests[] = {
        {"one private mapping", test_one_private_mapping},
        {"block over several mappings", test_block_over_several_mappings},
        {"writable mappings", test_writable},
        {"offset inside a file", test_offset_inside_a_file},
        {"hole in the block", test_hole_in_the_block},
        {"impossible addresses", test_impossible_addresses},
        {"garbage", test_garbage},
};

UNIT_MAIN("mapping", tests)
