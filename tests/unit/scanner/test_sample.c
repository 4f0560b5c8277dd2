/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Samples of this process's own memory, which is marked for KSM. */
#include "base/cleanup.h"
#include "own_memory.h"
#include "scanner/kpageflags.h"
#include "scanner/sample.h"
#include "unit.h"

#include <errno.h>

#define N_PAGES 25600 /* 100 MiB, most of it holes */
#define N_DRAWN 400

struct looks {
        struct own_memory memory;
        struct fingerprint_key key;
        struct sample *sample;
        int kpageflags_fd;
};

/* A page in every @step of them. */
static void looks_init(struct looks *looks, size_t step)
{
        CLEANUP_CLOSE int proc_fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        *looks = (struct looks){.kpageflags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC)};
        CU_ASSERT_EQUAL_FATAL(fingerprint_key_init(&looks->key), 0);
        looks->memory = own_memory_map(N_PAGES, MAP_PRIVATE, 0);
        (void)madvise(looks->memory.pages, N_PAGES * PAGE_BYTES, MADV_NOHUGEPAGE);
        CU_ASSERT_EQUAL_FATAL(madvise(looks->memory.pages, N_PAGES * PAGE_BYTES, MADV_MERGEABLE), 0);
        for (size_t i = 0; i < N_PAGES; i += step)
                own_memory_fill(&looks->memory, i, (int)(i % 200) + 1);
        CU_ASSERT_EQUAL_FATAL(sample_new(&looks->key, looks->kpageflags_fd, &looks->sample), 0);
        CU_ASSERT_EQUAL_FATAL(sample_add(looks->sample, getpid(), proc_fd), 0);
        CU_ASSERT_EQUAL_FATAL(sample_draw(looks->sample, N_DRAWN), 0);
}

static void looks_deinit(struct looks *looks)
{
        sample_free(looks->sample);
        own_memory_unmap(&looks->memory);
        fingerprint_key_deinit(&looks->key);
        close_fd(&looks->kpageflags_fd);
}

static struct sample_figures look(const struct looks *looks)
{
        struct sample_figures figures = {0};

        sample_look(looks->sample, &figures);
        sample_read(looks->sample, &figures);
        return figures;
}

static void test_full_memory(void)
{
        struct sample_figures figures;
        struct looks looks;

        looks_init(&looks, 1);
        figures = look(&looks);
        CU_ASSERT_EQUAL(figures.present, N_DRAWN);
        CU_ASSERT_EQUAL(figures.read, N_DRAWN);
        CU_ASSERT_TRUE(figures.merged <= N_DRAWN); /* this host's KSM may be at work */
        CU_ASSERT_EQUAL(figures.changed, 0);
        looks_deinit(&looks);
}

/* A share of the pages is written: about that share is seen, six standard deviations wide. */
static void test_changes(void)
{
        struct sample_figures figures;
        struct looks looks;

        looks_init(&looks, 1);
        for (size_t i = 0; i < N_PAGES; i += 4)
                own_memory_fill(&looks.memory, i, 255);
        figures = look(&looks);
        CU_ASSERT_EQUAL(figures.present, N_DRAWN);
        CU_ASSERT_TRUE(figures.changed > N_DRAWN / 4 - 52 && figures.changed < N_DRAWN / 4 + 52);
        looks_deinit(&looks);
}

/* Of memory that is nearly empty more addresses are looked at, so that there is something to be seen. */
static void test_sparse_memory(void)
{
        struct sample_figures figures;
        struct looks looks;

        looks_init(&looks, 100);
        figures = look(&looks);
        CU_ASSERT_TRUE(figures.present >= N_DRAWN / SAMPLE_SPARSE);
        CU_ASSERT_TRUE(figures.present < N_DRAWN);
        looks_deinit(&looks);
}

/* Looking makes nothing present. */
static void test_empty_memory(void)
{
        struct looks looks;

        looks_init(&looks, N_PAGES);
        (void)madvise(looks.memory.pages, N_PAGES * PAGE_BYTES, MADV_DONTNEED);
        CU_ASSERT_EQUAL(look(&looks).present, 0);
        looks_deinit(&looks);
}

/* A kernel that calls all anonymous memory KSM's: only what is mapped more than once has been merged. */
static void test_kernel_that_calls_all_merged(void)
{
        CLEANUP_CLOSE int pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        CLEANUP_CLOSE int kpageflags_fd = -1;
        struct sample_figures figures;
        struct looks looks;
        pid_t child = -1;
        int pipe_fd = -1;

        looks_init(&looks, 50);
        kpageflags_fd = own_memory_kpageflags(&looks.memory, pagemap_fd, NULL);
        CU_ASSERT_EQUAL_FATAL(dup2(kpageflags_fd, looks.kpageflags_fd), looks.kpageflags_fd);
        (void)kpageflags_doubt_ksm(false);
        figures = look(&looks);
        CU_ASSERT_TRUE(figures.present > 0);
        CU_ASSERT_EQUAL(figures.merged, figures.present);
        (void)kpageflags_doubt_ksm(true);
        CU_ASSERT_EQUAL(look(&looks).merged, 0);
        child = own_memory_share_with_child(&pipe_fd);
        figures = look(&looks);
        CU_ASSERT_TRUE(figures.present > 0);
        CU_ASSERT_EQUAL(figures.merged, figures.present);
        own_memory_end_child(child, &pipe_fd);
        (void)kpageflags_doubt_ksm(false);
        looks_deinit(&looks);
}

static void test_nothing_mergeable(void)
{
        CLEANUP_CLOSE int proc_fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct fingerprint_key key;
        struct sample *sample = NULL;

        CU_ASSERT_EQUAL_FATAL(fingerprint_key_init(&key), 0);
        CU_ASSERT_EQUAL_FATAL(sample_new(&key, -1, &sample), 0);
        CU_ASSERT_EQUAL(sample_add(sample, getpid(), proc_fd), -ENODATA);
        CU_ASSERT_EQUAL(sample_draw(sample, N_DRAWN), 0);
        sample_free(sample);
        fingerprint_key_deinit(&key);
}

static const struct unit_test tests[] = {
        {"full memory", test_full_memory},
        {"changes", test_changes},
        {"sparse memory", test_sparse_memory},
        {"empty memory", test_empty_memory},
        {"kernel that calls all merged", test_kernel_that_calls_all_merged},
        {"nothing mergeable", test_nothing_mergeable},
};

UNIT_MAIN("sample", tests)
