/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "merge/ksm/ksm.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_file(int dir_fd, const char *name, const char *text)
{
        int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        CU_ASSERT_FATAL(fd >= 0);
        CU_ASSERT(dprintf(fd, "%s", text) >= 0);
        (void)close(fd);
}

static void test_reads_every_file(void)
{
        char path[] = "/tmp/samepage-ksm-XXXXXX";
        struct ksm ksm;
        int64_t value = 0;
        int dir_fd = -1;

        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(path));
        dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        write_file(dir_fd, "run", "1\n");
        write_file(dir_fd, "general_profit", "-4096\n");
        write_file(dir_fd, "advisor_mode", "[none] scan-time\n");
        CU_ASSERT_EQUAL(ksm_read(path, &ksm), 0);
        CU_ASSERT(ksm.available);
        CU_ASSERT_EQUAL(ksm.n_files, 3);
        CU_ASSERT(ksm_get(&ksm, "general_profit", &value) && value == -4096);
        CU_ASSERT(ksm_get(&ksm, "run", &value) && value == 1);
        CU_ASSERT_FALSE(ksm_get(&ksm, "advisor_mode", &value));
        CU_ASSERT_STRING_EQUAL(ksm.files[0].text, "[none] scan-time");
        CU_ASSERT_FALSE(ksm_get(&ksm, "pages_shared", &value));
        for (size_t i = 0; i < ksm.n_files; i++)
                (void)unlinkat(dir_fd, ksm.files[i].name, 0);
        (void)close(dir_fd);
        (void)rmdir(path);
}

static void test_kernel_without_ksm(void)
{
        struct ksm ksm;

        CU_ASSERT_EQUAL(ksm_read("/nonexistent/ksm", &ksm), 0);
        CU_ASSERT_FALSE(ksm.available);
}

/* The five files that who asks often needs; the last two are missing on older kernels. */
static void test_progress(void)
{
        static const char *const names[] = {"full_scans", "pages_shared", "pages_sharing", "ksm_zero_pages",
                                            "pages_scanned"};
        char path[] = "/tmp/samepage-ksm-XXXXXX";
        struct ksm_progress progress = {.full_scans = -1};
        int dir_fd = -1;

        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(path));
        CU_ASSERT(ksm_read_progress(path, &progress) < 0);
        CU_ASSERT_EQUAL(progress.full_scans, -1);
        dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        write_file(dir_fd, "full_scans", "7\n");
        write_file(dir_fd, "pages_shared", "100\n");
        write_file(dir_fd, "pages_sharing", "2000\n");
        CU_ASSERT_EQUAL(ksm_read_progress(path, &progress), 0);
        CU_ASSERT_EQUAL(progress.full_scans, 7);
        CU_ASSERT_EQUAL(progress.merged_pages, 2100);
        CU_ASSERT_EQUAL(progress.pages_scanned, 0);
        write_file(dir_fd, "ksm_zero_pages", "30000\n");
        write_file(dir_fd, "pages_scanned", "5000000000\n");
        CU_ASSERT_EQUAL(ksm_read_progress(path, &progress), 0);
        CU_ASSERT_EQUAL(progress.merged_pages, 32100);
        CU_ASSERT_EQUAL(progress.pages_scanned, 5000000000);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                (void)unlinkat(dir_fd, names[i], 0);
        (void)close(dir_fd);
        (void)rmdir(path);
}

static void test_visited_pages(void)
{
        char path[] = "/tmp/samepage-ksm-XXXXXX";
        uint64_t pages = 0;
        int dir_fd = -1;

        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(path));
        dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CU_ASSERT(ksm_visited_pages(dir_fd, &pages) < 0);
        write_file(dir_fd, "ksm_stat", "ksm_rmap_items 1234\nksm_zero_pages 5\n");
        CU_ASSERT_EQUAL(ksm_visited_pages(dir_fd, &pages), 0);
        CU_ASSERT_EQUAL(pages, 1234);
        (void)unlinkat(dir_fd, "ksm_stat", 0);
        (void)close(dir_fd);
        (void)rmdir(path);
}

static const struct unit_test tests[] = {
        {"reads every file", test_reads_every_file},
        {"kernel without ksm", test_kernel_without_ksm},
        {"progress", test_progress},
        {"visited pages", test_visited_pages},
};

UNIT_MAIN("ksm", tests)
