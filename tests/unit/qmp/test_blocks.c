/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "qmp/blocks.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As QEMU 7.2 prints it: -machine pc -m 512, two NUMA nodes, an unused backend, a virtio-mem, a hot-added
 * DIMM. */
static const char memdev_numa[] = "[{\"share\":true,\"size\":268435456,\"merge\":true,\"id\":\"m1\"},"
                                  "{\"share\":false,\"size\":16777216,\"merge\":true,\"id\":\"unused\"},"
                                  "{\"share\":false,\"size\":1073741824,\"merge\":true,\"id\":\"vm0b\"},"
                                  "{\"share\":false,\"size\":268435456,\"merge\":false,\"id\":\"m0\"},"
                                  "{\"share\":false,\"size\":268435456,\"merge\":true,\"id\":\"hot0b\"}]";
static const char tree_numa[] =
        "FlatView #0\r\n AS \"cpu-smm-0\", root: memory\r\n Root memory region: memory\r\n"
        "  0000000000000000-00000000000bffff (prio 0, ram): m0\r\n"
        "  0000000010000000-000000001fffffff (prio 0, ram): m1\r\n\r\n"
        "FlatView #1\r\n AS \"VGA\", root: bus master container\r\n Root memory region: (none)\r\n"
        "  No rendered FlatView\r\n\r\n"
        "FlatView #2\r\n AS \"memory\", root: system\r\n AS \"cpu-memory-0\", root: system\r\n"
        " Root memory region: system\r\n"
        "  0000000000000000-000000000009ffff (prio 0, ram): m0\r\n"
        "  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem\r\n"
        "  00000000000c0000-00000000000c9fff (prio 0, rom): m0 @00000000000c0000\r\n"
        "  0000000000100000-000000000fffffff (prio 0, ram): m0 @0000000000100000\r\n"
        "  0000000010000000-000000001fffffff (prio 0, ram): m1\r\n"
        "  00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram\r\n"
        "  0000000100000000-000000013fffffff (prio 0, ram): vm0b\r\n"
        "  0000000140000000-000000014fffffff (prio 0, ram): hot0b\r\n\r\n"
        "FlatView #3\r\n AS \"I/O\", root: io\r\n Root memory region: io\r\n\r\n";
/* q35 -m 5G: one block, split at 2 GiB. */
static const char memdev_q35[] = "[{\"size\":5368709120,\"share\":false,\"merge\":true,\"id\":\"pc.ram\"}]";
static const char tree_q35[] =
        "FlatView #1\r\n AS \"memory\", root: system\r\n Root memory region: system\r\n"
        "  0000000000000000-00000000000c2fff (prio 0, ram): pc.ram KVM\r\n"
        "  00000000000c3000-00000000000e7fff (prio 0, rom): pc.ram @00000000000c3000 KVM\r\n"
        "  0000000000100000-000000007fffffff (prio 0, ram): pc.ram @0000000000100000 KVM\r\n"
        "  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios KVM\r\n"
        "  0000000100000000-00000001bfffffff (prio 0, ram): pc.ram @0000000080000000 KVM\r\n";

static struct ram_blocks blocks;
static struct ram_ranges ranges;
static struct failure failure;

static int parse_memdev(const char *text)
{
        struct json_object *reply = json_tokener_parse(text);
        int r = 0;

        blocks = (struct ram_blocks){0};
        ranges = (struct ram_ranges){0};
        failure = (struct failure){0};
        r = blocks_parse_memdev(reply, &blocks, &failure);
        json_object_put(reply);
        return r;
}

static void end(void)
{
        blocks_deinit(&blocks);
        blocks_ranges_deinit(&ranges);
}

/* A QEMU in which the block i begins at (i + 1) << 40, as the tree says; @shift of the second call is added.
 */
struct fake {
        uint64_t hvas[8];
        unsigned int calls;
        uint64_t shift;
        const char *text;
};

static int translate(void *context, uint64_t gpa, char **ret_text, struct failure *unused)
{
        struct fake *fake = context;

        (void)unused;
        if (fake->text) {
                *ret_text = strdup(fake->text);
                return 0;
        }
        for (size_t i = 0; i < ranges.count; i++) {
                const struct ram_range *range = &ranges.ranges[i];
                unsigned long long hva = fake->hvas[range->block] + gpa - range->gpa + range->offset +
                                         fake->shift * fake->calls;

                if (gpa >= range->gpa && gpa - range->gpa < range->size_bytes)
                        (void)!asprintf(ret_text, "Host virtual address for 0x%llx (%s) is 0x%llx\r\n",
                                        (unsigned long long)gpa, blocks.blocks[range->block].id, hva);
        }
        fake->calls++;
        return 0;
}

static void test_numa(void)
{
        struct fake fake = {{1UL << 40, 0, 2UL << 40, 3UL << 40, 4UL << 40}, 0, 0, NULL};

        CU_ASSERT_EQUAL_FATAL(parse_memdev(memdev_numa), 0);
        CU_ASSERT_EQUAL(blocks.count, 5);
        CU_ASSERT_EQUAL(blocks_total_bytes(&blocks), 3UL * 268435456 + 16777216 + 1073741824);
        CU_ASSERT_TRUE(blocks_find(&blocks, "m1")->share);
        CU_ASSERT_FALSE(blocks_find(&blocks, "m0")->share);
        CU_ASSERT_FALSE(blocks_find(&blocks, "m0")->merge);
        CU_ASSERT_PTR_NULL(blocks_find(&blocks, "m"));
        CU_ASSERT_PTR_NULL(blocks_find(&blocks, "m11"));
        CU_ASSERT_EQUAL_FATAL(blocks_parse_mtree(tree_numa, &blocks, &ranges, &failure), 0);
        CU_ASSERT_EQUAL(ranges.count, 6);
        CU_ASSERT_TRUE(ranges.ranges[1].rom);
        CU_ASSERT_EQUAL(ranges.ranges[2].gpa, 0x100000);
        CU_ASSERT_EQUAL(ranges.ranges[2].size_bytes, 0xff00000);
        CU_ASSERT_EQUAL(ranges.ranges[2].offset, 0x100000);
        CU_ASSERT_EQUAL_FATAL(blocks_locate(&blocks, &ranges, translate, &fake, &failure), 0);
        for (size_t i = 0; i < blocks.count; i++)
                CU_ASSERT_EQUAL(blocks.blocks[i].hva, fake.hvas[i]);
        end();
}

static void test_split_block(void)
{
        struct fake fake = {{0x7f0000000000}, 0, 0, NULL};

        CU_ASSERT_EQUAL_FATAL(parse_memdev(memdev_q35), 0);
        CU_ASSERT_EQUAL_FATAL(blocks_parse_mtree(tree_q35, &blocks, &ranges, &failure), 0);
        CU_ASSERT_EQUAL(ranges.count, 4);
        CU_ASSERT_EQUAL(blocks_locate(&blocks, &ranges, translate, &fake, &failure), 0);
        CU_ASSERT_EQUAL(blocks.blocks[0].hva, 0x7f0000000000);
        CU_ASSERT_EQUAL(fake.calls, 2);
        fake = (struct fake){{0x7f0000000000}, 0, 4096, NULL};
        CU_ASSERT_EQUAL(blocks_locate(&blocks, &ranges, translate, &fake, &failure), -EBADMSG);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "two addresses"));
        end();
}

/* virtio-mem with dynamic memory slots shows some parts only; names may be paths. */
static void test_parts_and_paths(void)
{
        static const char tree[] =
                " AS \"memory\", root: system\n"
                "  0000000140000000-000000014fffffff (prio 0, ram): /objects/v @20000000\n"
                "  0000000160000000-000000016fffffff (prio 0, nv-ram): /objects/v @40000000\n"
                "  0000000170000000-000000017fffffff (prio 0, ram): /objects/vv @40000000\n";
        struct fake fake = {{0x7f0000000000}, 0, 0, NULL};

        CU_ASSERT_EQUAL_FATAL(parse_memdev("[{\"size\":2147483648,\"id\":\"v\"}]"), 0);
        CU_ASSERT_EQUAL_FATAL(blocks_parse_mtree(tree, &blocks, &ranges, &failure), 0);
        CU_ASSERT_EQUAL(ranges.count, 2);
        CU_ASSERT_EQUAL(blocks_locate(&blocks, &ranges, translate, &fake, &failure), 0);
        CU_ASSERT_EQUAL(blocks.blocks[0].hva, 0x7f0000000000);
        end();
}

static void test_types(void)
{
        struct json_object *reply =
                json_tokener_parse("[{\"name\":\"type\",\"type\":\"string\"},{\"name\":\"pc.ram\",\"type\":"
                                   "\"child<memory-backend-memfd>\"},"
                                   "{\"name\":\"pc.ram\"},{\"name\":\"other\",\"type\":\"child<x>\"},7]");

        CU_ASSERT_EQUAL_FATAL(parse_memdev(memdev_q35), 0);
        CU_ASSERT_PTR_NULL(blocks.blocks[0].backend);
        CU_ASSERT_EQUAL(blocks_parse_types(reply, &blocks), 0);
        CU_ASSERT_STRING_EQUAL(blocks.blocks[0].backend, "memory-backend-memfd");
        json_object_put(reply);
        end();
}

static void test_bad_memdev(void)
{
        static const struct {
                const char *text, *part;
        } cases[] = {
                {"{}", "no list"},
                {"[]", "no memory backend"},
                {"[7]", "without an id"},
                {"[{\"size\":4096}]", "without an id"},
                {"[{\"size\":4096,\"id\":\"\"}]", "without an id"},
                {"[{\"id\":\"a\"}]", "no size"},
                {"[{\"id\":\"a\",\"size\":\"4096\"}]", "no size"},
                {"[{\"id\":\"a\",\"size\":0}]", "whole pages"},
                {"[{\"id\":\"a\",\"size\":-4096}]", "whole pages"},
                {"[{\"id\":\"a\",\"size\":4097}]", "whole pages"},
                {"[{\"id\":\"a\",\"size\":18446744073709547520}]", "whole pages"},
                {"[{\"id\":\"a\",\"size\":4096},{\"id\":\"a\",\"size\":4096}]", "twice"},
                {"[{\"id\":\"a\",\"size\":9223372036854771712},{\"id\":\"b\",\"size\":4096}]", "exceed"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                CU_ASSERT_EQUAL(parse_memdev(cases[i].text), -EBADMSG);
                CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, cases[i].part));
                CU_ASSERT_PTR_NULL(blocks.blocks);
        }
}

static void test_too_many_memdevs(void)
{
        struct json_object *reply = json_object_new_array();

        for (int i = 0; i <= BLOCKS_MAX; i++)
                (void)json_object_array_add(reply, json_object_new_int(i));
        CU_ASSERT_EQUAL(blocks_parse_memdev(reply, &blocks, &failure), -EBADMSG);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "more than 1024"));
        json_object_put(reply);
}

static void test_bad_trees(void)
{
        static const char head[] = "FlatView #0\n AS \"memory\", root: system\n";
        static const char *const lines[] = {
                "  0000000000000000-00000001bfffffff (prio 0, ram): pc.ram",
                "  0000000000000000-0000000000000fff (prio 0, ram): pc.ram @0000000140000000",
                "  0000000000000000-ffffffffffffffff (prio 0, ram): pc.ram",
                "  0000000000001000-0000000000000fff (prio 0, ram): pc.ram",
                "  0000000000000000-0000000000000fff (prio 0, ram): pc.ram @fffffffffffff000",
        };

        CU_ASSERT_EQUAL_FATAL(parse_memdev(memdev_q35), 0);
        CU_ASSERT_EQUAL(blocks_parse_mtree("", &blocks, &ranges, &failure), -EBADMSG);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "no address space"));
        CU_ASSERT_EQUAL(blocks_parse_mtree("FlatView #0\n AS \"memory2\"\n", &blocks, &ranges, &failure),
                        -EBADMSG);
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                char text[256];

                (void)snprintf(text, sizeof(text), "%s%s\n", head, lines[i]);
                CU_ASSERT_EQUAL(blocks_parse_mtree(text, &blocks, &ranges, &failure), -EBADMSG);
                CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "does not fit"));
                CU_ASSERT_PTR_NULL(ranges.ranges);
        }
        end();
}

/* Every prefix of a tree, and every byte of it replaced: no crash, and no range beyond its block. */
static void test_hostile_trees(void)
{
        static const char bytes[] = {'\n', '0', 'f', '-', '@', ' ', '\x80', ')'};
        char text[sizeof(tree_q35)];

        CU_ASSERT_EQUAL_FATAL(parse_memdev(memdev_q35), 0);
        for (size_t i = 0; i < sizeof(tree_q35) - 1; i++)
                for (size_t j = 0; j <= sizeof(bytes); j++) {
                        memcpy(text, tree_q35, sizeof(text));
                        text[i] = j == sizeof(bytes) ? '\0' : bytes[j];
                        if (blocks_parse_mtree(text, &blocks, &ranges, NULL) < 0)
                                continue;
                        for (size_t k = 0; k < ranges.count; k++)
                                CU_ASSERT(ranges.ranges[k].offset + ranges.ranges[k].size_bytes <=
                                          blocks.blocks[0].size_bytes);
                        blocks_ranges_deinit(&ranges);
                }
        end();
}

static void test_gpa2hva(void)
{
        static const char *const bad[] = {
                "",
                "Memory at address 0xfee00000 is not RAM\r\n",
                "No memory is mapped at address 0xfffffffffffff\r\n",
                "Host virtual address for 0x0 (pc.ram2) is 0x7f858be00000\r\n",
                "Host virtual address for 0x0 (pc.ra) is 0x7f858be00000\r\n",
                "Host virtual address for 0x0 (pc.ram) is 0x0\r\n",
                "Host virtual address for 0x0 (pc.ram) is 0xfffffffffffffffff\r\n",
                "Host virtual address for 0x0 (pc.ram) is (nil)\r\n",
                "Host virtual address for 0x (pc.ram) is 0x1000\r\n",
        };
        uint64_t hva = 0;

        CU_ASSERT_EQUAL(blocks_parse_gpa2hva("Host virtual address for 0x0 (pc.ram) is 0x7f858be00000\r\n",
                                             "pc.ram", &hva, NULL),
                        0);
        CU_ASSERT_EQUAL(hva, 0x7f858be00000);
        CU_ASSERT_EQUAL(blocks_parse_gpa2hva("Host virtual address for 0x0 (/objects/m0) is 0x1000", "m0",
                                             &hva, NULL),
                        0);
        CU_ASSERT_EQUAL(hva, 0x1000);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                CU_ASSERT_EQUAL(blocks_parse_gpa2hva(bad[i], "pc.ram", &hva, &failure), -EBADMSG);
        CU_ASSERT_EQUAL(hva, 0x1000);
}

static void test_bad_addresses(void)
{
        static const char *const texts[] = {
                "Host virtual address for 0x0 (pc.ram) is 0x7f0000080001",     /* not a page */
                "Host virtual address for 0x0 (pc.ram) is 0x1000",             /* below its offset */
                "Host virtual address for 0x0 (pc.ram) is 0x80000000",         /* begins at 0 */
                "Host virtual address for 0x0 (pc.ram) is 0xfffffffffffff000", /* wraps around */
        };

        CU_ASSERT_EQUAL_FATAL(parse_memdev(memdev_q35), 0);
        CU_ASSERT_EQUAL_FATAL(blocks_parse_mtree(tree_q35, &blocks, &ranges, &failure), 0);
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                struct fake fake = {.text = texts[i]};

                CU_ASSERT_EQUAL(blocks_locate(&blocks, &ranges, translate, &fake, &failure), -EBADMSG);
                CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "impossible address"));
        }
        end();
}

static void test_overlap(void)
{
        struct fake fake = {{1UL << 40, 0, (1UL << 40) + 268435456 - 4096, 3UL << 40, 4UL << 40}, 0, 0, NULL};

        CU_ASSERT_EQUAL_FATAL(parse_memdev(memdev_numa), 0);
        CU_ASSERT_EQUAL_FATAL(blocks_parse_mtree(tree_numa, &blocks, &ranges, &failure), 0);
        CU_ASSERT_EQUAL(blocks_locate(&blocks, &ranges, translate, &fake, &failure), -EBADMSG);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "overlapping"));
        fake.hvas[2] = (1UL << 40) + 268435456;
        CU_ASSERT_EQUAL(blocks_locate(&blocks, &ranges, translate, &fake, &failure), 0);
        end();
}

static const struct unit_test tests[] = {
        {"NUMA, DIMM, virtio-mem and an unused backend", test_numa},
        {"a block that is split around the PCI hole", test_split_block},
        {"a block seen in parts, names that are paths", test_parts_and_paths},
        {"types of backends", test_types},
        {"bad replies to query-memdev", test_bad_memdev},
        {"too many backends", test_too_many_memdevs},
        {"trees that contradict the blocks", test_bad_trees},
        {"every prefix and every byte of a tree", test_hostile_trees},
        {"replies to gpa2hva", test_gpa2hva},
        {"impossible addresses", test_bad_addresses},
        {"overlapping blocks", test_overlap},
};
UNIT_MAIN("qmp/blocks", tests)
