/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "base/clock.h"
#include "conf/options.h"
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct options *of_command(void)
{
        struct options *options = NULL;

        CU_ASSERT_EQUAL_FATAL(options_new(false, &options), 0);
        return options;
}

static const struct option_row *find(const char *name)
{
        for (const struct option_row *row = options_table; row->type; row++)
                if (row->name && strcmp(row->name, name) == 0)
                        return row;
        CU_FAIL_FATAL("no such option");
        return NULL;
}

static int set(struct options *options, const char *name, const char *argument, struct failure *failure)
{
        return options_set_argument(options, find(name), argument, failure);
}

static void test_every_row_is_complete(void)
{
        for (const struct option_row *row = options_table; row->type; row++) {
                CU_ASSERT_EQUAL(row->name != NULL, row->commands != 0);
                CU_ASSERT(row->name || row->section);
                if (!row->name)
                        continue;
                CU_ASSERT_EQUAL(row->word == NULL, row->type == &option_type_bool);
                CU_ASSERT(!row->help || strlen(row->help) > 3);
                CU_ASSERT(!row->help || row->help[strlen(row->help) - 1] != '.');
                CU_ASSERT(!(row->flags & OPTION_ON_REQUEST) || row->key);
                for (const struct option_row *other = options_table; other < row; other++)
                        CU_ASSERT(!other->name || strcmp(other->name, row->name) != 0);
        }
}

/* What is written is read again as the same: the service's children get their options so. */
static void test_written_as_read(void)
{
        struct options *options = NULL;

        CU_ASSERT_EQUAL_FATAL(options_new(true, &options), 0);
        for (const struct option_row *row = options_table; row->type; row++) {
                CLEANUP_FREE char *text = NULL;

                if (options_print(options, row, 0, &text) > 0)
                        CU_ASSERT_STRING_EQUAL(text, row->default_text);
        }
        options_free(options);
}

static char **write_all(const struct options *options)
{
        struct strv strv = {0};
        char **words = NULL;

        options_write(options, ~0U, &strv);
        CU_ASSERT_EQUAL_FATAL(strv_end(&strv, &words), 0);
        return words;
}

/* As getopt_long(3) would hand it over. */
static void read_word(struct options *options, char *word)
{
        char *value = strchr(word, '=');
        CLEANUP_FREE char *name = strndup(word + 2, value ? (size_t)(value - word) - 2 : strlen(word) - 2);
        struct failure failure = {0};

        CU_ASSERT_EQUAL(set(options, name, value ? value + 1 : NULL, &failure), 0);
        if (failure.text[0])
                printf("\n  %s: %s\n", word, failure.text);
}

/* A child gets what the configuration says, whatever it is. */
static void test_a_child_reads_what_is_written(void)
{
        static const char *const values[][3] = {
                {"guests", "qmp_sockets", "/a \"/b c/*\""},
                {"guests", "libvirt_uri", "test:///x=y"},
                {"guests", "libvirt_monitor", "yes"},
                {"guests", "include", "web* \"my vm\" --json"},
                {"guests", "exclude", "*=*"},
                {"groups", "acme", "shop* \"a b\""},
                {"groups", "none", ""},
                {"scan", "mode", "sliced"},
                {"scan", "max_pause", "1500us"},
                {"scan", "together", "yes"},
                {"scan", "recheck", "90s"},
                {"scan", "careful", "yes"},
                {"scan", "cpus", "0-2,5"},
                {"scan", "threads", "7"},
                {"scan", "timeout", "250s"},
                {"merge", "cross_group", "yes"},
                {"merge", "group", "acme"},
                {"merge", "cpu", "17"},
                {"merge", "use_zero_pages", "yes"},
                {"merge", "smart_scan", "no"},
                {"history", "file", "none"},
                {"control", "socket", "none"},
                {"paths", "runtime_dir", "/r"},
                {"paths", "ksm_dir", "/k d"},
        };
        struct options *child = of_command();
        struct options *options = NULL;
        char **written = NULL;
        char **again = NULL;
        size_t n = 0;

        CU_ASSERT_EQUAL_FATAL(options_new(true, &options), 0);
        for (size_t i = 0; i < ARRAY_SIZE(values); i++)
                CU_ASSERT_EQUAL(options_set_key(options, options_find_key(values[i][0], values[i][1]),
                                                values[i][1], values[i][2], NULL),
                                0);
        options->merging.service_pid = getppid();
        written = write_all(options);
        for (; written[n]; n++)
                read_word(child, written[n]);
        CU_ASSERT(n > ARRAY_SIZE(values));
        again = write_all(child);
        for (size_t i = 0; i <= n; i++) {
                CU_ASSERT_FATAL(written[i] && again[i] ? strcmp(written[i], again[i]) == 0
                                                       : written[i] == again[i]);
        }
        CU_ASSERT_STRING_EQUAL(child->guests.libvirt_uri, "test:///x=y");
        CU_ASSERT_EQUAL(child->scan.max_pause_usec, 1500);
        CU_ASSERT_EQUAL(child->merging.groups.n, 2);
        CU_ASSERT_EQUAL(child->merging.use_zero_pages, TRISTATE_YES);
        CU_ASSERT_PTR_NULL(child->control_socket);
        strv_free(written);
        strv_free(again);
        options_free(options);
        options_free(child);
}

static void test_modes_have_their_names(void)
{
        for (int mode = 0; mode < SCAN_MODE_COUNT_; mode++) {
                const char *name = scan_mode_to_string((enum scan_mode)mode);
                enum scan_mode found = SCAN_MODE_COUNT_;

                CU_ASSERT_EQUAL(option_words_find(option_type_mode.argument, name), mode);
                CU_ASSERT_EQUAL(scan_mode_from_string(name, &found), 0);
                CU_ASSERT_EQUAL((int)found, mode);
        }
        CU_ASSERT_EQUAL(scan_mode_from_string("fast", &(enum scan_mode){0}), -EINVAL);
}

static void test_defaults(void)
{
        struct options *options = of_command();

        CU_ASSERT_EQUAL(options->scan.mode, SCAN_MODE_SNAPSHOT);
        CU_ASSERT_EQUAL(options->scan.max_pause_usec, 500000);
        CU_ASSERT_STRING_EQUAL(options->runtime_dir, "/run/samepage");
        CU_ASSERT_PTR_NULL(options->guests.libvirt_uri); /* what is the service's alone */
        CU_ASSERT_PTR_NULL(options->history_file);
        CU_ASSERT_EQUAL(options->guests.include.n, 0);
        CU_ASSERT_EQUAL(options->given, 0);
        options_free(options);
}

static void test_good_values(void)
{
        struct options *options = of_command();

        CU_ASSERT_FALSE(options_is_given(options, find("mode")));
        CU_ASSERT_EQUAL(set(options, "mode", "live", NULL), 0);
        CU_ASSERT_EQUAL(options->scan.mode, SCAN_MODE_LIVE);
        CU_ASSERT_TRUE(options_is_given(options, find("mode")));
        CU_ASSERT_FALSE(options_is_given(options, find("max-pause")));
        CU_ASSERT_EQUAL(set(options, "max-pause", "20", NULL), 0);
        CU_ASSERT_EQUAL(options->scan.max_pause_usec, 20000);
        CU_ASSERT_EQUAL(set(options, "qmp", "/a", NULL), 0);
        CU_ASSERT_EQUAL(set(options, "qmp", "b c", NULL), 0);
        CU_ASSERT_EQUAL_FATAL(options->guests.qmp_sockets.n, 2);
        CU_ASSERT_STRING_EQUAL(options->guests.qmp_sockets.words[1], "b c");
        CU_ASSERT_EQUAL(set(options, "threads", "3", NULL), 0);
        CU_ASSERT_EQUAL(options->scan.threads, 3);
        CU_ASSERT_FALSE(options->scan.cpus.chosen);
        CU_ASSERT_EQUAL(set(options, "cpus", "0-1,5", NULL), 0);
        CU_ASSERT_TRUE(options->scan.cpus.chosen);
        CU_ASSERT_EQUAL(CPU_COUNT(&options->scan.cpus.set), 3);
        CU_ASSERT_EQUAL(set(options, "careful", NULL, NULL), 0);
        CU_ASSERT_TRUE(options->scan.careful);
        CU_ASSERT_EQUAL(set(options, "runtime-dir", "/x", NULL), 0);
        CU_ASSERT_STRING_EQUAL(options->runtime_dir, "/x");
        CU_ASSERT_EQUAL(set(options, "runtime-dir", "x", NULL), 0);
        CU_ASSERT_STRING_EQUAL(options->runtime_dir, "x");
        CU_ASSERT_EQUAL(set(options, "group", "acme=web* db1", NULL), 0);
        CU_ASSERT_STRING_EQUAL(groups_find(&options->merging.groups, "db1"), "acme");
        CU_ASSERT_EQUAL(set(options, "control", "none", NULL), 0);
        CU_ASSERT_PTR_NULL(options->control_socket);
        CU_ASSERT_EQUAL(set(options, "use-zero-pages", "yes", NULL), 0);
        CU_ASSERT_EQUAL(options->merging.use_zero_pages, TRISTATE_YES);
        options_free(options);
}

/* A number alone means what it always did, and a unit may stand behind it as in the file. */
static void test_durations(void)
{
        static const struct {
                const char *name;
                const char *argument;
                uint64_t usec;
        } cases[] = {
                {"max-pause", "500", 500 * USEC_PER_MSEC},
                {"max-pause", "500ms", 500 * USEC_PER_MSEC},
                {"max-pause", "2s", 2 * USEC_PER_SEC},
                {"max-pause", "60000", 60 * USEC_PER_SEC},
                {"timeout", "5", 5 * USEC_PER_SEC},
                {"timeout", "1500ms", 1500 * USEC_PER_MSEC},
                {"timeout", "3600", 3600 * USEC_PER_SEC},
                {"recheck", "60", 60 * USEC_PER_SEC},
                {"recheck", "0", 0},
                {"recheck", "1min", 60 * USEC_PER_SEC},
                {"interval", "2", 2 * USEC_PER_SEC},
                {"interval", "1h", 3600 * USEC_PER_SEC},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct options *options = of_command();
                const struct option_row *row = find(cases[i].name);

                CU_ASSERT_EQUAL(set(options, cases[i].name, cases[i].argument, NULL), 0);
                CU_ASSERT_EQUAL(*(const uint64_t *)((const char *)options + row->offset), cases[i].usec);
                options_free(options);
        }
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
                {"max-pause", "61s"},
                {"max-pause", "500us"},
                {"max-pause", "1e3"},
                {"max-pause", "60001"},
                {"max-pause", ""},
                {"threads", "-1"},
                {"threads", "100000"},
                {"cpus", "3-1"},
                {"cpus", ""},
                {"timeout", "0"},
                {"timeout", "3601"},
                {"recheck", "3601"},
                {"interval", "0"},
                {"interval", "86401"},
                {"limit", "0"},
                {"limit", "1001"},
                {"ksm-cpu", "0"},
                {"use-zero-pages", "maybe"},
                {"group", "acme"},
                {"since", "soon"},
                {"runtime-dir", ""},
                {"qmp", ""},
                {"libvirt", ""},
                {"ksm-dir", ""},
                {"threads", "99999999999999999999999"},
                {"for-service", "0"},
                {"for-service", "1x"},
                {"for-service", "2147483647"}, /* lives, may be, but did not start this process */
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct options *options = of_command();
                struct failure failure = {0};

                CU_ASSERT_EQUAL(set(options, cases[i].name, cases[i].argument, &failure), -EINVAL);
                CU_ASSERT_NOT_EQUAL(failure.text[0], '\0');
                CU_ASSERT_EQUAL(options->given, 0);
                options_free(options);
        }
}

/* Only who has started this process can say that it works for a service. */
static void test_for_service(void)
{
        struct options *options = of_command();
        char pid[16] = "";

        CU_ASSERT_EQUAL(set(options, "events", NULL, NULL), 0);
        CU_ASSERT_EQUAL(options->merging.service_pid, 0);
        (void)snprintf(pid, sizeof(pid), "%d", (int)getppid());
        CU_ASSERT_EQUAL(set(options, "for-service", pid, NULL), 0);
        CU_ASSERT_EQUAL(options->merging.service_pid, getppid());
        options_free(options);
}

static void test_guest_named_twice(void)
{
        struct options *options = of_command();
        struct failure failure = {0};

        CU_ASSERT_EQUAL(set(options, "guest", "web1", &failure), 0);
        CU_ASSERT_EQUAL(set(options, "guest", "web2", &failure), 0);
        CU_ASSERT_EQUAL(set(options, "guest", "web1", &failure), -EINVAL);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "web1"));
        options_free(options);
}

static void test_too_many_guests(void)
{
        struct options *options = of_command();

        for (size_t i = 0; i < GUEST_CHOICE_MAX; i++)
                CU_ASSERT_EQUAL_FATAL(set(options, "qmp", "/a", NULL), 0);
        CU_ASSERT_EQUAL(set(options, "qmp", "/a", NULL), -E2BIG);
        options_free(options);
}

static const char *name_of(const struct option_row *row, const void *context)
{
        (void)context;
        return row->name;
}

static void test_closest(void)
{
        CU_ASSERT_STRING_EQUAL(options_closest("max-puase", name_of, NULL), "max-pause");
        CU_ASSERT_STRING_EQUAL(options_closest("jsn", name_of, NULL), "json");
        CU_ASSERT_PTR_NULL(options_closest("xyzzy", name_of, NULL));
        CU_ASSERT_PTR_NULL(options_closest("", name_of, NULL));
}

static const struct unit_test tests[] = {
        {"every row is complete", test_every_row_is_complete},
        {"written as read", test_written_as_read},
        {"a child reads what is written", test_a_child_reads_what_is_written},
        {"modes have their names", test_modes_have_their_names},
        {"defaults", test_defaults},
        {"good values", test_good_values},
        {"durations", test_durations},
        {"bad values", test_bad_values},
        {"for service", test_for_service},
        {"guest named twice", test_guest_named_twice},
        {"too many guests", test_too_many_guests},
        {"closest", test_closest},
};

UNIT_MAIN("options", tests)
