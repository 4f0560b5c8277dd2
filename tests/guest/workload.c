// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Workload of the test guests: holds known amounts of memory and says READY on the console.
 *
 * Arguments, each KEY=NUMBER:
 *   equal=MIB    pages whose content depends on their index alone: equal between guests
 *   copies=N     holds the equal pages N times (default 1): self-sharing
 *   same=MIB     pages that all hold one single content, equal between guests
 *   unique=MIB   pages whose content depends on index and seed: equal in no other guest with another seed
 *   zero=MIB     pages written with zeros: present on the host and zero
 *   seed=N       seed of the unique pages
 *   churn=N      after READY, rewrites N unique pages per second with new content
 *   beat=MIB     pages that all hold one content, which is another one ten times a second: equal, and never for long
 *   stir=1       after READY, goes through the zero pages again and again: checks that each still holds what was written
 *                last, then writes to it, zeros or not; says SWEEP N after each time, and CORRUPT when it does not. The
 *                unique pages are checked each time too
 *
 * A page's content is one stream of a 64-bit generator, so no two pages with different (kind, seed, index)
 * are equal in practice. Everything is locked: the guest's kernel neither swaps nor moves it away while the
 * guest idles.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES    4096u
#define WORDS         (PAGE_BYTES / sizeof(uint64_t))
#define PAGES_PER_MIB 256u
#define TICKS_PER_SEC 50u
#define BEATS_PER_SEC 10u

enum kind {
        KIND_EQUAL = 1,
        KIND_SAME,
        KIND_UNIQUE,
};

struct options {
        uint64_t equal_mib;
        uint64_t copies;
        uint64_t same_mib;
        uint64_t unique_mib;
        uint64_t zero_mib;
        uint64_t seed;
        uint64_t churn_per_sec;
        uint64_t beat_mib;
        uint64_t stir;
};

static uint64_t mix(uint64_t x)
{
        x ^= x >> 31;
        x *= UINT64_C(0x9e3779b97f4a7c15);
        x ^= x >> 29;
        x *= UINT64_C(0xd6e8feb86659fd93);
        x ^= x >> 32;
        return x;
}

static void fill_page(uint64_t *page, enum kind kind, uint64_t seed, uint64_t index)
{
        uint64_t state = mix(mix(mix(kind) + seed) + index);

        for (size_t i = 0; i < WORDS; i++) {
                state += UINT64_C(0xa0761d6478bd642f);
                page[i] = mix(state);
        }
}

static uint64_t *hold(uint64_t mib)
{
        void *p;

        if (mib == 0)
                return NULL;
        p = mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mlock(p, mib << 20) < 0) {
                printf("FAILED: the guest cannot hold %llu MiB\n", (unsigned long long)mib);
                fflush(stdout);
                pause();
        }
        return p;
}

static void fill(uint64_t mib, enum kind kind, uint64_t seed)
{
        uint64_t *p = hold(mib);

        for (uint64_t i = 0; i < mib * PAGES_PER_MIB; i++)
                fill_page(p + i * WORDS, kind, seed, kind == KIND_SAME ? 0 : i);
}

static void churn(uint64_t *pages, uint64_t n_pages, uint64_t per_sec)
{
        const struct timespec tick = {.tv_nsec = 1000000000 / TICKS_PER_SEC};
        uint64_t generation = 0;

        for (;;) {
                for (uint64_t n = 0; n < (per_sec + TICKS_PER_SEC - 1) / TICKS_PER_SEC; n++, generation++) {
                        uint64_t i = mix(generation) % n_pages;

                        fill_page(pages + i * WORDS, KIND_UNIQUE, mix(generation), i);
                }
                nanosleep(&tick, NULL);
        }
}

static void beat(uint64_t *pages, uint64_t n_pages)
{
        const struct timespec pause = {.tv_nsec = 1000000000 / BEATS_PER_SEC};
        uint64_t page[WORDS];

        for (uint64_t generation = 0;; generation++) {
                fill_page(page, KIND_UNIQUE, mix(generation), 0);
                for (uint64_t i = 0; i < n_pages; i++)
                        memcpy(pages + i * WORDS, page, sizeof(page));
                nanosleep(&pause, NULL);
        }
}

static void check_page(const uint64_t *page, enum kind kind, uint64_t seed, uint64_t index)
{
        static uint64_t expected[WORDS];

        memset(expected, 0, sizeof(expected));
        if (seed != 0)
                fill_page(expected, kind, seed, index);
        if (memcmp(page, expected, PAGE_BYTES) == 0)
                return;
        printf("CORRUPT: page %llu of kind %d\n", (unsigned long long)index, (int)kind);
        fflush(stdout);
}

/* A page's seed is what it holds: 0 stands for zeros. */
static void stir(uint64_t *pages, uint64_t n_pages, const uint64_t *unique, uint64_t n_unique,
                 uint64_t unique_seed)
{
        static uint64_t seeds[1u << 20];

        for (uint64_t sweep = 1;; sweep++) {
                for (uint64_t i = 0; i < n_pages; i++) {
                        uint64_t next = mix(sweep * n_pages + i);

                        check_page(pages + i * WORDS, KIND_SAME, seeds[i], i);
                        seeds[i] = next & 1 ? next : 0;
                        if (seeds[i] != 0)
                                fill_page(pages + i * WORDS, KIND_SAME, seeds[i], i);
                        else
                                memset(pages + i * WORDS, 0, PAGE_BYTES);
                }
                for (uint64_t i = 0; i < n_unique; i++)
                        check_page(unique + i * WORDS, KIND_UNIQUE, unique_seed, i);
                printf("SWEEP %llu\n", (unsigned long long)sweep);
                fflush(stdout);
        }
}

static int parse(struct options *o, const char *arg)
{
        struct {
                const char *key;
                uint64_t *value;
        } table[] = {
                {"equal=", &o->equal_mib},     {"copies=", &o->copies}, {"same=", &o->same_mib},
                {"unique=", &o->unique_mib},   {"zero=", &o->zero_mib}, {"seed=", &o->seed},
                {"churn=", &o->churn_per_sec}, {"beat=", &o->beat_mib}, {"stir=", &o->stir},
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                if (strncmp(arg, table[i].key, strlen(table[i].key)) == 0) {
                        *table[i].value = strtoull(arg + strlen(table[i].key), NULL, 0);
                        return 0;
                }
        return -1;
}

int main(int argc, char **argv)
{
        struct options o = {.copies = 1};
        uint64_t *unique, n_unique, *zero, *beating;

        for (int i = 1; i < argc; i++)
                if (parse(&o, argv[i]) < 0)
                        printf("FAILED: unknown argument %s\n", argv[i]);

        for (uint64_t i = 0; i < o.copies; i++)
                fill(o.equal_mib, KIND_EQUAL, 0);
        fill(o.same_mib, KIND_SAME, 0);

        n_unique = o.unique_mib * PAGES_PER_MIB;
        unique = hold(o.unique_mib);
        for (uint64_t i = 0; i < n_unique; i++)
                fill_page(unique + i * WORDS, KIND_UNIQUE, o.seed, i);

        /* Dirty first: the guest's kernel may hand out pages that it has never written, which would stay
         * absent on the host. */
        zero = hold(o.zero_mib);
        if (zero) {
                memset(zero, 0xff, o.zero_mib << 20);
                __asm__ volatile("" ::: "memory");
                memset(zero, 0, o.zero_mib << 20);
        }

        beating = hold(o.beat_mib);

        printf("READY\n");
        fflush(stdout);

        if (o.beat_mib > 0)
                beat(beating, o.beat_mib * PAGES_PER_MIB);
        if (o.stir && zero)
                stir(zero, o.zero_mib * PAGES_PER_MIB, unique, n_unique, o.seed);
        if (o.churn_per_sec > 0 && n_unique > 0)
                churn(unique, n_unique, o.churn_per_sec);
        for (;;)
                pause();
}
