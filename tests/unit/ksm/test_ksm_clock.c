/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "merge/ksm/ksm_clock.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BOOT   "5b1c1b5e-0000-4000-8000-000000000001"
#define HEADER "samepage ksm passes 1 " BOOT "\n"

static struct ksm_clock parse(const char *text)
{
        struct ksm_clock clock;

        ksm_clock_parse(text, BOOT, &clock);
        return clock;
}

static void test_bound(void)
{
        struct ksm_clock clock = {0};

        CU_ASSERT_EQUAL(ksm_clock_passes_since(&clock, 1000, 7), -1);
        CU_ASSERT_TRUE(ksm_clock_add(&clock, 100, 5));
        CU_ASSERT_FALSE(ksm_clock_add(&clock, 200, 5)); /* the first one says it all */
        CU_ASSERT_TRUE(ksm_clock_add(&clock, 300, 6));
        CU_ASSERT_EQUAL(ksm_clock_passes_since(&clock, 99, 7), -1);
        CU_ASSERT_EQUAL(ksm_clock_passes_since(&clock, 100, 7), 2);
        CU_ASSERT_EQUAL(ksm_clock_passes_since(&clock, 299, 7), 2);
        CU_ASSERT_EQUAL(ksm_clock_passes_since(&clock, 300, 7), 1);
        CU_ASSERT_EQUAL(ksm_clock_passes_since(&clock, 900, 6), 0);
}

/* Somebody had KSM forget everything: what was before says nothing. */
static void test_counter_began_anew(void)
{
        struct ksm_clock clock = {0};

        (void)ksm_clock_add(&clock, 100, 5);
        CU_ASSERT_EQUAL(ksm_clock_passes_since(&clock, 200, 4), -1);
        CU_ASSERT_TRUE(ksm_clock_add(&clock, 300, 4));
        CU_ASSERT_EQUAL(clock.n, 1);
        CU_ASSERT_EQUAL(ksm_clock_passes_since(&clock, 200, 4), -1);
        CU_ASSERT_EQUAL(ksm_clock_passes_since(&clock, 300, 4), 0);
        CU_ASSERT_FALSE(ksm_clock_add(&clock, 400, -1));
}

static void test_is_bounded(void)
{
        struct ksm_clock clock = {0};

        for (int i = 0; i < 10 * KSM_CLOCK_SAMPLES; i++)
                CU_ASSERT_TRUE(ksm_clock_add(&clock, (uint64_t)i, i));
        CU_ASSERT_EQUAL(clock.n, KSM_CLOCK_SAMPLES);
        CU_ASSERT_EQUAL(clock.samples[KSM_CLOCK_SAMPLES - 1].full_scans, (int64_t)10 * KSM_CLOCK_SAMPLES - 1);
        CU_ASSERT_EQUAL(clock.samples[0].full_scans, (int64_t)9 * KSM_CLOCK_SAMPLES);
}

static void test_damage_is_nothing(void)
{
        static const char *const bad[] = {
                "",
                "samepage",
                "samepage ksm passes 2 " BOOT "\n100 5\n",
                "samepage ksm passes 1 5b1c1b5e-0000-4000-8000-000000000002\n100 5\n",
                "samepage ksm passes 1 " BOOT,
                HEADER "100 5",
                HEADER "100 5\n200",
                HEADER "100 5\n\n",
                HEADER "100 5\n200 5\n",
                HEADER "100 5\n99 6\n",
                HEADER "100 -5\n",
                HEADER " 100 5\n",
                HEADER "100 5 6\n",
                HEADER "0x64 5\n",
                HEADER "99999999999999999999999 5\n",
        };
        char *many = calloc(1, 65536);

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                CU_ASSERT_EQUAL(parse(bad[i]).n, 0);
        CU_ASSERT_PTR_NOT_NULL_FATAL(many);
        (void)snprintf(many, 65536, "%s", HEADER);
        for (int i = 0; i <= KSM_CLOCK_SAMPLES; i++)
                (void)snprintf(many + strlen(many), 32, "%d %d\n", i, i);
        CU_ASSERT_EQUAL(parse(many).n, 0);
        free(many);
        CU_ASSERT_EQUAL(parse(HEADER).n, 0);
        CU_ASSERT_EQUAL(parse(HEADER "100 5\n200 6\n").n, 2);
}

static void write_file(const char *folder, const char *name, const char *text)
{
        char path[256];
        FILE *file = NULL;

        (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
        file = fopen(path, "w");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        (void)fputs(text, file);
        (void)fclose(file);
}

static void test_file(void)
{
        char folder[] = "/tmp/samepage-clock-XXXXXX";
        char path[256] = "";
        struct timespec now = {0};
        struct ksm_clock clock = {0};
        uint64_t now_usec = 0;

        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
        CU_ASSERT(ksm_clock_tick(folder, folder, &clock) < 0); /* no counter */
        CU_ASSERT_EQUAL(clock.n, 0);
        write_file(folder, "full_scans", "5\n");
        CU_ASSERT_EQUAL(ksm_clock_tick(folder, folder, NULL), 0);
        write_file(folder, "full_scans", "8\n");
        CU_ASSERT_EQUAL(ksm_clock_tick(folder, folder, &clock), 0);
        CU_ASSERT_EQUAL_FATAL(clock.n, 2);
        CU_ASSERT_EQUAL(clock.samples[0].full_scans, 5);
        CU_ASSERT_EQUAL(clock.samples[1].full_scans, 8);
        (void)clock_gettime(CLOCK_BOOTTIME, &now);
        now_usec = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
        CU_ASSERT(clock.samples[1].usec <= now_usec && now_usec - clock.samples[0].usec < 60000000);
        /* Garbage is replaced. */
        write_file(folder, KSM_CLOCK_FILE, "\x7f garbage");
        CU_ASSERT_EQUAL(ksm_clock_tick(folder, folder, &clock), 0);
        CU_ASSERT_EQUAL(clock.n, 1);
        CU_ASSERT_EQUAL(ksm_clock_tick(folder, folder, &clock), 0);
        CU_ASSERT_EQUAL(clock.n, 1);
        /* Where nothing can be written, what is there still counts. */
        (void)snprintf(path, sizeof(path), "%s/" KSM_CLOCK_FILE, folder);
        (void)unlink(path);
        (void)mkdir(path, 0700);
        CU_ASSERT(ksm_clock_tick(folder, folder, &clock) < 0);
        CU_ASSERT_EQUAL(clock.n, 1);
        (void)rmdir(path);
        (void)snprintf(path, sizeof(path), "%s/full_scans", folder);
        (void)unlink(path);
        CU_ASSERT_EQUAL(rmdir(folder), 0); /* and nothing else is left there */
}

static const struct unit_test tests[] = {
        {"bound", test_bound},
        {"counter began anew", test_counter_began_anew},
        {"is bounded", test_is_bounded},
        {"damage is nothing", test_damage_is_nothing},
        {"file", test_file},
};

UNIT_MAIN("ksm_clock", tests)
