/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole pass on this process's own memory. */
#include "base/clock.h"
#include "own_memory.h"
#include "scanner/scan.h"
#include "scanner/sigbus.h"
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The clock of the pass: the real one, which leaps ahead when a worker asks for the second time. */
static const uint64_t leap_usec = 10 * USEC_PER_SEC;
static atomic_uint calls_to_leap;
static atomic_uint_fast64_t leapt_usec;

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): those of the C library are reserved */
int clock_gettime(clockid_t clock, struct timespec *now)
{
        if (getpid() != gettid() && atomic_load(&calls_to_leap) > 0 &&
            atomic_fetch_sub(&calls_to_leap, 1) == 1)
                atomic_store(&leapt_usec, leap_usec);
        if (syscall(SYS_clock_gettime, clock, now) < 0)
                return -1;
        now->tv_sec += (time_t)(atomic_load(&leapt_usec) / USEC_PER_SEC);
        return 0;
}

#define N_PAGES 3000 /* not a multiple of a range */

struct pass {
        struct pool *pool;
        struct fingerprint_key key;
        struct guest_ram *ram;
        struct scan *scan;
        int kpageflags_fd;
};

static struct pass begin(const struct own_memory *memory, unsigned int n_threads)
{
        struct pass pass = {.kpageflags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC)};

        CU_ASSERT_EQUAL_FATAL(sigbus_install(), 0);
        CU_ASSERT_EQUAL_FATAL(pool_new(n_threads, &pass.pool), 0);
        CU_ASSERT_EQUAL_FATAL(fingerprint_key_init(&pass.key), 0);
        pass.ram = own_memory_as_guest(memory);
        return pass;
}

/* The key and the guest must lie where they stay. */
static void start(struct pass *pass)
{
        CU_ASSERT_EQUAL_FATAL(
                scan_new(pass->pool, &pass->key, &pass->ram, 1, pass->kpageflags_fd, &pass->scan), 0);
        scan_prepare(pass->scan, 0);
}

static void end(struct pass *pass)
{
        scan_free(pass->scan);
        guest_ram_free(pass->ram);
        pool_free(pass->pool);
        close_fd(&pass->kpageflags_fd);
}

static const size_t first_guest[] = {0};

static void fill(const struct own_memory *memory)
{
        (void)madvise(memory->pages, memory->n_pages * PAGE_BYTES, MADV_NOHUGEPAGE);
        for (size_t i = 0; i < memory->n_pages; i++)
                if (i % 3 != 0)
                        own_memory_fill(memory, i, i % 5 == 0 ? 0 : (int)(i % 7) + 1);
}

static void check_words(const struct own_memory *memory, const struct pass *pass)
{
        const uint64_t *words = pass->ram->pages.blocks[0].fingerprints;
        size_t n_wrong = 0;

        for (size_t i = 0; i < memory->n_pages; i++) {
                uint64_t expected = PAGE_ABSENT;

                if (i % 3 != 0)
                        fingerprint_pages(&pass->key, memory->pages + i * PAGE_BYTES, 1, &expected);
                n_wrong += words[i] != expected;
        }
        CU_ASSERT_EQUAL(n_wrong, 0);
}

static void read_everything(struct own_memory memory, unsigned int n_threads)
{
        struct pass pass = begin(&memory, n_threads);
        uint64_t total = 0;

        fill(&memory);
        start(&pass);
        scan_window(pass.scan, first_guest, 1, USEC_INFINITY, NULL);
        CU_ASSERT_FALSE(scan_guest_is_complete(pass.scan, 0));
        CU_ASSERT(scan_accept(pass.scan, 0, 0, USEC_INFINITY) > 0);
        CU_ASSERT_TRUE(scan_guest_is_complete(pass.scan, 0));
        CU_ASSERT_EQUAL(atomic_load(&pass.ram->error), 0);
        CU_ASSERT_EQUAL(scan_progress(pass.scan, &total), memory.n_pages * PAGE_BYTES);
        CU_ASSERT_EQUAL(total, memory.n_pages * PAGE_BYTES);
        scan_unmap(pass.scan, 0);
        check_words(&memory, &pass);
        end(&pass);
}

static void test_private(void)
{
        for (unsigned int n_threads = 1; n_threads <= 3; n_threads++) {
                struct own_memory memory = own_memory_map(N_PAGES, MAP_PRIVATE, 0);

                read_everything(memory, n_threads);
                own_memory_unmap(&memory);
        }
}

static void test_shared_file(void)
{
        struct own_memory memory = own_memory_map(N_PAGES, MAP_SHARED, 1);
        const blkcnt_t expected = (N_PAGES - N_PAGES / 3) * (blkcnt_t)(PAGE_BYTES / 512);

        read_everything(memory, 2);
        CU_ASSERT_EQUAL(own_memory_blocks(&memory), expected); /* holes are still holes */
        own_memory_unmap(&memory);
}

static void test_private_file(void)
{
        struct own_memory memory = own_memory_map(N_PAGES, MAP_PRIVATE, 1);

        read_everything(memory, 2);
        own_memory_unmap(&memory);
}

/* Only what was read inside the span counts; the rest is read again, and pages that went away meanwhile are
 * gone. */
static void test_readings_outside_the_span_do_not_count(void)
{
        struct own_memory memory = own_memory_map(N_PAGES, MAP_PRIVATE, 0);
        struct pass pass = begin(&memory, 2);

        fill(&memory);
        start(&pass);
        scan_window(pass.scan, first_guest, 1, USEC_INFINITY, NULL);
        CU_ASSERT_EQUAL(scan_accept(pass.scan, 0, clock_now_usec(), USEC_INFINITY), 0);
        CU_ASSERT_FALSE(scan_guest_is_complete(pass.scan, 0));
        CU_ASSERT_EQUAL(madvise(memory.pages, N_PAGES * PAGE_BYTES, MADV_DONTNEED), 0);
        fill(&memory);
        own_memory_fill(&memory, 1, 99);
        scan_window(pass.scan, first_guest, 1, USEC_INFINITY, NULL);
        CU_ASSERT(scan_accept(pass.scan, 0, 0, clock_now_usec()) > 0);
        CU_ASSERT_TRUE(scan_guest_is_complete(pass.scan, 0));
        check_words(&memory, &pass);
        end(&pass);
        own_memory_unmap(&memory);
}

static void test_nothing_is_begun_after_the_deadline(void)
{
        struct own_memory memory = own_memory_map(N_PAGES, MAP_PRIVATE, 0);
        struct pass pass = begin(&memory, 2);

        fill(&memory);
        start(&pass);
        scan_window(pass.scan, first_guest, 1, clock_now_usec(), NULL);
        CU_ASSERT_EQUAL(scan_accept(pass.scan, 0, 0, USEC_INFINITY), 0);
        CU_ASSERT_FALSE(scan_guest_is_complete(pass.scan, 0));
        end(&pass);
        own_memory_unmap(&memory);
}

/* The host stalls in the middle of a range, for longer than a pause: the next pause is used all the same. */
static void test_a_stall_does_not_spoil_later_windows(void)
{
        struct own_memory memory = own_memory_map(N_PAGES, MAP_PRIVATE, 0);
        struct pass pass = begin(&memory, 1);
        uint64_t until = 0;

        fill(&memory);
        start(&pass);
        atomic_store(&calls_to_leap, 2); /* the end of the first range */
        until = clock_now_usec() + leap_usec / 2;
        scan_window(pass.scan, first_guest, 1, until, NULL);
        CU_ASSERT_EQUAL(atomic_load(&calls_to_leap), 0);
        CU_ASSERT_EQUAL(scan_accept(pass.scan, 0, 0, until), 0);
        scan_window(pass.scan, first_guest, 1, clock_now_usec() + leap_usec / 2, NULL);
        CU_ASSERT(scan_accept(pass.scan, 0, 0, USEC_INFINITY) > 0);
        CU_ASSERT_TRUE(scan_guest_is_complete(pass.scan, 0));
        atomic_store(&leapt_usec, 0);
        end(&pass);
        own_memory_unmap(&memory);
}

static void count_call(void *context, size_t guest)
{
        CU_ASSERT_EQUAL(guest, 0);
        (*(unsigned int *)context)++;
}

static void test_observer_hears_of_each_guest_once(void)
{
        struct own_memory memory = own_memory_map(N_PAGES, MAP_PRIVATE, 0);
        struct pass pass = begin(&memory, 2);
        unsigned int n_calls = 0;
        const struct scan_observer observer = {.guest_done = count_call, .context = &n_calls};

        fill(&memory);
        start(&pass);
        scan_window(pass.scan, first_guest, 1, USEC_INFINITY, &observer);
        CU_ASSERT_EQUAL(n_calls, 1);
        end(&pass);
        own_memory_unmap(&memory);
}

/* Pages beyond the end of a RAM file are not absent: the guest is lost, the process lives. */
static void test_truncated_file(void)
{
        struct own_memory memory = own_memory_map(N_PAGES, MAP_SHARED, 1);
        struct pass pass = begin(&memory, 2);

        fill(&memory);
        start(&pass);
        CU_ASSERT_EQUAL(ftruncate(memory.fd, (off_t)(N_PAGES / 2 * PAGE_BYTES)), 0);
        scan_window(pass.scan, first_guest, 1, USEC_INFINITY, NULL);
        (void)scan_accept(pass.scan, 0, 0, USEC_INFINITY);
        CU_ASSERT_EQUAL(atomic_load(&pass.ram->error), -ENODATA);
        CU_ASSERT_NOT_EQUAL(pass.ram->failure.text[0], '\0');
        CU_ASSERT_TRUE(scan_guest_is_complete(pass.scan, 0));
        end(&pass);
        own_memory_unmap(&memory);
}

/* A process with the same memory as this one, to be killed. */
static pid_t fork_guest(void)
{
        pid_t pid = fork();

        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        (void)pause();
        }
        CU_ASSERT_FATAL(pid > 0);
        return pid;
}

static void test_a_guest_that_ends_before_its_frames_are_read(void)
{
        struct own_memory memory = own_memory_map(N_PAGES, MAP_PRIVATE, 0);
        struct pass pass = {0};
        pid_t pid = 0;

        fill(&memory);
        pid = fork_guest();
        pass = begin(&memory, 2);
        guest_ram_free(pass.ram);
        pass.ram = own_memory_of_process(&memory, pid);
        if (pass.kpageflags_fd < 0)
                pass.kpageflags_fd =
                        open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC); /* any does: it is not reached */
        start(&pass);
        scan_window(pass.scan, first_guest, 1, USEC_INFINITY, NULL);
        CU_ASSERT(scan_accept(pass.scan, 0, 0, USEC_INFINITY) > 0);
        CU_ASSERT_EQUAL(atomic_load(&pass.ram->error), 0);
        (void)kill(pid, SIGKILL);
        CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
        scan_read_frames(pass.scan);
        CU_ASSERT_FALSE(pass.ram->pages.frames_known);
        CU_ASSERT_EQUAL(atomic_load(&pass.ram->error), -ESRCH);
        CU_ASSERT_NOT_EQUAL(pass.ram->failure.text[0], '\0');
        end(&pass);
        own_memory_unmap(&memory);
}

static void test_empty_guest(void)
{
        struct own_memory memory = own_memory_map(N_PAGES, MAP_PRIVATE, 0);
        struct pass pass = begin(&memory, 2);

        start(&pass);
        scan_window(pass.scan, first_guest, 1, USEC_INFINITY, NULL);
        (void)scan_accept(pass.scan, 0, 0, USEC_INFINITY);
        CU_ASSERT_TRUE(scan_guest_is_complete(pass.scan, 0));
        end(&pass);
        own_memory_unmap(&memory);
}

/* A reader of pages that nobody has: of four pages one has data, two are known without reading, one is absent. */
static atomic_uint n_finds;
static atomic_uint n_reads;

static int find_made_up(const struct page_span *span, struct page_run *ret_runs, size_t *ret_n_runs)
{
        static const enum page_state states[] = {PAGE_STATE_DATA, PAGE_STATE_SWAPPED, PAGE_STATE_ZERO_MAPPED};
        size_t n = 0;

        atomic_fetch_add(&n_finds, 1);
        for (uint64_t page = span->first; page < span->first + span->n; page++)
                if (page % 4 < 3)
                        ret_runs[n++] = (struct page_run){page, 1, states[page % 4], false};
        *ret_n_runs = n;
        return 0;
}

/* All of them have one content. */
static int read_made_up(const struct page_span *span, const struct page_run *runs, size_t n_runs,
                        struct page_buffer *buffer)
{
        atomic_fetch_add(&n_reads, 1);
        page_buffer_clear(buffer);
        memset(page_buffer_next(buffer), 0x5a, PAGE_BYTES);
        buffer->n_slots = 1;
        for (size_t i = 0; i < n_runs; i++)
                if (runs[i].state == PAGE_STATE_DATA)
                        buffer->slots[runs[i].page - span->first] = 0;
        return 0;
}

static int frames_made_up(const struct page_span *span, uint64_t *ret_frames)
{
        for (size_t i = 0; i < span->n; i++)
                ret_frames[i] = span->first + i + 1;
        return 0;
}

/* The pass knows of memory what its reader says, and asks it once a range. */
static void test_any_reader(void)
{
        struct own_memory memory = own_memory_map(N_PAGES, MAP_PRIVATE, 0);
        struct pass pass = begin(&memory, 2);
        const struct pages_block *block = &pass.ram->pages.blocks[0];
        unsigned char content[PAGE_BYTES];
        uint64_t expected[] = {0, PAGE_SWAPPED, PAGE_ZERO, PAGE_ABSENT};
        size_t n_ranges = 0;
        size_t n_wrong = 0;

        pass.ram->mappings[0][0].reader = (struct page_reader){.kind = PAGE_READER_PREAD,
                                                               .find = find_made_up,
                                                               .read = read_made_up,
                                                               .frames = frames_made_up};
        memset(content, 0x5a, sizeof(content));
        fingerprint_pages(&pass.key, content, 1, expected);
        start(&pass);
        atomic_store(&n_finds, 0);
        scan_window(pass.scan, first_guest, 1, USEC_INFINITY, NULL);
        n_ranges = scan_accept(pass.scan, 0, 0, USEC_INFINITY);
        CU_ASSERT_EQUAL(atomic_load(&n_finds), n_ranges);
        /* The last range may have so few pages that none of them has data: that depends on the address. */
        CU_ASSERT(atomic_load(&n_reads) <= n_ranges && atomic_load(&n_reads) + 1 >= n_ranges);
        CU_ASSERT(n_ranges <= N_PAGES / PAGE_SPAN_MAX + 2);
        if (pass.kpageflags_fd >= 0)
                scan_read_frames(pass.scan);
        for (size_t i = 0; i < N_PAGES; i++) {
                n_wrong += block->fingerprints[i] != expected[i % 4];
                n_wrong += pass.kpageflags_fd >= 0 &&
                           block->frames[i] != (page_is_present(expected[i % 4]) ? i + 1 : FRAME_OWN);
        }
        CU_ASSERT_EQUAL(n_wrong, 0);
        end(&pass);
        own_memory_unmap(&memory);
}

static const struct unit_test tests[] = {
        {"private", test_private},
        {"shared file", test_shared_file},
        {"private file", test_private_file},
        {"any reader", test_any_reader},
        {"readings outside the span do not count", test_readings_outside_the_span_do_not_count},
        {"nothing is begun after the deadline", test_nothing_is_begun_after_the_deadline},
        {"a stall does not spoil later windows", test_a_stall_does_not_spoil_later_windows},
        {"observer hears of each guest once", test_observer_hears_of_each_guest_once},
        {"truncated file", test_truncated_file},
        {"a guest that ends before its frames are read", test_a_guest_that_ends_before_its_frames_are_read},
        {"empty guest", test_empty_guest},
};

UNIT_MAIN("scan", tests)
