/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Giving back pages of a RAM file of this process: what is found, what is punched, and when it stops. */
#include "base/clock.h"
#include "daemon/reclaim/reclaim.h"
#include "scanner/own_memory.h"
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>

#define N_PAGES 2000

static struct own_memory memory;
static struct guest_ram *ram;
static struct reclaim_file file;
static struct failure failure;

/* Pages of which every third is zero, every third is not, and every third is a hole. */
static void fill(void)
{
        for (size_t i = 0; i < N_PAGES; i++)
                if (i % 3 != 2)
                        own_memory_fill(&memory, i, i % 3 == 0 ? 0 : 0x5a);
}

static void expect_content(void)
{
        for (size_t i = 0; i < N_PAGES; i++) {
                const unsigned char *page = memory.pages + i * PAGE_BYTES;

                CU_ASSERT_EQUAL(page[0], i % 3 == 1 ? 0x5a : 0);
                CU_ASSERT_EQUAL(memcmp(page, page + 1, PAGE_BYTES - 1), 0);
        }
}

static void open_file_of(const struct guest_ram *of, bool to_change)
{
        CLEANUP_CLOSE int proc_fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        CU_ASSERT_EQUAL_FATAL(reclaim_open(proc_fd, &of->mappings[0][0], &file, &failure), 0);
        CU_ASSERT_FALSE(file.is_writable);
        CU_ASSERT_EQUAL(fcntl(file.view.file_fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        if (to_change)
                CU_ASSERT_EQUAL_FATAL(reclaim_open_to_change(&file, &failure), 0);
}

static void open_own(int flags, bool to_change)
{
        memory = own_memory_map(N_PAGES, flags, 1);
        fill();
        ram = own_memory_as_guest(&memory);
        open_file_of(ram, to_change);
}

static void close_own(void)
{
        reclaim_close(&file);
        guest_ram_free(ram);
        own_memory_unmap(&memory);
}

static uint64_t file_pages(void)
{
        uint64_t bytes = 0;

        CU_ASSERT_EQUAL(reclaim_file_bytes(&file, &bytes), 0);
        CU_ASSERT_EQUAL(bytes, (uint64_t)own_memory_blocks(&memory) * 512);
        return bytes / PAGE_BYTES;
}

/* A permit that ends after so many questions. */
static bool holds_n_times(void *context)
{
        unsigned int *left = context;

        return *left > 0 && (*left)-- > 0;
}

static bool always_holds(void *context)
{
        (void)context;
        return true;
}

static const struct reclaim_permit no_limit = {.holds = always_holds, .fresh_usec = USEC_INFINITY};

#define N_ZERO ((N_PAGES + 2) / 3)
#define N_DATA ((N_PAGES + 1) / 3)

static void test_find(void)
{
        open_own(MAP_SHARED, false);
        CU_ASSERT_EQUAL(file.kind, RECLAIM_KIND_ZERO);
        CU_ASSERT_EQUAL(file_pages(), N_ZERO + N_DATA);
        CU_ASSERT_EQUAL(reclaim_find(&file, NULL, NULL, &failure), 0);
        CU_ASSERT_EQUAL(file.zero_pages, N_ZERO);
        CU_ASSERT_EQUAL(file.kept_pages, N_DATA);
        CU_ASSERT_EQUAL(file_pages(), N_ZERO + N_DATA); /* holes stay holes, zero pages stay */
        close_own();
}

static void test_punch(void)
{
        open_own(MAP_SHARED, true);
        CU_ASSERT_EQUAL(reclaim_find(&file, NULL, NULL, &failure), 0);
        CU_ASSERT_EQUAL(reclaim_punch(&file, &no_limit, &failure), 0);
        CU_ASSERT_EQUAL(file.punched_pages, N_ZERO);
        CU_ASSERT_EQUAL(file.given_bytes, N_ZERO * PAGE_BYTES);
        CU_ASSERT_EQUAL(file_pages(), N_DATA);
        CU_ASSERT_EQUAL(reclaim_punch(&file, &no_limit, &failure), 0);
        CU_ASSERT_EQUAL(file.punched_pages, N_ZERO);
        expect_content();
        /* Each page can be written to again. */
        for (size_t i = 0; i < N_PAGES; i++)
                own_memory_fill(&memory, i, 1);
        CU_ASSERT_EQUAL(file_pages(), N_PAGES);
        close_own();
}

/* A page that is written to after it was found is left alone. */
static void test_looked_at_again(void)
{
        open_own(MAP_SHARED, true);
        CU_ASSERT_EQUAL(reclaim_find(&file, NULL, NULL, &failure), 0);
        for (size_t i = 0; i < N_PAGES; i += 3)
                if (i % 2)
                        memory.pages[i * PAGE_BYTES + PAGE_BYTES - 1] = 1;
        CU_ASSERT_EQUAL(reclaim_punch(&file, &no_limit, &failure), 0);
        CU_ASSERT_EQUAL(file.punched_pages, N_ZERO / 2 + N_ZERO % 2);
        for (size_t i = 0; i < N_PAGES; i += 3)
                CU_ASSERT_EQUAL(memory.pages[i * PAGE_BYTES + PAGE_BYTES - 1], i % 2);
        close_own();
}

/* Somebody else made holes of pages that were found: what is not in memory is not looked at, and gave nothing back. */
static void test_gone_meanwhile(void)
{
        const uint64_t n_gone = 100;

        for (int is_asked = 0; is_asked < 2; is_asked++) {
                open_own(MAP_SHARED, true);
                CU_ASSERT_EQUAL(reclaim_find(&file, NULL, NULL, &failure), 0);
                for (uint64_t i = 0; i < n_gone; i++)
                        CU_ASSERT_EQUAL(fallocate(memory.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                                  (off_t)(3 * i * PAGE_BYTES), PAGE_BYTES),
                                        0);
                if (is_asked) {
                        CU_ASSERT_EQUAL(reclaim_look_for_resident(&file, &failure), 0);
                        CU_ASSERT_EQUAL(file.zero_pages, N_ZERO - n_gone);
                        CU_ASSERT_EQUAL(file.kept_pages, N_DATA);
                        CU_ASSERT_EQUAL(file.next, 3 * n_gone);
                }
                CU_ASSERT_EQUAL(reclaim_punch(&file, &no_limit, &failure), 0);
                CU_ASSERT_EQUAL(file.punched_pages, is_asked ? N_ZERO - n_gone : N_ZERO);
                CU_ASSERT_EQUAL(file.given_bytes, (N_ZERO - n_gone) * PAGE_BYTES);
                expect_content();
                /* What was given back is not counted a second time. */
                CU_ASSERT_EQUAL(reclaim_look_for_resident(&file, &failure), 0);
                CU_ASSERT_EQUAL(file.zero_pages, is_asked ? N_ZERO - n_gone : N_ZERO);
                close_own();
        }
}

/* Only what was looked for in memory is punched. */
static void test_as_far_as_was_asked(void)
{
        open_own(MAP_SHARED, true);
        CU_ASSERT_EQUAL(reclaim_find(&file, NULL, NULL, &failure), 0);
        file.resident_end = 300;
        CU_ASSERT_EQUAL(reclaim_punch(&file, &no_limit, &failure), RECLAIM_E_MORE);
        CU_ASSERT_EQUAL(file.punched_pages, 100);
        CU_ASSERT_EQUAL(reclaim_look_for_resident(&file, &failure), 0);
        CU_ASSERT_EQUAL(reclaim_punch(&file, &no_limit, &failure), 0);
        CU_ASSERT_EQUAL(file.punched_pages, N_ZERO);
        CU_ASSERT_EQUAL(file.zero_pages, N_ZERO);
        expect_content();
        close_own();
}

/* Two blocks in one file, the second one behind the first: each gives back its own pages and no other. */
static void test_two_blocks_in_one_file(void)
{
        const size_t first = 700;
        struct own_memory second;

        memory = own_memory_map(N_PAGES, MAP_SHARED, 1);
        fill();
        second = (struct own_memory){.fd = memory.fd, .n_pages = N_PAGES - first};
        second.pages = mmap(NULL, second.n_pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd,
                            (off_t)(first * PAGE_BYTES));
        CU_ASSERT_NOT_EQUAL_FATAL(second.pages, MAP_FAILED);
        ram = own_memory_as_guest(&second);
        CU_ASSERT_EQUAL(ram->mappings[0][0].file_offset, first * PAGE_BYTES);
        open_file_of(ram, true);
        CU_ASSERT_EQUAL(reclaim_find(&file, NULL, NULL, &failure), 0);
        CU_ASSERT_EQUAL(reclaim_look_for_resident(&file, &failure), 0);
        CU_ASSERT_EQUAL(file.zero_pages, N_ZERO - (first + 2) / 3);
        CU_ASSERT_EQUAL(reclaim_punch(&file, &no_limit, &failure), 0);
        CU_ASSERT_EQUAL(file.given_bytes, file.zero_pages * PAGE_BYTES);
        CU_ASSERT_EQUAL(file_pages(), N_ZERO + N_DATA - file.zero_pages);
        reclaim_close(&file);
        guest_ram_free(ram);
        memory.n_pages = first;
        ram = own_memory_as_guest(&memory);
        open_file_of(ram, true);
        CU_ASSERT_EQUAL(reclaim_find(&file, NULL, NULL, &failure), 0);
        CU_ASSERT_EQUAL(file.zero_pages, (first + 2) / 3);
        CU_ASSERT_EQUAL(reclaim_punch(&file, &no_limit, &failure), 0);
        CU_ASSERT_EQUAL(file_pages(), N_DATA);
        expect_content();
        (void)munmap(second.pages, second.n_pages * PAGE_BYTES);
        memory.n_pages = N_PAGES;
        close_own();
}

/* It stops where the permit ends, and goes on from there. */
static void test_permit(void)
{
        unsigned int left = 0;
        struct reclaim_permit permit = {
                .holds = holds_n_times, .context = &left, .fresh_usec = USEC_INFINITY};
        unsigned int rounds = 0;

        open_own(MAP_SHARED, true);
        CU_ASSERT_EQUAL(reclaim_find(&file, NULL, NULL, &failure), 0);
        CU_ASSERT_EQUAL(reclaim_punch(&file, &permit, &failure), RECLAIM_E_MORE);
        CU_ASSERT_EQUAL(file.punched_pages, 0);
        for (int r = RECLAIM_E_MORE; r == RECLAIM_E_MORE; rounds++) {
                const uint64_t punched = file.punched_pages;

                left = 101;
                r = reclaim_punch(&file, &permit, &failure);
                CU_ASSERT(r >= 0);
                /* A question for each batch and one for each punch, here of one page each. */
                CU_ASSERT(file.punched_pages - punched <= 51);
                CU_ASSERT(r == 0 || file.punched_pages - punched >= 50);
                CU_ASSERT_EQUAL(file_pages(), N_ZERO + N_DATA - file.punched_pages);
        }
        CU_ASSERT(rounds > 10 && rounds < 20);
        CU_ASSERT_EQUAL(file_pages(), N_DATA);
        expect_content();
        close_own();
}

/* Between looking at the pages and punching them the process is held up, and somebody writes. */
static bool is_held_up(void *context)
{
        static unsigned int asked;

        (void)context;
        asked++;
        if (asked == 2) {
                memset(memory.pages, 7, PAGE_BYTES);
                (void)usleep(20000);
        }
        return true;
}

static void test_stale_look(void)
{
        const struct reclaim_permit permit = {.holds = is_held_up, .fresh_usec = 5000};

        open_own(MAP_SHARED, true);
        CU_ASSERT_EQUAL(reclaim_find(&file, NULL, NULL, &failure), 0);
        CU_ASSERT_EQUAL(reclaim_punch(&file, &permit, &failure), 0);
        CU_ASSERT_EQUAL(memory.pages[0], 7);
        CU_ASSERT_EQUAL(file.punched_pages, N_ZERO - 1);
        close_own();
}

/* Behind a private mapping: the copies keep their content, and what was never copied reads as before. */
static void test_shadow(void)
{
        memory = own_memory_map(N_PAGES, MAP_PRIVATE, 1);
        /* Of a template: content of the file that must stay. */
        CU_ASSERT_EQUAL(pwrite(memory.fd, "template", 8, 9 * (off_t)PAGE_BYTES), 8);
        fill();
        CU_ASSERT_EQUAL(memory.pages[2 * PAGE_BYTES], 0); /* reading makes a page of the file, too */
        ram = own_memory_as_guest(&memory);
        open_file_of(ram, true);
        CU_ASSERT_EQUAL(file.kind, RECLAIM_KIND_SHADOW);
        CU_ASSERT(file_pages() >= N_ZERO + N_DATA);
        CU_ASSERT_EQUAL(reclaim_find(&file, NULL, NULL, &failure), 0);
        CU_ASSERT_EQUAL(file.kept_pages, 1);
        CU_ASSERT_EQUAL(reclaim_punch(&file, &no_limit, &failure), 0);
        CU_ASSERT_EQUAL(file_pages(), 1);
        CU_ASSERT_EQUAL(file.punched_pages, file.zero_pages);
        expect_content();
        close_own();
}

/* A guest that reads and writes its pages for the first time while the file behind them is punched. */
static void *be_guest(void *context)
{
        size_t *n_wrong = context;
        volatile unsigned char *pages = memory.pages;

        for (size_t n = 0; n < N_PAGES; n++) {
                const size_t at = n * 7 % N_PAGES * PAGE_BYTES + n % PAGE_BYTES;

                *n_wrong += pages[at] != 0; /* of the file, or of a hole in it */
                pages[at] = (unsigned char)(n % 255 + 1);
                *n_wrong += pages[(n + 1) * 7 % N_PAGES * PAGE_BYTES] != 0 && n + 1 < N_PAGES;
        }
        for (size_t n = 0; n < N_PAGES; n++)
                *n_wrong += pages[n * 7 % N_PAGES * PAGE_BYTES + n % PAGE_BYTES] != n % 255 + 1;
        return NULL;
}

static void test_shadow_of_a_guest_that_runs(void)
{
        uint64_t n_punched = 0;

        for (int round = 0; round < 20; round++) {
                size_t n_wrong = 0;
                pthread_t thread;

                memory = own_memory_map(N_PAGES, MAP_PRIVATE, 1);
                ram = own_memory_as_guest(&memory);
                CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, be_guest, &n_wrong), 0);
                do {
                        open_file_of(ram, true);
                        CU_ASSERT_EQUAL(reclaim_find(&file, NULL, NULL, &failure), 0);
                        CU_ASSERT_EQUAL(reclaim_punch(&file, &no_limit, &failure), 0);
                        n_punched += file.punched_pages;
                        reclaim_close(&file);
                } while (pthread_tryjoin_np(thread, NULL) != 0);
                CU_ASSERT_EQUAL(n_wrong, 0);
                guest_ram_free(ram);
                own_memory_unmap(&memory);
        }
        CU_ASSERT(n_punched > N_PAGES);
}

static void test_anonymous_has_no_file(void)
{
        memory = own_memory_map(16, MAP_PRIVATE, 0);
        own_memory_fill(&memory, 0, 0);
        ram = own_memory_as_guest(&memory);
        CU_ASSERT_EQUAL(reclaim_kind_of(&ram->mappings[0][0]), RECLAIM_KIND_NONE);
        guest_ram_free(ram);
        own_memory_unmap(&memory);
}

static const struct unit_test tests[] = {
        {"find", test_find},
        {"punch", test_punch},
        {"pages are looked at again", test_looked_at_again},
        {"pages that went meanwhile", test_gone_meanwhile},
        {"as far as was asked", test_as_far_as_was_asked},
        {"two blocks in one file", test_two_blocks_in_one_file},
        {"the permit ends", test_permit},
        {"an old look does not count", test_stale_look},
        {"shadow pages", test_shadow},
        {"shadow pages of a guest that runs", test_shadow_of_a_guest_that_runs},
        {"anonymous memory", test_anonymous_has_no_file},
};

UNIT_MAIN("reclaim/reclaim", tests)
