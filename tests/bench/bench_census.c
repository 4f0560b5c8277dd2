/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long the census takes on made-up fingerprints.
 *
 *      bench_census THREADS GUESTS PAGES...
 *
 * For each number of pages (over all guests together) prints one JSON line: nanoseconds per page and core of the best
 * of three, the CPU time per page of the same, which a busy machine changes less, the time that the kernel takes to give
 * as much fresh memory as the census fills, which is a part of both, and the bytes that the census itself took at most. Of
 * eight pages one is equal to another one of the same
 * guest, one to another one of the next guest, and one is zero.
 */
#include "base/clock.h"
#include "base/pool.h"
#include "merge/census.h"
#include "pages/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define ROUNDS 3

/* splitmix64: the fingerprints of different contents, spread as a hash would. */
static uint64_t mix(uint64_t x)
{
        x += UINT64_C(0x9e3779b97f4a7c15);
        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        x ^= x >> 31;
        return x < PAGE_FIRST_HASH ? ~x : x;
}

static uint64_t content_of(uint64_t guest, uint64_t n_guests, uint64_t page)
{
        switch (page % 8) {
        case 0:
                return PAGE_ZERO;
        case 1:
                return mix(guest << 40 | (page + 1)); /* equal to the next page */
        case 2:
                return mix(guest << 40 | page);
        case 3:
                return mix((guest + 1) % n_guests << 40 | (page + 1)); /* equal to a page of the next guest */
        default:
                return mix(guest << 40 | page);
        }
}

static struct pages *make_guest(uint64_t guest, uint64_t n_guests, uint64_t n_pages)
{
        struct pages *pages = calloc(1, sizeof(*pages));
        struct pages_block *block = calloc(1, sizeof(*block));

        if (!pages || !block)
                exit(EXIT_FAILURE);
        block->n_pages = n_pages;
        block->fingerprints = mmap(NULL, n_pages * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block->fingerprints == MAP_FAILED)
                exit(EXIT_FAILURE);
        for (uint64_t page = 0; page < n_pages; page++)
                block->fingerprints[page] = content_of(guest, n_guests, page);
        pages->blocks = block;
        pages->n_blocks = 1;
        return pages;
}

static void free_guest(struct pages *pages)
{
        (void)munmap(pages->blocks->fingerprints, pages->blocks->n_pages * sizeof(uint64_t));
        free(pages->blocks);
        free(pages);
}

static long peak_kib(void)
{
        struct rusage usage = {0};

        (void)getrusage(RUSAGE_SELF, &usage);
        return usage.ru_maxrss;
}

static double cpu_nsec(void)
{
        struct timespec now = {0};

        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* What a page takes while pages are grouped: merge/duplicates.h. */
#define FRESH_BYTES_PER_PAGE 12
#define HUGE_PAGE_BYTES      ((size_t)2 << 20)

static bool touch_huge_page(void *context, unsigned int worker, size_t item)
{
        (void)worker;
        ((volatile unsigned char *)context)[item * HUGE_PAGE_BYTES] = 1;
        return true;
}

/* Nanoseconds per page and core for the fresh memory of a census of so many pages. */
static double fresh_memory_nsec(struct pool *pool, uint64_t n_pages)
{
        const size_t n_huge = n_pages * FRESH_BYTES_PER_PAGE / HUGE_PAGE_BYTES + 1;
        unsigned char *memory = mmap(NULL, n_huge * HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        const uint64_t begun = clock_now_usec();

        if (memory == MAP_FAILED)
                exit(EXIT_FAILURE);
        (void)madvise(memory, n_huge * HUGE_PAGE_BYTES, MADV_HUGEPAGE);
        pool_run(pool, n_huge, touch_huge_page, memory);
        (void)munmap(memory, n_huge * HUGE_PAGE_BYTES);
        return (double)(clock_now_usec() - begun) * 1000 * pool_n_threads(pool) / (double)n_pages;
}

static void bench(struct pool *pool, uint64_t n_guests, uint64_t n_pages)
{
        struct pages **pages = calloc(n_guests, sizeof(struct pages *));
        double best = 0;
        double best_cpu = 0;
        double fresh = 0;
        long before = 0;
        long peak = 0;

        if (!pages)
                exit(EXIT_FAILURE);
        for (uint64_t guest = 0; guest < n_guests; guest++)
                pages[guest] = make_guest(guest, n_guests, n_pages / n_guests);
        before = peak_kib();
        for (int round = 0; round < ROUNDS; round++) {
                struct census *census = NULL;
                const double cpu_begun = cpu_nsec();
                const uint64_t begun = clock_now_usec();
                double nsec = 0;
                double cpu = 0;

                if (census_new(pool, pages, n_guests, &census) < 0)
                        exit(EXIT_FAILURE);
                nsec = (double)(clock_now_usec() - begun) * 1000 * pool_n_threads(pool) / (double)n_pages;
                cpu = (cpu_nsec() - cpu_begun) / (double)n_pages;
                best = round == 0 || nsec < best ? nsec : best;
                best_cpu = round == 0 || cpu < best_cpu ? cpu : best_cpu;
                census_free(census);
                peak = round == 0 ? peak_kib() : peak;
                nsec = fresh_memory_nsec(pool, n_pages);
                fresh = round == 0 || nsec < fresh ? nsec : fresh;
        }
        (void)printf("{\"pages\": %lu, \"guests\": %lu, \"threads\": %u, \"nsec_per_page_and_core\": %.2f, "
                     "\"cpu_nsec_per_page\": %.2f, \"fresh_memory_nsec_per_page_and_core\": %.2f, "
                     "\"peak_bytes\": %ld}\n",
                     n_pages, n_guests, pool_n_threads(pool), best, best_cpu, fresh, (peak - before) * 1024);
        (void)fflush(stdout);
        for (uint64_t guest = 0; guest < n_guests; guest++)
                free_guest(pages[guest]);
        free(pages);
}

int main(int argc, char **argv)
{
        const unsigned long threads = argc > 3 ? strtoul(argv[1], NULL, 10) : 0;
        const unsigned long n_guests = argc > 3 ? strtoul(argv[2], NULL, 10) : 0;
        struct pool *pool = NULL;

        if (threads < 1 || threads > POOL_MAX_THREADS || n_guests < 1) {
                (void)fputs("Usage: bench_census THREADS GUESTS PAGES...\n", stderr);
                return 2;
        }
        if (pool_new((unsigned int)threads, &pool) < 0)
                return EXIT_FAILURE;
        for (int i = 3; i < argc; i++)
                bench(pool, n_guests, strtoull(argv[i], NULL, 10));
        pool_free(pool);
        return EXIT_SUCCESS;
}
