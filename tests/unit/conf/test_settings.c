/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/settings.h"
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int set(struct settings *settings, const char *name, const char *argument, struct failure *failure)
{
        for (const struct settings_option *option = settings_options; option->name; option++)
                if (strcmp(option->name, name) == 0)
                        return option->set(settings, argument, failure);
        CU_FAIL("no such option");
        return -ENOENT;
}

static void test_every_row_is_complete(void)
{
        for (const struct settings_option *option = settings_options; option->name; option++) {
                CU_ASSERT_NOT_EQUAL(option->commands, 0);
                CU_ASSERT_PTR_NOT_NULL(option->set);
                CU_ASSERT(!option->help || strlen(option->help) > 3);
                CU_ASSERT(!option->help || option->help[strlen(option->help) - 1] != '.');
                for (const struct settings_option *other = settings_options; other < option; other++)
                        CU_ASSERT_STRING_NOT_EQUAL(other->name, option->name);
        }
}

static void test_defaults(void)
{
        struct settings settings;

        CU_ASSERT_EQUAL_FATAL(settings_init(&settings), 0);
        CU_ASSERT_EQUAL(settings.mode, SCAN_MODE_SNAPSHOT);
        CU_ASSERT_EQUAL(settings.max_pause_usec, 500000);
        CU_ASSERT_STRING_EQUAL(settings.runtime_dir, "/run/samepage");
        settings_deinit(&settings);
}

static void test_good_values(void)
{
        struct settings settings;

        CU_ASSERT_EQUAL_FATAL(settings_init(&settings), 0);
        CU_ASSERT_EQUAL(set(&settings, "mode", "live", NULL), 0);
        CU_ASSERT_EQUAL(settings.mode, SCAN_MODE_LIVE);
        CU_ASSERT_EQUAL(set(&settings, "max-pause", "20", NULL), 0);
        CU_ASSERT_EQUAL(settings.max_pause_usec, 20000);
        CU_ASSERT_EQUAL(set(&settings, "qmp", "/a", NULL), 0);
        CU_ASSERT_EQUAL(set(&settings, "qmp", "/b", NULL), 0);
        CU_ASSERT_EQUAL(settings.qmp_sockets.n, 2);
        CU_ASSERT_EQUAL(set(&settings, "threads", "3", NULL), 0);
        CU_ASSERT_EQUAL(settings.threads, 3);
        CU_ASSERT_FALSE(settings.cpus_chosen);
        CU_ASSERT_EQUAL(set(&settings, "cpus", "0-1,5", NULL), 0);
        CU_ASSERT_TRUE(settings.cpus_chosen);
        CU_ASSERT_EQUAL(CPU_COUNT(&settings.cpus), 3);
        CU_ASSERT_EQUAL(set(&settings, "careful", NULL, NULL), 0);
        CU_ASSERT_TRUE(settings.careful);
        CU_ASSERT_EQUAL(set(&settings, "runtime-dir", "/x", NULL), 0);
        CU_ASSERT_STRING_EQUAL(settings.runtime_dir, "/x");
        settings_deinit(&settings);
}

static void test_bad_values(void)
{
        static const struct {
                const char *name;
                const char *argument;
        } cases[] = {
                {"mode", "fast"},
                {"mode", ""},
                {"max-pause", "0"},
                {"max-pause", "-1"},
                {"max-pause", "1s"},
                {"max-pause", "1e3"},
                {"max-pause", "60001"},
                {"max-pause", ""},
                {"threads", "0"},
                {"threads", "100000"},
                {"cpus", "3-1"},
                {"timeout", "0"},
                {"runtime-dir", ""},
                {"qmp", ""},
                {"libvirt", ""},
                {"ksm-dir", ""},
                {"threads", "99999999999999999999999"},
                {"for-service", "0"},
                {"for-service", "1x"},
                {"for-service", "2147483647"}, /* lives, may be, but did not start this process */
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct settings settings;
                struct failure failure = {0};

                CU_ASSERT_EQUAL_FATAL(settings_init(&settings), 0);
                CU_ASSERT_EQUAL(set(&settings, cases[i].name, cases[i].argument, &failure), -EINVAL);
                CU_ASSERT_NOT_EQUAL(failure.text[0], '\0');
                settings_deinit(&settings);
        }
}

/* Only who has started this process can say that it works for a service. */
static void test_for_service(void)
{
        struct settings settings;
        char pid[16] = "";

        CU_ASSERT_EQUAL_FATAL(settings_init(&settings), 0);
        CU_ASSERT_EQUAL(set(&settings, "events", NULL, NULL), 0);
        CU_ASSERT_EQUAL(settings.service_pid, 0);
        (void)snprintf(pid, sizeof(pid), "%d", (int)getppid());
        CU_ASSERT_EQUAL(set(&settings, "for-service", pid, NULL), 0);
        CU_ASSERT_EQUAL(settings.service_pid, getppid());
        settings_deinit(&settings);
}

static void test_guest_named_twice(void)
{
        struct settings settings;
        struct failure failure = {0};

        CU_ASSERT_EQUAL_FATAL(settings_init(&settings), 0);
        CU_ASSERT_EQUAL(set(&settings, "guest", "web1", &failure), 0);
        CU_ASSERT_EQUAL(set(&settings, "guest", "web2", &failure), 0);
        CU_ASSERT_EQUAL(set(&settings, "guest", "web1", &failure), -EINVAL);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "web1"));
        settings_deinit(&settings);
}

static void test_too_many_guests(void)
{
        struct settings settings;

        CU_ASSERT_EQUAL_FATAL(settings_init(&settings), 0);
        for (size_t i = 0; i < SETTINGS_MAX_GUESTS; i++)
                CU_ASSERT_EQUAL_FATAL(set(&settings, "qmp", "/a", NULL), 0);
        CU_ASSERT_EQUAL(set(&settings, "qmp", "/a", NULL), -E2BIG);
        settings_deinit(&settings);
}

static const struct unit_test tests[] = {
        {"every row is complete", test_every_row_is_complete},
        {"defaults", test_defaults},
        {"good values", test_good_values},
        {"bad values", test_bad_values},
        {"for service", test_for_service},
        {"guest named twice", test_guest_named_twice},
        {"too many guests", test_too_many_guests},
};

UNIT_MAIN("settings", tests)
