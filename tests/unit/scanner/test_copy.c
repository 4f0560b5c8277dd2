/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copying a range of this process's own memory. What the kernel says of frames is made up: files stand in for pagemap
 * and kpageflags. With what KSM really merged it is tested in tests/integration/test_exact.py.
 */
#include "base/cleanup.h"
#include "own_memory.h"
#include "scanner/copy.h"
#include "scanner/frames.h"
#include "scanner/kpageflags.h"
#include "scanner/pagemap.h"
#include "scanner/reader.h"
#include "unit.h"
#include "with_pidfd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_PAGES     64
#define KPF_KSM_BIT (UINT64_C(1) << 21)
#define KPF_THP_BIT (UINT64_C(1) << 22)

static struct own_memory memory;
static struct guest_ram *ram;
static struct page_buffer copy;
static int kpageflags_fd;
static int real_pagemap_fd;

/* How process_vm_readv(2) was used, and what happens in it. */
static unsigned int n_calls;
static size_t n_bytes;
static void (*meanwhile)(void);

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): those of the C library are reserved */
ssize_t process_vm_readv(pid_t pid, const struct iovec *local, unsigned long n_local,
                         const struct iovec *remote, unsigned long n_remote, unsigned long flags)
{
        n_calls++;
        for (unsigned long i = 0; i < n_remote; i++)
                n_bytes += remote[i].iov_len;
        if (meanwhile)
                meanwhile();
        return syscall(SYS_process_vm_readv, pid, local, n_local, remote, n_remote, flags);
}

static void write_word(int fd, uint64_t index, uint64_t word)
{
        CU_ASSERT_EQUAL(pwrite(fd, &word, sizeof(word), (off_t)(index * sizeof(word))), sizeof(word));
}

/* @pfn: with PAGEMAP_EXCLUSIVE or without */
static void set_frame(size_t page, uint64_t pfn)
{
        write_word(ram->process.pagemap_fd, ((uintptr_t)memory.pages >> PAGE_SHIFT) + page,
                   PAGEMAP_PRESENT | pfn);
}

/* 64 pages of which page i holds the byte i + 1 and has frame 1000 + i. */
static void begin(void)
{
        memory = own_memory_map(N_PAGES, MAP_PRIVATE, 0);
        for (size_t i = 0; i < N_PAGES; i++)
                own_memory_fill(&memory, i, (int)i + 1);
        ram = own_memory_as_guest(&memory);
        CU_ASSERT_EQUAL(ram->mappings[0][0].reader.kind, PAGE_READER_PROCESS_VM);
        ram->mappings[0][0].mergeable = true;
        real_pagemap_fd = ram->process.pagemap_fd;
        ram->process.pagemap_fd = memfd_create("pagemap", MFD_CLOEXEC);
        kpageflags_fd = memfd_create("kpageflags", MFD_CLOEXEC);
        for (size_t i = 0; i < N_PAGES; i++)
                set_frame(i, 1000 + i);
        write_word(kpageflags_fd, 4000, 0);
        CU_ASSERT_EQUAL_FATAL(page_buffer_init(&copy), 0);
        n_calls = 0;
        n_bytes = 0;
        meanwhile = NULL;
}

static void end(void)
{
        page_buffer_deinit(&copy);
        close_fd(&kpageflags_fd);
        close_fd(&real_pagemap_fd);
        guest_ram_free(ram);
        own_memory_unmap(&memory);
}

static int copy_runs(const struct page_run *runs, size_t n_runs)
{
        const struct page_span span = {&ram->mappings[0][0].reader, 0, N_PAGES};

        ram->process.kpageflags_fd = kpageflags_fd;
        return span.reader->read(&span, runs, n_runs, &copy);
}

static int copy_all(void)
{
        const struct page_run all = {.page = 0, .n_pages = N_PAGES, .state = PAGE_STATE_DATA};

        return copy_runs(&all, 1);
}

static bool is_right(size_t page)
{
        return copy.slots[page] < copy.n_slots && memcmp(copy.bytes + copy.slots[page] * PAGE_BYTES,
                                                         memory.pages + page * PAGE_BYTES, PAGE_BYTES) == 0;
}

static void check_all(void)
{
        size_t n_right = 0;

        for (size_t i = 0; i < N_PAGES; i++)
                n_right += is_right(i);
        CU_ASSERT_EQUAL(n_right, N_PAGES);
}

static void test_nothing_merged(void)
{
        begin();
        CU_ASSERT_EQUAL(copy_all(), 0);
        check_all();
        CU_ASSERT_EQUAL(copy.n_slots, N_PAGES);
        CU_ASSERT_EQUAL(n_calls, 1);
        CU_ASSERT_EQUAL(n_bytes, N_PAGES * PAGE_BYTES);
        end();
}

static void test_runs_with_holes(void)
{
        const struct page_run runs[] = {
                {.page = 3, .n_pages = 2, .state = PAGE_STATE_DATA},
                {.page = 5, .n_pages = 1, .state = PAGE_STATE_ZERO_MAPPED},
                {.page = 6, .n_pages = 1, .state = PAGE_STATE_SWAPPED},
                {.page = 60, .n_pages = 4, .state = PAGE_STATE_DATA, .huge = true},
        };

        begin();
        CU_ASSERT_EQUAL(copy_runs(runs, 4), 0);
        CU_ASSERT_EQUAL(copy.n_slots, 6);
        CU_ASSERT_EQUAL(n_calls, 1);
        CU_ASSERT(is_right(3) && is_right(4) && is_right(60) && is_right(63));
        end();
}

/* Merged pages are never given to process_vm_readv, and each frame of theirs is read once. */
static void test_merged(void)
{
        begin();
        for (size_t i = 10; i < 20; i++) {
                own_memory_fill(&memory, i, 99);
                set_frame(i, 2000);
        }
        set_frame(30, 2000 + 1024); /* falls together with the other one */
        write_word(kpageflags_fd, 2000, KPF_KSM_BIT);
        write_word(kpageflags_fd, 2000 + 1024, KPF_KSM_BIT);
        CU_ASSERT_EQUAL(copy_all(), 0);
        check_all();
        CU_ASSERT_EQUAL(n_calls, 1);
        CU_ASSERT_EQUAL(n_bytes, (N_PAGES - 11) * PAGE_BYTES);
        CU_ASSERT_EQUAL(copy.n_slots, N_PAGES - 9);
        CU_ASSERT_EQUAL(copy.slots[10], copy.slots[19]);
        end();
}

/*
 * A kernel that calls all anonymous memory KSM's: what may be KSM's with a single user is spared too, each page by itself. Parts
 * of huge pages are not, which KSM would have split.
 */
static void test_kernel_that_calls_all_merged(void)
{
        begin();
        (void)kpageflags_doubt_ksm(true);
        for (size_t i = 0; i < N_PAGES; i++) {
                set_frame(i, (1000 + i) | PAGEMAP_EXCLUSIVE);
                write_word(kpageflags_fd, 1000 + i, KPF_KSM_BIT | (i < 40 ? KPF_THP_BIT : 0));
        }
        own_memory_fill(&memory, 50, 99);
        own_memory_fill(&memory, 51, 99);
        set_frame(50, 2000);
        set_frame(51, 2000);
        write_word(kpageflags_fd, 2000, KPF_KSM_BIT);
        CU_ASSERT_EQUAL(copy_all(), 0);
        check_all();
        CU_ASSERT_EQUAL(n_bytes, 40 * PAGE_BYTES);
        CU_ASSERT_EQUAL(copy.slots[50], copy.slots[51]);
        CU_ASSERT_EQUAL(copy.n_slots, N_PAGES - 1);
        (void)kpageflags_doubt_ksm(false);
        end();
}

/* What a huge page maps cannot be merged, whatever the flags say of its frames. */
static void test_huge_pages_are_not_looked_up(void)
{
        const struct page_run all = {.page = 0, .n_pages = N_PAGES, .state = PAGE_STATE_DATA, .huge = true};

        begin();
        for (size_t i = 0; i < N_PAGES; i++)
                write_word(kpageflags_fd, 1000 + i, KPF_KSM_BIT);
        CU_ASSERT_EQUAL(copy_runs(&all, 1), 0);
        check_all();
        CU_ASSERT_EQUAL(n_bytes, N_PAGES * PAGE_BYTES);
        end();
}

static void move_page_12(void)
{
        set_frame(12, 3000);
}

/* Two pages that seemed to have one frame, and do not any more: each is read itself. */
static void test_frames_that_move(void)
{
        begin();
        set_frame(12, 2000);
        set_frame(13, 2000);
        set_frame(14, 2000);
        write_word(kpageflags_fd, 2000, KPF_KSM_BIT);
        meanwhile = move_page_12;
        CU_ASSERT_EQUAL(copy_all(), 0);
        check_all(); /* pages 13 and 14 hold something else than page 12 */
        CU_ASSERT_EQUAL(copy.n_slots, N_PAGES);
        end();
}

static void test_without_frames(void)
{
        begin();
        close_fd(&kpageflags_fd);
        CU_ASSERT_EQUAL(copy_all(), 0);
        check_all();
        CU_ASSERT_EQUAL(n_calls, 0);
        end();
}

static void test_hidden_frame_numbers(void)
{
        begin();
        for (size_t i = 0; i < N_PAGES; i++)
                set_frame(i, 0);
        CU_ASSERT_EQUAL(copy_all(), 0);
        check_all();
        CU_ASSERT_EQUAL(n_calls, 0);
        end();
}

/* A page that went away: what is still there is found, and the error is that of the careful reader. */
static void test_unmapped_page(void)
{
        begin();
        CU_ASSERT_EQUAL(munmap(memory.pages + 5 * PAGE_BYTES, PAGE_BYTES), 0);
        CU_ASSERT_EQUAL(copy_all(), -EIO);
        end();
}

static void test_proc_mem(void)
{
        begin();
        guest_ram_avoid_process_vm(ram);
        CU_ASSERT_EQUAL(copy_all(), 0);
        check_all();
        CU_ASSERT_EQUAL(n_calls, 0);
        end();
}

static pid_t ended_pid;

static void end_process(void)
{
        (void)kill(ended_pid, SIGKILL);
        (void)waitpid(ended_pid, NULL, 0);
}

/* Makes the guest one whose process is another one, while its number is this process's. */
static void begin_with_number_used_again(void)
{
        char path[32];

        begin();
        ended_pid = fork();
        if (ended_pid == 0) {
                (void)pause();
                _exit(0);
        }
        close_fd(&ram->process.pidfd);
        close_fd(&ram->process.mem_fd);
        (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)ended_pid);
        ram->process.pidfd = pidfd_open(ended_pid, 0);
        ram->process.mem_fd = open(path, O_RDONLY | O_CLOEXEC);
        CU_ASSERT_FATAL(ram->process.pidfd >= 0 && ram->process.mem_fd >= 0);
}

/* process_vm_readv(2) goes by the number: what it read of another process is not taken. */
static void test_number_used_again(void)
{
        begin_with_number_used_again();
        end_process();
        CU_ASSERT_EQUAL(copy_all(), -ESRCH);
        CU_ASSERT_EQUAL(n_calls, 0);
        end();
        begin_with_number_used_again();
        meanwhile = end_process;
        CU_ASSERT_EQUAL(copy_all(), -ESRCH);
        CU_ASSERT_EQUAL(n_calls, 1);
        end();
}

static const struct unit_test tests[] = {
        {"nothing merged", test_nothing_merged},
        {"runs with holes", test_runs_with_holes},
        {"merged", test_merged},
        {"kernel that calls all merged", test_kernel_that_calls_all_merged},
        {"huge pages are not looked up", test_huge_pages_are_not_looked_up},
        {"frames that move", test_frames_that_move},
        {"without frames", test_without_frames},
        {"hidden frame numbers", test_hidden_frame_numbers},
        {"unmapped page", test_unmapped_page},
        {"proc-mem", test_proc_mem},
        {"a number that is used again", test_number_used_again},
};

UNIT_MAIN_WITH_PIDFD("copy", tests)
