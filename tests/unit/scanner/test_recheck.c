/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The second look, on this process's own memory. */
#include "base/clock.h"
#include "own_memory.h"
#include "scanner/recheck.h"
#include "scanner/scan.h"
#include "unit.h"

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
        static const size_t first_guest[] = {0};
        struct scan *scan = NULL;

        *looks = (struct looks){.kpageflags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC)};
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
        CU_ASSERT_EQUAL_FATAL(recheck_reserve(&looks->ram, 1), 0);
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
        return looks->ram->blocks[0].marks;
}

static void look_again(struct looks *looks)
{
        CU_ASSERT_EQUAL(recheck_run(looks->pool, &looks->key, &looks->ram, 1, looks->kpageflags_fd), 0);
}

static void test_changed_and_kept(void)
{
        struct looks looks;
        unsigned char is_there = 1;
        size_t n_wrong = 0;

        looks_init(&looks);
        if (looks.kpageflags_fd < 0)
                return; /* frames cannot be seen: nobody looks twice */
        for (size_t i = 0; i < N_PAGES; i++)
                marks_of(&looks)[i] = i % 4 < 3 ? RECHECK_WANTED : 0;
        CU_ASSERT_EQUAL(recheck_count(&looks.ram, 1), N_PAGES * 3 / 4);
        for (size_t i = 0; i < N_PAGES; i++) {
                if (i % 4 == 1 || i % 4 == 3)
                        looks.memory.pages[i * PAGE_BYTES + 4095] ^= 1;
                if (i % 4 == 2 && i % 8 == 2)
                        (void)madvise(looks.memory.pages + i * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED);
        }
        look_again(&looks);
        for (size_t i = 0; i < N_PAGES; i++) {
                const uint8_t wanted[] = {
                        RECHECK_WANTED | RECHECK_KEPT,
                        RECHECK_WANTED | RECHECK_CHANGED,
                        RECHECK_WANTED | (i % 8 == 2 ? RECHECK_CHANGED : RECHECK_KEPT),
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
        if (looks.kpageflags_fd < 0)
                return;
        marks_of(&looks)[7] = RECHECK_WANTED;
        close_fd(&looks.ram->mem_fd);
        look_again(&looks);
        CU_ASSERT_EQUAL(marks_of(&looks)[7], RECHECK_WANTED);
        close_fd(&looks.ram->pagemap_fd);
        look_again(&looks);
        CU_ASSERT_EQUAL(marks_of(&looks)[7], RECHECK_WANTED);
        CU_ASSERT_EQUAL(atomic_load(&looks.ram->error), 0);
        looks_deinit(&looks);
}

static const struct unit_test tests[] = {
        {"changed and kept", test_changed_and_kept},
        {"cannot be read", test_cannot_be_read},
};

UNIT_MAIN("recheck", tests)
