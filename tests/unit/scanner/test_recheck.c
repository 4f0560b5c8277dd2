/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The second look, on this process's own memory. */
#include "base/clock.h"
#include "own_memory.h"
#include "scanner/frames.h"
#include "scanner/kpageflags.h"
#include "scanner/pagemap.h"
#include "scanner/recheck.h"
#include "scanner/scan.h"
#include "unit.h"

#include <stdio.h>

#define N_PAGES 1500

struct looks {
        struct own_memory memory;
        struct pool *pool;
        struct fingerprint_key key;
        struct guest_ram *ram;
        int kpageflags_fd;
};

/* The first look. */
static void looks_init(struct looks *looks)
{
        CLEANUP_CLOSE int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        static const size_t first_guest[] = {0};
        struct scan *scan = NULL;

        *looks = (struct looks){.kpageflags_fd = frames_open(proc_fd)};
        CU_ASSERT_EQUAL_FATAL(pool_new(2, &looks->pool), 0);
        CU_ASSERT_EQUAL_FATAL(fingerprint_key_init(&looks->key), 0);
        looks->memory = own_memory_map(N_PAGES, MAP_PRIVATE, 0);
        (void)madvise(looks->memory.pages, N_PAGES * PAGE_BYTES, MADV_NOHUGEPAGE);
        for (size_t i = 0; i < N_PAGES; i++)
                own_memory_fill(&looks->memory, i, (int)(i % 100) + 1);
        looks->ram = own_memory_as_guest(&looks->memory);
        CU_ASSERT_EQUAL_FATAL(scan_new(looks->pool, &looks->key, &looks->ram, 1, looks->kpageflags_fd, &scan),
                              0);
        scan_window(scan, first_guest, 1, USEC_INFINITY, NULL);
        (void)scan_accept(scan, 0, 0, USEC_INFINITY);
        scan_free(scan);
        CU_ASSERT_EQUAL_FATAL(pages_add_marks(&looks->ram->pages), 0);
}

static void looks_deinit(struct looks *looks)
{
        guest_ram_free(looks->ram);
        own_memory_unmap(&looks->memory);
        pool_free(looks->pool);
        close_fd(&looks->kpageflags_fd);
}

static uint8_t *marks_of(const struct looks *looks)
{
        return looks->ram->pages.blocks[0].marks;
}

static void look_again(struct looks *looks)
{
        struct pages *pages = &looks->ram->pages;

        CU_ASSERT_EQUAL(recheck_run(looks->pool, &looks->key, &pages, 1), 0);
}

static void test_changed_and_kept(void)
{
        struct looks looks;
        unsigned char is_there = 1;
        size_t n_wrong = 0;

        looks_init(&looks);
        for (size_t i = 0; i < N_PAGES; i++)
                marks_of(&looks)[i] = i % 4 < 3 ? PAGE_MARK_WANTED : 0;
        CU_ASSERT_EQUAL(pages_count_wanted(&looks.ram->pages), N_PAGES * 3 / 4);
        for (size_t i = 0; i < N_PAGES; i++) {
                if (i % 4 == 1 || i % 4 == 3)
                        looks.memory.pages[i * PAGE_BYTES + 4095] ^= 1;
                if (i % 4 == 2 && i % 8 == 2)
                        (void)madvise(looks.memory.pages + i * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED);
        }
        look_again(&looks);
        for (size_t i = 0; i < N_PAGES; i++) {
                const uint8_t wanted[] = {
                        PAGE_MARK_WANTED | PAGE_MARK_KEPT,
                        PAGE_MARK_WANTED | PAGE_MARK_CHANGED,
                        PAGE_MARK_WANTED | (i % 8 == 2 ? PAGE_MARK_CHANGED : PAGE_MARK_KEPT),
                        0,
                };

                n_wrong += marks_of(&looks)[i] != wanted[i % 4];
        }
        CU_ASSERT_EQUAL(n_wrong, 0);
        /* Looking has touched no page that went away. */
        CU_ASSERT_EQUAL(mincore(looks.memory.pages + 2 * PAGE_BYTES, PAGE_BYTES, &is_there), 0);
        CU_ASSERT_FALSE(is_there & 1);
        looks_deinit(&looks);
}

static void test_cannot_be_read(void)
{
        struct looks looks;

        looks_init(&looks);
        marks_of(&looks)[7] = PAGE_MARK_WANTED;
        close_fd(&looks.ram->process.mem_fd);
        look_again(&looks);
        CU_ASSERT_EQUAL(marks_of(&looks)[7], PAGE_MARK_WANTED);
        close_fd(&looks.ram->process.pagemap_fd);
        look_again(&looks);
        CU_ASSERT_EQUAL(marks_of(&looks)[7], PAGE_MARK_WANTED);
        CU_ASSERT_EQUAL(atomic_load(&looks.ram->error), 0);
        looks_deinit(&looks);
}

static bool is_even(size_t page)
{
        return page % 2 == 0;
}

static void test_merged(void)
{
        struct looks looks;
        size_t n_wrong = 0;
        bool doubt = false;

        looks_init(&looks);
        close_fd(&looks.kpageflags_fd);
        memset(marks_of(&looks), PAGE_MARK_WANTED, N_PAGES);
        /* Another content first: it may be merged with something else by now. */
        for (size_t i = 0; i < N_PAGES; i += 5)
                looks.memory.pages[i * PAGE_BYTES] ^= 1;
        looks.kpageflags_fd = own_memory_kpageflags(&looks.memory, looks.ram->process.pagemap_fd, is_even);
        looks.ram->process.kpageflags_fd = looks.kpageflags_fd;
        doubt = kpageflags_doubt_ksm(false);
        look_again(&looks);
        (void)kpageflags_doubt_ksm(doubt);
        for (size_t i = 0; i < N_PAGES; i++)
                n_wrong += marks_of(&looks)[i] != (PAGE_MARK_WANTED | (i % 5 == 0   ? PAGE_MARK_CHANGED
                                                                       : i % 2 == 0 ? PAGE_MARK_MERGED
                                                                                    : PAGE_MARK_KEPT));
        CU_ASSERT_EQUAL(n_wrong, 0);
        looks_deinit(&looks);
}

/* A kernel that calls all anonymous memory KSM's: only what is mapped more than once has been merged. */
static void test_kernel_that_calls_all_merged(void)
{
        struct looks looks;
        pid_t child = -1;
        int pipe_fd = -1;
        bool doubt = false;
        size_t n_wrong = 0;

        looks_init(&looks);
        child = own_memory_share_with_child(&pipe_fd);
        /* Each second page gets a frame of its own again. */
        for (size_t i = 1; i < N_PAGES; i += 2)
                *(volatile unsigned char *)(looks.memory.pages + i * PAGE_BYTES) =
                        (unsigned char)(i % 100 + 1);
        close_fd(&looks.kpageflags_fd);
        looks.kpageflags_fd = own_memory_kpageflags(&looks.memory, looks.ram->process.pagemap_fd, NULL);
        looks.ram->process.kpageflags_fd = looks.kpageflags_fd;
        memset(marks_of(&looks), PAGE_MARK_WANTED, N_PAGES);
        doubt = kpageflags_doubt_ksm(true);
        look_again(&looks);
        (void)kpageflags_doubt_ksm(doubt);
        for (size_t i = 0; i < N_PAGES; i++)
                n_wrong += marks_of(&looks)[i] !=
                           (PAGE_MARK_WANTED | (is_even(i) ? PAGE_MARK_MERGED : PAGE_MARK_KEPT));
        CU_ASSERT_EQUAL(n_wrong, 0);
        own_memory_end_child(child, &pipe_fd);
        looks_deinit(&looks);
}

/* Memory that cannot be read from page 10 on: pages before it that are read together with it keep what is seen of them. */
static void test_neighbours_of_what_cannot_be_read(void)
{
        const size_t n_readable = 10;
        struct looks looks;
        size_t n_wrong = 0;

        looks_init(&looks);
        close_fd(&looks.ram->process.mem_fd);
        looks.ram->process.mem_fd = memfd_create("mem", MFD_CLOEXEC);
        CU_ASSERT_EQUAL(pwrite(looks.ram->process.mem_fd, looks.memory.pages, n_readable * PAGE_BYTES,
                               (off_t)(uintptr_t)looks.memory.pages),
                        (ssize_t)(n_readable * PAGE_BYTES));
        memset(marks_of(&looks), PAGE_MARK_WANTED, N_PAGES);
        look_again(&looks);
        for (size_t i = 0; i < N_PAGES; i++)
                n_wrong += marks_of(&looks)[i] != (PAGE_MARK_WANTED | (i < n_readable ? PAGE_MARK_KEPT : 0));
        CU_ASSERT_EQUAL(n_wrong, 0);
        looks_deinit(&looks);
}

/* Where frames cannot be seen nobody looks twice. */
static bool can_see_frames(void)
{
        CLEANUP_CLOSE int flags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
        CLEANUP_CLOSE int pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        uint64_t entry = 0;

        return flags_fd >= 0 && pagemap_fd >= 0 &&
               pagemap_read(pagemap_fd, (uintptr_t)&entry & ~(PAGE_BYTES - 1), &entry, 1) == 0 &&
               (entry & PAGEMAP_PFN) != 0;
}

static const struct unit_test tests[] = {
        {"changed and kept", test_changed_and_kept},
        {"cannot be read", test_cannot_be_read},
        {"merged", test_merged},
        {"kernel that calls all merged", test_kernel_that_calls_all_merged},
        {"neighbours of what cannot be read", test_neighbours_of_what_cannot_be_read},
};

int main(void)
{
        if (!can_see_frames()) {
                (void)puts("skip: /proc/kpageflags and frame numbers cannot be seen: this needs root");
                return EXIT_SKIPPED;
        }
        return unit_run("recheck", tests, sizeof(tests) / sizeof(tests[0]));
}
