/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "merge/ksm/ksm_settings.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder that stands in for the kernel's: unlike there, a file holds what is written, without a line end. */
static char root[] = "/tmp/test_apply.XXXXXX";
static char ksm_dir[64];
static char runtime_dir[64];
static const struct ksm_settings_place place = {ksm_dir, runtime_dir};
static const struct ksm_settings_owner nobody;

static void put_in(const char *dir, const char *name, const char *value)
{
        char path[128] = "";
        FILE *file = NULL;

        (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
        file = fopen(path, "w");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        (void)fputs(value, file);
        (void)fclose(file);
}

static void put(const char *name, const char *value)
{
        put_in(ksm_dir, name, value);
}

static void check(const char *name, const char *value)
{
        char path[128] = "";
        char text[64] = "";
        FILE *file = NULL;

        (void)snprintf(path, sizeof(path), "%s/%s", ksm_dir, name);
        file = fopen(path, "r");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        (void)!fgets(text, sizeof(text), file);
        (void)fclose(file);
        text[strcspn(text, "\n")] = '\0';
        CU_ASSERT_STRING_EQUAL(text, value);
}

static bool note_exists(void)
{
        char path[128] = "";

        (void)snprintf(path, sizeof(path), "%s/ksm-settings", runtime_dir);
        return access(path, F_OK) == 0;
}

static void begin(void)
{
        char path[128] = "";

        (void)snprintf(ksm_dir, sizeof(ksm_dir), "%s/ksm", root);
        (void)snprintf(runtime_dir, sizeof(runtime_dir), "%s/run", root);
        (void)mkdir(ksm_dir, 0700);
        (void)snprintf(path, sizeof(path), "%s/ksm-settings", runtime_dir);
        (void)unlink(path);
        put("run", "0");
        put("pages_to_scan", "100");
        put("sleep_millisecs", "20");
}

static struct ksm_settings wanted(const char *pages)
{
        struct ksm_settings settings = {0};

        ksm_settings_add_text(&settings, "pages_to_scan", pages);
        ksm_settings_add(&settings, "sleep_millisecs", 0);
        ksm_settings_add(&settings, "run", 1);
        return settings;
}

static struct ksm_settings switched(const char *run)
{
        struct ksm_settings settings = {0};

        ksm_settings_add_text(&settings, "run", run);
        return settings;
}

static int write_pages(const char *pages, struct failure *failure)
{
        const struct ksm_settings settings = wanted(pages);

        return ksm_settings_write(&place, &nobody, &settings, failure);
}

static void test_there_and_back(void)
{
        struct failure failure = {0};
        size_t n = 0;

        begin();
        CU_ASSERT_EQUAL(write_pages("4000", &failure), 0);
        check("pages_to_scan", "4000");
        check("sleep_millisecs", "0");
        check("run", "1");
        CU_ASSERT_EQUAL(write_pages("200", &failure), 0);
        check("pages_to_scan", "200");
        CU_ASSERT_EQUAL(ksm_settings_check(&place, &failure), 0);
        CU_ASSERT_EQUAL(ksm_settings_restore(&place, &n, &failure), 0);
        CU_ASSERT_EQUAL(n, 3);
        check("pages_to_scan", "100"); /* the very first one, not the one before */
        check("sleep_millisecs", "20");
        check("run", "0");
        CU_ASSERT_FALSE(note_exists());
        CU_ASSERT_EQUAL(ksm_settings_restore(&place, &n, &failure), 0);
        CU_ASSERT_EQUAL(n, 0);
}

static void test_somebody_else(void)
{
        struct failure failure = {0};

        begin();
        CU_ASSERT_EQUAL(write_pages("4000", &failure), 0);
        put("pages_to_scan", "777");
        CU_ASSERT_EQUAL(ksm_settings_check(&place, &failure), -EBUSY);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "pages_to_scan to 777"));
        CU_ASSERT_EQUAL(write_pages("200", &failure), -EBUSY);
        check("pages_to_scan", "777");
        CU_ASSERT_EQUAL(ksm_settings_restore(&place, NULL, &failure), 0);
        check("pages_to_scan", "777"); /* it is his */
        check("run", "0");
}

/* As it is while settings are being written: both values are ours. */
static void write_unfinished_note(void)
{
        (void)mkdir(runtime_dir, 0755);
        put_in(runtime_dir, "ksm-settings",
               "owner 0 0\n"
               "setting pages_to_scan 100 200 4000\n"
               "setting run 0 1 0\n");
}

/* A crash between the note and the settings, or between two of them. */
static void test_crash(void)
{
        static const char *const states[][2] = {{"4000", "0"}, {"200", "0"}, {"200", "1"}};
        struct failure failure = {0};

        for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
                begin();
                write_unfinished_note();
                put("pages_to_scan", states[i][0]);
                put("run", states[i][1]);
                CU_ASSERT_EQUAL(ksm_settings_check(&place, &failure), 0);
                CU_ASSERT_EQUAL(ksm_settings_restore(&place, NULL, &failure), 0);
                check("pages_to_scan", "100");
                check("run", "0");
        }
}

/* What stood there before the last writing is not ours when that has come to its end: somebody may have gone back to it. */
static void test_somebody_else_goes_back(void)
{
        const struct ksm_settings fast = switched("1");
        const struct ksm_settings stopped = switched("0");
        struct failure failure = {0};

        begin();
        put("run", "1");
        CU_ASSERT_EQUAL(ksm_settings_write(&place, &nobody, &stopped, &failure), 0);
        CU_ASSERT_EQUAL(ksm_settings_write(&place, &nobody, &fast, &failure), 0);
        put("run", "0");
        CU_ASSERT_EQUAL(ksm_settings_check(&place, &failure), -EBUSY);
        CU_ASSERT_EQUAL(ksm_settings_restore(&place, NULL, &failure), 0);
        check("run", "0");
}

static void test_never_unmerges(void)
{
        struct failure failure = {0};

        begin();
        put("run", "2");
        CU_ASSERT_EQUAL(write_pages("4000", &failure), 0);
        CU_ASSERT_EQUAL(ksm_settings_restore(&place, NULL, &failure), 0);
        check("run", "0");
}

static void test_owner(void)
{
        const struct ksm_settings_owner owner = {1234, 5678};
        const struct ksm_settings settings = wanted("300");
        struct ksm_settings_owner found = {0};
        struct failure failure = {0};

        begin();
        CU_ASSERT_EQUAL(ksm_settings_owner_read(&place, &found), -ENOENT);
        CU_ASSERT_EQUAL(ksm_settings_write(&place, &owner, &settings, &failure), 0);
        CU_ASSERT_EQUAL(ksm_settings_owner_read(&place, &found), 0);
        CU_ASSERT_EQUAL(found.pid, 1234);
        CU_ASSERT_EQUAL(found.start_ticks, 5678);
        CU_ASSERT_EQUAL(ksm_settings_restore(&place, NULL, &failure), 0);
}

/* One writes at a time: a person, or a process that lives. */
static void test_who_may(void)
{
        const struct ksm_settings_owner self = ksm_settings_owner_of(getpid());
        const struct ksm_settings_owner dead = {self.pid, self.start_ticks + 1};
        const struct ksm_settings settings = wanted("300");
        const struct ksm_settings other = wanted("500");
        const struct ksm_settings_owner other_process = ksm_settings_owner_of(getppid());
        struct failure failure = {0};

        CU_ASSERT_EQUAL(self.pid, getpid());
        CU_ASSERT_EQUAL(ksm_settings_owner_of(0).pid, 0);
        begin();
        CU_ASSERT_EQUAL(ksm_settings_owner_check(&place, &self, &failure), 0);
        CU_ASSERT_EQUAL(ksm_settings_write(&place, &dead, &settings, &failure), 0);
        CU_ASSERT_EQUAL(ksm_settings_owner_check(&place, &self, &failure), 0);
        CU_ASSERT_EQUAL(ksm_settings_write(&place, &self, &settings, &failure), 0);
        CU_ASSERT_TRUE(ksm_settings_owner_is(&place, &self));
        CU_ASSERT_EQUAL(ksm_settings_owner_check(&place, &self, &failure), 0);
        CU_ASSERT_EQUAL(ksm_settings_owner_check(&place, &other_process, &failure), -EBUSY);
        CU_ASSERT_EQUAL(ksm_settings_write(&place, &nobody, &other, &failure), -EBUSY);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "acts on KSM"));
        check("pages_to_scan", "300");
        CU_ASSERT_EQUAL(ksm_settings_restore(&place, NULL, &failure), 0);
        CU_ASSERT_EQUAL(ksm_settings_write(&place, &nobody, &settings, &failure), 0);
        CU_ASSERT_EQUAL(ksm_settings_write(&place, &self, &other, &failure), -EBUSY);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "undo that first"));
        check("pages_to_scan", "300");
        CU_ASSERT_EQUAL(ksm_settings_restore(&place, NULL, &failure), 0);
}

/* Settings come from another process: no other file is written. */
static void test_names(void)
{
        struct ksm_settings settings = {0};
        struct failure failure = {0};

        begin();
        ksm_settings_add(&settings, "run", 1);
        ksm_settings_add(&settings, "run", 0);
        CU_ASSERT_EQUAL(settings.n, 1);
        CU_ASSERT_STRING_EQUAL(settings.settings[0].value, "0");
        ksm_settings_add(&settings, "../ksm/run", 1);
        CU_ASSERT_EQUAL(ksm_settings_write(&place, &nobody, &settings, &failure), -EOPNOTSUPP);
        CU_ASSERT_FALSE(note_exists());
}

static void test_advisor(void)
{
        struct ksm_settings settings = {0};
        struct failure failure = {0};

        begin();
        put("advisor_mode", "none [scan-time]");
        ksm_settings_add_text(&settings, "advisor_mode", "none");
        CU_ASSERT_EQUAL(ksm_settings_write(&place, &nobody, &settings, &failure), 0);
        check("advisor_mode", "none");
        CU_ASSERT_EQUAL(ksm_settings_restore(&place, NULL, &failure), 0);
        check("advisor_mode", "scan-time");
        put("advisor_mode", "none");
}

static void test_failures(void)
{
        const struct ksm_settings_place nowhere = {"/nonexistent", runtime_dir};
        struct ksm_settings settings = {0};
        struct failure failure = {0};

        begin();
        ksm_settings_add(&settings, "run", 1);
        CU_ASSERT_EQUAL(ksm_settings_write(&nowhere, &nobody, &settings, &failure), -EOPNOTSUPP);
        ksm_settings_add(&settings, "smart_scan", 1);
        CU_ASSERT_EQUAL(ksm_settings_write(&place, &nobody, &settings, &failure), -EOPNOTSUPP);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "smart_scan"));
        check("run", "0"); /* all or nothing */
        CU_ASSERT_FALSE(note_exists());
}

static const struct unit_test tests[] = {
        {"there and back", test_there_and_back},
        {"somebody else", test_somebody_else},
        {"somebody else goes back", test_somebody_else_goes_back},
        {"crash", test_crash},
        {"never unmerges", test_never_unmerges},
        {"owner", test_owner},
        {"who may", test_who_may},
        {"names", test_names},
        {"advisor", test_advisor},
        {"failures", test_failures},
};

int main(void)
{
        int failed = mkdtemp(root) ? unit_run("apply", tests, ARRAY_SIZE(tests)) : 1;
        char command[128] = "";

        (void)snprintf(command, sizeof(command), "rm -r %s", root);
        return failed + (system(command) != 0);
}
