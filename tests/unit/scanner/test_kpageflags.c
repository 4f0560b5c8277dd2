/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which frames are KSM's, by a kernel that can be believed and by one that calls all anonymous memory KSM's. What such a
 * kernel says is made up here; what it says of a page of ours is asked of this kernel too.
 */
#include "base/cleanup.h"
#include "own_memory.h"
#include "scanner/frames.h"
#include "scanner/kpageflags.h"
#include "scanner/pagemap.h"
#include "unit.h"

#include <stdio.h>

#define ANON (UINT64_C(1) << 12)
#define HEAD (UINT64_C(1) << 15)
#define TAIL (UINT64_C(1) << 16)
#define KSM  (UINT64_C(1) << 21)
#define THP  (UINT64_C(1) << 22)
#define ZERO (UINT64_C(1) << 24)

#define PFN UINT64_C(1234)

static void check_word(uint64_t entry, uint64_t flags, uint64_t wanted)
{
        CU_ASSERT_EQUAL(kpageflags_frame_word(PAGEMAP_PRESENT | entry | PFN, flags), wanted | PFN);
}

static void test_kernel_that_is_believed(void)
{
        (void)kpageflags_doubt_ksm(false);
        check_word(0, ANON, 0);
        check_word(0, ANON | KSM, FRAME_KSM);
        check_word(PAGEMAP_EXCLUSIVE, ANON | KSM, FRAME_KSM);
        check_word(PAGEMAP_EXCLUSIVE, ANON | THP | HEAD, FRAME_HUGE);
        check_word(0, ZERO, FRAME_ZERO);
}

static void test_kernel_that_is_not(void)
{
        (void)kpageflags_doubt_ksm(true);
        check_word(0, ANON | KSM, FRAME_KSM);
        check_word(PAGEMAP_EXCLUSIVE, ANON | KSM, FRAME_MAYBE_KSM);
        check_word(PAGEMAP_EXCLUSIVE, ANON | KSM | THP | HEAD, FRAME_HUGE);
        /* Mapped twice, or a part of it. */
        check_word(0, ANON | KSM | THP | TAIL, FRAME_HUGE);
        /* A large folio, on kernels of which KPF_THP means 2 MiB. */
        check_word(PAGEMAP_EXCLUSIVE, ANON | KSM | HEAD, 0);
        check_word(0, ANON | KSM | TAIL, 0);
        check_word(0, ZERO, FRAME_ZERO);
        check_word(0, 0, 0);
        (void)kpageflags_doubt_ksm(false);
}

/* A file with one word in it. */
static int make_table(uint64_t index, uint64_t word)
{
        int fd = memfd_create("table", MFD_CLOEXEC);

        CU_ASSERT_EQUAL(pwrite(fd, &word, sizeof(word), (off_t)(index * sizeof(word))), sizeof(word));
        return fd;
}

static bool is_wrong(uint64_t entry, uint64_t flags)
{
        static const unsigned char page;
        CLEANUP_CLOSE int pagemap_fd = make_table((uintptr_t)&page >> PAGE_SHIFT, entry);
        CLEANUP_CLOSE int kpageflags_fd = make_table(PFN, flags);

        CU_ASSERT_FALSE(kpageflags_is_wrong_of(pagemap_fd, -1, &page));
        CU_ASSERT_FALSE(kpageflags_is_wrong_of(-1, kpageflags_fd, &page));
        return kpageflags_is_wrong_of(pagemap_fd, kpageflags_fd, &page);
}

static void test_answers_to_the_probe(void)
{
        CU_ASSERT_TRUE(is_wrong(PAGEMAP_PRESENT | PAGEMAP_EXCLUSIVE | PFN, ANON | KSM));
        CU_ASSERT_FALSE(is_wrong(PAGEMAP_PRESENT | PAGEMAP_EXCLUSIVE | PFN, ANON));
        CU_ASSERT_FALSE(is_wrong(PAGEMAP_PRESENT, ANON | KSM)); /* hidden */
        CU_ASSERT_FALSE(is_wrong(PAGEMAP_SWAPPED | PFN, ANON | KSM));
}

static void check_users(bool doubt, uint64_t flags, uint64_t count, uint64_t wanted)
{
        struct frame_users users = {make_table(PFN, flags), make_table(PFN, count)};

        (void)kpageflags_doubt_ksm(doubt);
        CU_ASSERT_EQUAL(frame_users_of_ksm_page(&users, PFN), wanted);
        close_fd(&users.kpageflags_fd);
        frame_users_deinit(&users);
        (void)kpageflags_doubt_ksm(false);
}

static void test_users_of_a_frame(void)
{
        check_users(false, ANON | KSM, 256, 256);
        check_users(false, ANON | KSM, 1, 1);
        check_users(false, ANON, 2, 0);
        check_users(true, ANON | KSM, 256, 256);
        check_users(true, ANON | KSM, 1, 0);
        check_users(true, ANON | KSM | THP | TAIL, 2, 0);
}

/* Of 64 pages of ours all have the flag, or none has: the probe says the same of its one. */
static void test_this_kernel(void)
{
        CLEANUP_CLOSE int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        CLEANUP_CLOSE int pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        CLEANUP_CLOSE int kpageflags_fd = frames_open(proc_fd);
        struct own_memory memory = own_memory_map(64, MAP_PRIVATE, 0);
        size_t n_wrong = 0;

        for (size_t i = 0; i < memory.n_pages; i++) {
                own_memory_fill(&memory, i, 1);
                n_wrong += kpageflags_is_wrong_of(pagemap_fd, kpageflags_fd, memory.pages + i * PAGE_BYTES);
        }
        CU_ASSERT_EQUAL(n_wrong, kpageflags_is_ksm(KSM, true) ? 0 : memory.n_pages);
        (void)printf("%s ", n_wrong > 0 ? "(calls everything KSM's)" : "(is right)");
        own_memory_unmap(&memory);
}

static const struct unit_test tests[] = {
        {"this kernel", test_this_kernel}, /* first: the probe takes no answer but its first */
        {"kernel that is believed", test_kernel_that_is_believed},
        {"kernel that is not", test_kernel_that_is_not},
        {"answers to the probe", test_answers_to_the_probe},
        {"users of a frame", test_users_of_a_frame},
};

UNIT_MAIN("kpageflags", tests)
