/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "made_tree.h"
#include "scanner/pins_read.h"
#include "unit.h"

#define GIB (UINT64_C(1) << 30)

static struct pins read_pins_of(const struct made_tree *tree, bool ram_is_locked)
{
        struct pins pins = {0};

        CU_ASSERT_EQUAL_FATAL(pins_read(tree->fd, GIB, ram_is_locked, &pins), 0);
        return pins;
}

static struct pins read_pins(const struct made_tree *tree)
{
        return read_pins_of(tree, false);
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

static bool holds_all_of(const char *device, const char *status, bool ram_is_locked)
{
        struct made_tree tree;
        struct pins pins;
        bool all = false;

        made_tree_init(&tree);
        made_tree_link(&tree, "fd/3", device);
        made_tree_file(&tree, "status", status);
        pins = read_pins_of(&tree, ram_is_locked);
        all = pins_hold(&pins, 0x1000);
        pins_deinit(&pins);
        made_tree_deinit(&tree);
        return all;
}

static bool holds_all(const char *device, const char *status)
{
        return holds_all_of(device, status, false);
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

/* What mlock(2) locks is in VmLck as well, and is not pinned. */
static void test_locked(void)
{
        static const char locked[] = "Name:\tqemu\nVmLck:\t 2097152 kB\nVmPin:\t 0 kB\n";
        static const char both[] = "Name:\tqemu\nVmLck:\t 1048576 kB\nVmPin:\t 1048576 kB\n";

        CU_ASSERT_TRUE(holds_all_of("/dev/vfio/12", locked, false));
        CU_ASSERT_FALSE(holds_all_of("/dev/vfio/12", locked, true));
        CU_ASSERT_TRUE(holds_all_of("/dev/iommu", both, true));
}

static void test_vdpa(void)
{
        CU_ASSERT_TRUE(holds_all("/dev/vhost-vdpa-0", "Name:\tqemu\nVmLck:\t 0 kB\nVmPin:\t 1048576 kB\n"));
        CU_ASSERT_FALSE(holds_all("/dev/vhost-vdpa-0", "Name:\tqemu\nVmLck:\t 0 kB\nVmPin:\t 1048575 kB\n"));
        CU_ASSERT_FALSE(holds_all("/dev/vhost-net", "Name:\tqemu\nVmLck:\t 0 kB\nVmPin:\t 1048576 kB\n"));
}

/* After so much text no more rings are read. */
static void test_rings_without_end(void)
{
        static const char told[] = "UserBufs:\t1\n    0: 0x10000/4096\n";
        struct made_tree tree;
        struct pins pins;
        static char text[PINS_MAX_TEXT_BYTES + sizeof(told)];

        memset(text, ' ', PINS_MAX_TEXT_BYTES);
        text[PINS_MAX_TEXT_BYTES - 1] = '\n';
        memcpy(text + PINS_MAX_TEXT_BYTES, told, sizeof(told));
        for (int more = 0; more <= 1; more++) {
                made_tree_init(&tree);
                /* Whichever is met first, it takes all there is, or nothing. */
                for (int i = 0; i < 3; i++) {
                        char name[32] = "";

                        (void)snprintf(name, sizeof(name), "fd/%d", i);
                        made_tree_link(&tree, name, "anon_inode:[io_uring]");
                        (void)snprintf(name, sizeof(name), "fdinfo/%d", i);
                        text[PINS_MAX_TEXT_BYTES + strlen("UserBufs:\t1\n    0: 0x")] = (char)('1' + 2 * i);
                        made_tree_file(&tree, name, more ? text : text + PINS_MAX_TEXT_BYTES);
                }
                pins = read_pins(&tree);
                CU_ASSERT_EQUAL(pins.n_ranges, more ? 1 : 3);
                pins_deinit(&pins);
                made_tree_deinit(&tree);
        }
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
        {"locked", test_locked},
        {"vdpa", test_vdpa},
        {"rings without end", test_rings_without_end},
        {"nothing can be seen", test_nothing_can_be_seen},
};

UNIT_MAIN("pins", tests)
