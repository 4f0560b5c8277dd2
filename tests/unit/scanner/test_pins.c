/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "made_tree.h"
#include "scanner/pins.h"
#include "unit.h"

#define GIB (UINT64_C(1) << 30)

static struct pins read_pins(const struct made_tree *tree)
{
        struct pins pins = {0};

        CU_ASSERT_EQUAL_FATAL(pins_read(tree->fd, GIB, &pins), 0);
        return pins;
}

static void test_ring(void)
{
        struct made_tree tree;
        struct pins pins;

        made_tree_init(&tree);
        made_tree_link(&tree, "fd/0", "/dev/null");
        made_tree_link(&tree, "fd/7", "anon_inode:[io_uring]");
        made_tree_link(&tree, "fd/8", "anon_inode:[io_uring]");
        made_tree_link(&tree, "fd/9", "anon_inode:[io_uring]"); /* closed meanwhile */
        made_tree_link(&tree, "fd/10", "/tmp/anon_inode:[io_uring]");
        made_tree_file(&tree, "fdinfo/7",
                       "pos:\t0\nSqMask:\t0x7\nUserFiles:\t1\n    0: x\nUserBufs:\t4\n    0: 0x10000/8192\n  "
                       "  1: <none>\n"
                       "    2: 0x12000/4096\n    3: 0x7f0000000800/4096\nPollList:\n    4: 0x90000/4096\n");
        made_tree_file(&tree, "fdinfo/8",
                       "UserBufs:\t2\n    0: 0x5001/1\n    1: 0x8000/0\n    2: 0x20000/4096\n");
        made_tree_file(&tree, "fdinfo/10", "UserBufs:\t1\n    0: 0x30000/4096\n");
        pins = read_pins(&tree);
        CU_ASSERT_FALSE(pins.all);
        CU_ASSERT_EQUAL(pins.n_ranges, 3);
        CU_ASSERT_TRUE(pins_hold(&pins, 0x10000));
        CU_ASSERT_TRUE(pins_hold(&pins, 0x12000));
        CU_ASSERT_FALSE(pins_hold(&pins, 0x13000));
        CU_ASSERT_FALSE(pins_hold(&pins, 0xf000));
        /* Bytes 0x800 to 0x1800: in part two pages. */
        CU_ASSERT_TRUE(pins_hold(&pins, 0x7f0000000000));
        CU_ASSERT_TRUE(pins_hold(&pins, 0x7f0000001000));
        CU_ASSERT_FALSE(pins_hold(&pins, 0x7f0000002000));
        CU_ASSERT_TRUE(pins_hold(&pins, 0x5000));
        CU_ASSERT_FALSE(pins_hold(&pins, 0x8000));
        CU_ASSERT_FALSE(pins_hold(&pins, 0x20000)); /* one more than it says */
        CU_ASSERT_FALSE(pins_hold(&pins, 0x30000));
        CU_ASSERT_FALSE(pins_hold(&pins, 0x90000));
        pins_deinit(&pins);
        made_tree_deinit(&tree);
}

static void test_nonsense(void)
{
        static const char *const texts[] = {
                "UserBufs:",
                "UserBufs:\t99999999999999999999\n",
                "UserBufs:\t3\nPollList:\n",
                "UserBufs:\t3\n    0: 0x/4096\n    1: 0x1000\n    2: 0x1000/\n",
                "UserBufs:\t3\n    0: 1000/4096\n    x: 0x1000/4096\n    : 0x1000/4096\n",
                "UserBufs:\t2\n    0: 0xffffffffffffffffff/4096\n    1: 0x1000/99999999999999999999999\n",
                "UserBufs:\t1\n    0: 0xfffffffffffff000/8192\n",
                "UserBufs:\t1\n    0: 0x1000/4096 and more\n",
                "UserBufs:\t1\n    0: 0x1000/-4096\n",
                "",
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                struct made_tree tree;
                struct pins pins;

                made_tree_init(&tree);
                made_tree_link(&tree, "fd/3", "anon_inode:[io_uring]");
                made_tree_file(&tree, "fdinfo/3", texts[i]);
                pins = read_pins(&tree);
                CU_ASSERT_EQUAL(pins.n_ranges, 0);
                CU_ASSERT_FALSE(pins_hold(&pins, 0x1000));
                pins_deinit(&pins);
                made_tree_deinit(&tree);
        }
}

static bool holds_all(const char *device, const char *status)
{
        struct made_tree tree;
        struct pins pins;
        bool all = false;

        made_tree_init(&tree);
        made_tree_link(&tree, "fd/3", device);
        made_tree_file(&tree, "status", status);
        pins = read_pins(&tree);
        all = pins_hold(&pins, 0x1000);
        pins_deinit(&pins);
        made_tree_deinit(&tree);
        return all;
}

static void test_passed_through(void)
{
        static const char enough[] = "Name:\tqemu\nVmLck:\t 1048576 kB\nVmPin:\t       0 kB\n";

        CU_ASSERT_TRUE(holds_all("/dev/vfio/12", enough));
        CU_ASSERT_TRUE(
                holds_all("/dev/vfio/devices/vfio0", "Name:\tqemu\nVmLck:\t 0 kB\nVmPin:\t 1048576 kB\n"));
        CU_ASSERT_TRUE(holds_all("/dev/iommu", enough));
        /* Locked, and no device; a device that reaches a part; no number. */
        CU_ASSERT_FALSE(holds_all("/dev/vfio/vfio", enough));
        CU_ASSERT_FALSE(holds_all("/dev/null", enough));
        CU_ASSERT_FALSE(holds_all("/dev/vfio/12", "Name:\tqemu\nVmLck:\t 1048575 kB\nVmPin:\t 0 kB\n"));
        CU_ASSERT_FALSE(holds_all("/dev/vfio/12", "Name:\tqemu\n"));
}

static void test_nothing_can_be_seen(void)
{
        struct made_tree tree;
        struct pins pins;

        made_tree_init(&tree);
        pins = read_pins(&tree);
        CU_ASSERT_FALSE(pins_hold(&pins, 0));
        pins_deinit(&pins);
        made_tree_deinit(&tree);
}

static const struct unit_test tests[] = {
        {"ring", test_ring},
        {"nonsense", test_nonsense},
        {"passed through", test_passed_through},
        {"nothing can be seen", test_nothing_can_be_seen},
};

UNIT_MAIN("pins", tests)
