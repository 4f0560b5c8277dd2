/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "qmp/virt/domain_ram.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

/* 16 MiB of each; lines as the kernel writes them. */
#define ANONYMOUS "7f0000000000-7f0001000000 rw-p 00000000 00:00 0 \n"
#define SECOND    "7f0010000000-7f0011000000 rw-p 00000000 00:00 0 \n"
#define ZERO_FILE "7f0020000000-7f0021000000 rw-s 00000000 00:01 77                   /dev/zero (deleted)\n"
#define MEMFD \
        "7f0030000000-7f0031000000 rw-s 00000000 00:01 78         /memfd:memory-backend-memfd (deleted)\n"
#define MEMFD_P \
        "7f0040000000-7f0041000000 rw-p 00000000 00:01 79         /memfd:memory-backend-memfd (deleted)\n"
#define FILE_S "7f0050000000-7f0051000000 rw-s 00000000 00:01 80   /var/lib/libvirt/qemu/ram/1-a b/pc.ram\n"
#define HUGE                                                  \
        "7f0060000000-7f0061000000 rw-p 00000000 00:0f 81   " \
        "/dev/hugepages/libvirt/qemu/1-a/qemu_back_mem.pc.ram.x (deleted)\n"
#define OTHERS                                                                              \
        "55d000000000-55d000100000 r-xp 00000000 08:01 1 /usr/bin/qemu-system-x86_64\n"     \
        "55d001000000-55d002000000 rw-p 00000000 00:00 0                          [heap]\n" \
        "7e0000000000-7e0001000000 rwxp 00000000 00:00 0 \n"                                \
        "7e0001000000-7e0002000000 ---p 00000000 00:00 0 \n"                                \
        "7e0002000000-7e0003000000 r--p 00000000 00:00 0 \n"                                \
        "7e0003000000-7e0004000000 rw-s 00000000 00:0e 9 anon_inode:kvm-vcpu:0\n"           \
        "7e0004000000-7e0005000000 rw-s 00000000 00:01 9 /memfd:libffi (deleted)\n"

static struct memory_block blocks[4];
static struct domain_memory memory = {.blocks = blocks};
static struct ram_blocks found;
static struct failure failure;

static void set(size_t n, uint64_t mib, enum memory_kind kind, enum memory_sharing sharing)
{
        static char names[4][8] = {"ram", "one", "two", "three"};

        for (size_t i = 0; i < n; i++)
                blocks[i] = (struct memory_block){
                        .id = names[i], .size_bytes = mib * MIB, .kind = kind, .sharing = sharing};
        memory.n_blocks = n;
        memory.n_cells = 0;
}

static int match(const char *maps)
{
        blocks_deinit(&found);
        failure = (struct failure){0};
        return domain_ram_match(&memory, maps, &found, &failure);
}

static void test_kinds(void)
{
        static const struct {
                enum memory_kind kind;
                enum memory_sharing sharing;
                uint64_t hva;
                const char *backend;
                bool shared;
        } cases[] = {
                {MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_PRIVATE, 0x7f0000000000, "memory-backend-ram", false},
                {MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_SHARED, 0x7f0020000000, "memory-backend-ram", true},
                {MEMORY_KIND_MEMFD, MEMORY_SHARING_SHARED, 0x7f0030000000, "memory-backend-memfd", true},
                {MEMORY_KIND_MEMFD, MEMORY_SHARING_PRIVATE, 0x7f0040000000, "memory-backend-memfd", false},
                {MEMORY_KIND_FILE, MEMORY_SHARING_SHARED, 0x7f0050000000, "memory-backend-file", true},
                {MEMORY_KIND_FILE, MEMORY_SHARING_PRIVATE, 0x7f0060000000, "memory-backend-file", false},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                set(1, 16, cases[i].kind, cases[i].sharing);
                CU_ASSERT_EQUAL_FATAL(match(OTHERS ANONYMOUS ZERO_FILE MEMFD MEMFD_P FILE_S HUGE), 0);
                CU_ASSERT_EQUAL(found.count, 1);
                CU_ASSERT_EQUAL(found.blocks[0].hva, cases[i].hva);
                CU_ASSERT_EQUAL(found.blocks[0].size_bytes, 16 * MIB);
                CU_ASSERT_EQUAL(found.blocks[0].share, cases[i].shared);
                CU_ASSERT_STRING_EQUAL(found.blocks[0].backend, cases[i].backend);
        }
        blocks_deinit(&found);
}

static void test_unknown_kind(void)
{
        set(1, 16, MEMORY_KIND_UNKNOWN, MEMORY_SHARING_UNKNOWN);
        CU_ASSERT_EQUAL(match(OTHERS MEMFD), 0);
        CU_ASSERT_EQUAL(match(OTHERS MEMFD ANONYMOUS), -ENOTUNIQ);
        set(1, 16, MEMORY_KIND_MEMFD, MEMORY_SHARING_UNKNOWN);
        CU_ASSERT_EQUAL(match(OTHERS MEMFD ANONYMOUS), 0);
        CU_ASSERT_TRUE(found.blocks[0].share);
        blocks_deinit(&found);
}

static void test_none(void)
{
        set(1, 17, MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN);
        CU_ASSERT_EQUAL(match(OTHERS ANONYMOUS), -ENOENT);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "0 of the 1 blocks of 17 MiB like ram"));
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "libvirt_monitor"));
        set(1, 16, MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN);
        CU_ASSERT_EQUAL(match(OTHERS MEMFD), -ENOENT);
        CU_ASSERT_EQUAL(match(OTHERS), -ENOENT);
        CU_ASSERT_EQUAL(match(""), -ENOENT);
        CU_ASSERT_EQUAL(match("garbage\n\n7f-\n-\n7f00-7e00 rw-p\n7f0000000000-7f0001000000"), -ENOENT);
        CU_ASSERT_EQUAL(found.count, 0);
}

/* A thread's stack of the size of the RAM. */
static void test_ambiguous(void)
{
        set(1, 16, MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN);
        CU_ASSERT_EQUAL(match(ANONYMOUS SECOND), -ENOTUNIQ);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "2 mappings look like the 1 blocks of 16 MiB"));
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "libvirt_monitor"));
}

static void test_equal_blocks(void)
{
        set(2, 16, MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN);
        CU_ASSERT_EQUAL_FATAL(match(OTHERS ANONYMOUS SECOND), 0);
        CU_ASSERT_EQUAL(found.blocks[0].hva, 0x7f0000000000);
        CU_ASSERT_EQUAL(found.blocks[1].hva, 0x7f0010000000);
        CU_ASSERT_EQUAL(match(OTHERS ANONYMOUS), -ENOENT);
        blocks_deinit(&found);
}

/* One mapping that fits two blocks of different kinds is nobody's. */
static void test_one_for_two(void)
{
        set(2, 16, MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN);
        blocks[1].kind = MEMORY_KIND_UNKNOWN;
        CU_ASSERT_EQUAL(match(ANONYMOUS), -ENOTUNIQ);
        CU_ASSERT_EQUAL(match(ANONYMOUS MEMFD), -ENOTUNIQ);
}

static void test_huge_pages(void)
{
        set(1, 15, MEMORY_KIND_UNKNOWN, MEMORY_SHARING_UNKNOWN);
        CU_ASSERT_EQUAL_FATAL(match(OTHERS HUGE), 0);
        CU_ASSERT_EQUAL(found.blocks[0].size_bytes, 15 * MIB);
        CU_ASSERT_EQUAL(match(OTHERS ANONYMOUS), -ENOENT);
        blocks_deinit(&found);
}

static void test_path(void)
{
        char path[] = "/var/lib/libvirt/qemu/ram/1-a b/pc.ram";
        char part[] = "/var/lib/libvirt/qemu/ram/1-a b/pc.ra";

        set(1, 16, MEMORY_KIND_FILE, MEMORY_SHARING_UNKNOWN);
        blocks[0].path = path;
        CU_ASSERT_EQUAL(match(OTHERS FILE_S HUGE), 0);
        blocks[0].path = part;
        CU_ASSERT_EQUAL(match(OTHERS FILE_S HUGE), -ENOENT);
        blocks_deinit(&found);
}

/* Old machine types have one block for all cells. */
static void test_joined_cells(void)
{
        set(2, 8, MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN);
        memory.n_cells = 2;
        CU_ASSERT_EQUAL_FATAL(match(OTHERS ANONYMOUS), 0);
        CU_ASSERT_EQUAL(found.count, 1);
        CU_ASSERT_STRING_EQUAL(found.blocks[0].id, "ram");
        CU_ASSERT_EQUAL(found.blocks[0].size_bytes, 16 * MIB);
        CU_ASSERT_EQUAL(failure.text[0], '\0');
        CU_ASSERT_EQUAL(match(OTHERS ANONYMOUS SECOND), -ENOENT);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "8 MiB"));
        set(3, 8, MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN);
        memory.n_cells = 2;
        blocks[2].size_bytes = 16 * MIB;
        CU_ASSERT_EQUAL(match(OTHERS ANONYMOUS SECOND), 0);
        CU_ASSERT_EQUAL(found.count, 2);
        CU_ASSERT_EQUAL(match(OTHERS ANONYMOUS SECOND MEMFD_P), 0);
        blocks[2].kind = MEMORY_KIND_UNKNOWN;
        CU_ASSERT_EQUAL(match(OTHERS ANONYMOUS SECOND), -ENOENT);
        blocks_deinit(&found);
}

static const struct unit_test tests[] = {
        {"kinds", test_kinds},
        {"unknown kind", test_unknown_kind},
        {"none", test_none},
        {"ambiguous", test_ambiguous},
        {"equal blocks", test_equal_blocks},
        {"one mapping for two blocks", test_one_for_two},
        {"huge pages", test_huge_pages},
        {"path", test_path},
        {"joined cells", test_joined_cells},
};

UNIT_MAIN("virt/domain_ram", tests)
