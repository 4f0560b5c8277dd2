/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table: its rows, their defaults, and what values they take. */
#include "base/clock.h"
#include "conf/options.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define HOUR (3600 * USEC_PER_SEC)
#define DAY  (24 * HOUR)

static struct options *with_defaults(void)
{
        struct options *config = NULL;

        CU_ASSERT_EQUAL_FATAL(options_new(true, &config), 0);
        return config;
}

static int set(struct options *config, const char *section, const char *key, const char *text,
               struct failure *failure)
{
        const struct option_row *row = options_find_key(section, key);

        CU_ASSERT_PTR_NOT_NULL_FATAL(row);
        return options_set_key(config, row, key, text, failure);
}

static void test_every_row_is_complete(void)
{
        for (const struct option_row *row = options_table; row->type; row++) {
                CU_ASSERT_EQUAL(row->off != NULL && (!row->type->off || row->type->size == 0), false);
                CU_ASSERT_EQUAL(row->most > 0, row->type->range != NULL);
                CU_ASSERT(row->least <= row->most);
                CU_ASSERT(row->default_text[0] || row->flags & OPTION_MAY_BE_EMPTY);
                if (!row->section)
                        continue;
                CU_ASSERT_FATAL(row->help && strlen(row->help) > 10);
                CU_ASSERT_NOT_EQUAL(row->help[strlen(row->help) - 1], '.');
                CU_ASSERT_PTR_EQUAL(options_find_key(row->section, row->key ? row->key : "any"), row);
                CU_ASSERT_TRUE(options_is_section(row->section));
        }
        CU_ASSERT_PTR_NULL(options_find_key("scan", "interval"));
        CU_ASSERT_FALSE(options_is_section("Scan"));
}

/* The rows of a section stand together: sample and list print each section once. */
static void test_sections_stand_together(void)
{
        const char *ended[64] = {0};
        const char *section = "";
        size_t n = 0;

        for (const struct option_row *row = options_table; row->type; row++) {
                if (!row->section || strcmp(row->section, section) == 0)
                        continue;
                for (size_t i = 0; i < n; i++)
                        CU_ASSERT_STRING_NOT_EQUAL(ended[i], row->section);
                section = row->section;
                ended[n++] = section;
        }
        CU_ASSERT(n > 5);
}

static void test_defaults_of_guests(void)
{
        struct options *config = with_defaults();

        CU_ASSERT_STRING_EQUAL(config->guests.libvirt_uri, "auto");
        CU_ASSERT_FALSE(config->guests.libvirt_monitor);
        CU_ASSERT_EQUAL(config->guests.qmp_sockets.n, 0);
        CU_ASSERT_EQUAL(config->guests.include.n, 1);
        CU_ASSERT_STRING_EQUAL(config->guests.include.words[0], "*");
        CU_ASSERT_EQUAL(config->guests.exclude.n, 0);
        CU_ASSERT_EQUAL(config->merging.groups.n, 0);
        CU_ASSERT_PTR_NULL(groups_find(&config->merging.groups, "web1"));
        CU_ASSERT_TRUE(options_take_guest(config, "web1"));
        options_free(config);
}

static void test_defaults_of_scans(void)
{
        struct options *config = with_defaults();

        CU_ASSERT_EQUAL(config->interval_usec, HOUR);
        CU_ASSERT_EQUAL(config->jitter_usec, 300 * USEC_PER_SEC);
        CU_ASSERT_EQUAL(config->min_gap_usec, 60 * USEC_PER_SEC);
        CU_ASSERT_EQUAL(config->quiet_hours.n, 0);
        CU_ASSERT_FALSE(config->on_suspend);
        CU_ASSERT_EQUAL(config->scan.mode, SCAN_MODE_SNAPSHOT);
        CU_ASSERT_EQUAL(config->scan.max_pause_usec, 500 * USEC_PER_MSEC);
        CU_ASSERT_FALSE(config->scan.together);
        CU_ASSERT_FALSE(config->scan.careful);
        CU_ASSERT_FALSE(config->scan.cpus.chosen);
        CU_ASSERT_EQUAL(config->scan.threads, 0);
        CU_ASSERT_EQUAL(config->guests.timeout_usec, 5 * USEC_PER_SEC);
        options_free(config);
}

static void test_defaults_of_the_rest(void)
{
        struct options *config = with_defaults();
        struct sockaddr_in in;

        CU_ASSERT_STRING_EQUAL(config->history_file, "/var/lib/samepage/history.db");
        CU_ASSERT_EQUAL(config->retention_usec, 90 * DAY);
        CU_ASSERT_EQUAL_FATAL(config->metrics_address.length, sizeof(in));
        memcpy(&in, &config->metrics_address.sockaddr, sizeof(in));
        CU_ASSERT_EQUAL(ntohs(in.sin_port), 9747);
        CU_ASSERT_EQUAL(ntohl(in.sin_addr.s_addr), INADDR_LOOPBACK);
        CU_ASSERT_STRING_EQUAL(config->control_socket, "/run/samepage/control.sock");
        CU_ASSERT_STRING_EQUAL(config->control_group, "samepage");
        CU_ASSERT_STRING_EQUAL(config->runtime_dir, "/run/samepage");
        CU_ASSERT_STRING_EQUAL(config->ksm_dir, "/sys/kernel/mm/ksm");
        options_free(config);
}

#define GOOD(section, key, text) CU_ASSERT_EQUAL(set(config, section, key, text, NULL), 0)

static void test_good_values_of_guests(void)
{
        struct options *config = with_defaults();

        GOOD("guests", "libvirt_uri", "test:///default");
        CU_ASSERT_STRING_EQUAL(config->guests.libvirt_uri, "test:///default");
        GOOD("guests", "libvirt_uri", "none");
        CU_ASSERT_PTR_NULL(config->guests.libvirt_uri);
        GOOD("guests", "libvirt_monitor", "yes");
        CU_ASSERT_TRUE(config->guests.libvirt_monitor);
        GOOD("guests", "libvirt_monitor", "off");
        CU_ASSERT_FALSE(config->guests.libvirt_monitor);
        GOOD("guests", "qmp_sockets", "/run/a/*.qmp \"/run/b c/qmp\"");
        CU_ASSERT_EQUAL_FATAL(config->guests.qmp_sockets.n, 2);
        CU_ASSERT_STRING_EQUAL(config->guests.qmp_sockets.words[1], "/run/b c/qmp");
        GOOD("guests", "include", "web* db*");
        GOOD("guests", "exclude", "web9 \"db*test\"");
        CU_ASSERT_TRUE(options_take_guest(config, "web1"));
        CU_ASSERT_FALSE(options_take_guest(config, "web9"));
        CU_ASSERT_FALSE(options_take_guest(config, "db-test"));
        CU_ASSERT_FALSE(options_take_guest(config, "mail"));
        GOOD("guests", "exclude", "");
        CU_ASSERT_TRUE(options_take_guest(config, "web9"));
        GOOD("groups", "acme", "web* db1");
        GOOD("groups", "rest", "*");
        CU_ASSERT_STRING_EQUAL(groups_find(&config->merging.groups, "db1"), "acme");
        CU_ASSERT_STRING_EQUAL(groups_find(&config->merging.groups, "db2"), "rest");
        options_free(config);
}

static void test_good_values_of_schedule_and_scan(void)
{
        struct options *config = with_defaults();

        GOOD("schedule", "interval", "90s");
        CU_ASSERT_EQUAL(config->interval_usec, 90 * USEC_PER_SEC);
        GOOD("schedule", "interval", "never");
        CU_ASSERT_EQUAL(config->interval_usec, USEC_INFINITY);
        GOOD("schedule", "jitter", "0");
        CU_ASSERT_EQUAL(config->jitter_usec, 0);
        GOOD("schedule", "min_gap", "1w");
        CU_ASSERT_EQUAL(config->min_gap_usec, 7 * DAY);
        GOOD("schedule", "quiet_hours", "Mon-Fri 08:00-18:00, Sat 22:00-06:00");
        CU_ASSERT_EQUAL(config->quiet_hours.n, 2);
        GOOD("schedule", "on_suspend", "true");
        CU_ASSERT_TRUE(config->on_suspend);
        GOOD("scan", "mode", "live");
        CU_ASSERT_EQUAL(config->scan.mode, SCAN_MODE_LIVE);
        GOOD("scan", "max_pause", "1ms");
        CU_ASSERT_EQUAL(config->scan.max_pause_usec, USEC_PER_MSEC);
        GOOD("scan", "max_pause", "60s");
        CU_ASSERT_EQUAL(config->scan.max_pause_usec, 60 * USEC_PER_SEC);
        GOOD("scan", "together", "1");
        CU_ASSERT_TRUE(config->scan.together);
        GOOD("scan", "careful", "on");
        CU_ASSERT_TRUE(config->scan.careful);
        GOOD("scan", "cpus", "0-1,5");
        CU_ASSERT_TRUE(config->scan.cpus.chosen);
        CU_ASSERT_EQUAL(CPU_COUNT(&config->scan.cpus.set), 3);
        GOOD("scan", "cpus", "");
        CU_ASSERT_FALSE(config->scan.cpus.chosen);
        GOOD("scan", "threads", "1024");
        CU_ASSERT_EQUAL(config->scan.threads, 1024);
        GOOD("scan", "timeout", "1");
        CU_ASSERT_EQUAL(config->guests.timeout_usec, USEC_PER_SEC);
        options_free(config);
}

static void test_good_values_of_the_rest(void)
{
        struct options *config = with_defaults();

        GOOD("history", "file", "/x/y");
        CU_ASSERT_STRING_EQUAL(config->history_file, "/x/y");
        GOOD("history", "file", "none");
        CU_ASSERT_PTR_NULL(config->history_file);
        GOOD("history", "retention", "1min");
        CU_ASSERT_EQUAL(config->retention_usec, 60 * USEC_PER_SEC);
        GOOD("history", "retention", "0");
        CU_ASSERT_EQUAL(config->retention_usec, USEC_INFINITY);
        GOOD("history", "retention", "52w");
        GOOD("history", "retention", "forever");
        CU_ASSERT_EQUAL(config->retention_usec, USEC_INFINITY);
        GOOD("metrics", "address", "[::1]:9747");
        CU_ASSERT_EQUAL(config->metrics_address.length, sizeof(struct sockaddr_in6));
        GOOD("metrics", "address", "none");
        CU_ASSERT_EQUAL(config->metrics_address.length, 0);
        GOOD("control", "socket", "/a");
        CU_ASSERT_STRING_EQUAL(config->control_socket, "/a");
        GOOD("control", "socket", "none");
        CU_ASSERT_PTR_NULL(config->control_socket);
        GOOD("control", "group", "libvirt");
        CU_ASSERT_STRING_EQUAL(config->control_group, "libvirt");
        GOOD("paths", "runtime_dir", "/b");
        CU_ASSERT_STRING_EQUAL(config->runtime_dir, "/b");
        GOOD("paths", "ksm_dir", "/c");
        CU_ASSERT_STRING_EQUAL(config->ksm_dir, "/c");
        options_free(config);
}

#define LONG_32  "/2345678901234567890123456789012"
#define LONG_128 LONG_32 LONG_32 LONG_32 LONG_32

/* What is refused, and a part of the sentence, which says what is allowed. */
static const struct {
        const char *section;
        const char *key;
        const char *text;
        const char *said;
} bad_values[] = {
        {"guests", "libvirt_uri", "", "a text"},
        {"guests", "libvirt_uri", "\"qemu:///system\"", "without quotes"},
        {"guests", "libvirt_monitor", "maybe", "yes or no"},
        {"guests", "libvirt_monitor", "", "yes or no"},
        {"guests", "libvirt_monitor", "none", "yes or no"},
        {"guests", "qmp_sockets", "a.qmp", "does not begin with"},
        {"guests", "qmp_sockets", "/a b", "\"b\" does not begin with"},
        {"guests", "qmp_sockets", "\"/a", "not closed"},
        {"guests", "include", "", "a list of patterns"},
        {"guests", "include", "a, b", "without commas"},
        {"guests", "exclude", "\"", "not closed"},
        {"groups", "acme", "a\"", "a quote inside"},
        {"schedule", "interval", "0", "from 1s to 365d, or never"},
        {"schedule", "interval", "999ms", "from 1s to 365d, or never"},
        {"schedule", "interval", "366d", "from 1s to 365d, or never"},
        {"schedule", "interval", "hourly", "units us, ms, s, min, h, d, w"},
        {"schedule", "interval", "99999999999999999999h", "from 1s to 365d, or never"},
        {"schedule", "interval", "", "from 1s to 365d, or never"},
        {"schedule", "interval", "Never", "or never"},
        {"schedule", "interval", "never ever", "or never"},
        {"schedule", "jitter", "8d", "from 0 to 1w"},
        {"schedule", "jitter", "never", "from 0 to 1w"},
        {"schedule", "min_gap", "-1s", "from 0 to 1w"},
        {"schedule", "quiet_hours", "8-9", "like 22:00-06:00"},
        {"schedule", "quiet_hours", "Someday 08:00-09:00", "no weekday"},
        {"schedule", "on_suspend", "2", "yes or no"},
        {"scan", "mode", "fast", "snapshot, sliced or live"},
        {"scan", "mode", "", "snapshot, sliced or live"},
        {"scan", "max_pause", "0", "from 1ms to 1min"},
        {"scan", "max_pause", "999us", "from 1ms to 1min"},
        {"scan", "max_pause", "61s", "from 1ms to 1min"},
        {"scan", "max_pause", "500", "\"500\" has no unit: write 500ms, or 500s"},
        {"scan", "max_pause", "5", "has no unit: write 5ms"},
        {"scan", "max_pause", "500 m", "from 1ms to 1min"},
        {"scan", "together", "YES", "yes or no"},
        {"scan", "careful", "y", "yes or no"},
        {"scan", "cpus", "3-1", "no list of CPUs"},
        {"scan", "cpus", "a", "no list of CPUs"},
        {"scan", "threads", "-1", "a whole number from 0 to 1024"},
        {"scan", "threads", "1025", "a whole number from 0 to 1024"},
        {"scan", "threads", "1.0", "a whole number from 0 to 1024"},
        {"scan", "threads", "all", "a whole number from 0 to 1024"},
        {"scan", "threads", "18446744073709551617", "a whole number from 0 to 1024"},
        {"scan", "threads", "4294967297", "a whole number from 0 to 1024"},
        {"scan", "timeout", "0", "from 1s to 1h"},
        {"scan", "timeout", "61min", "from 1s to 1h"},
        {"history", "file", "history.db", "begins with \"/\", or none"},
        {"history", "file", "", "begins with \"/\", or none"},
        {"history", "retention", "59s", "from 1min to 5250w, or forever|0"},
        {"history", "retention", "5251w", "from 1min to 5250w, or forever|0"},
        {"history", "retention", "never", "or forever|0"},
        {"history", "retention", "forever|0", "or forever|0"},
        {"metrics", "address", "localhost:9747", "an IP address and a port"},
        {"metrics", "address", "127.0.0.1", "an IP address and a port"},
        {"metrics", "address", "::1:9747", "[::1]:9747, or none"},
        {"control", "socket", "control.sock", "begins with \"/\""},
        {"control", "socket", LONG_128, "at most 107 bytes"},
        {"control", "group", "", "a text"},
        {"paths", "runtime_dir", "none", "begins with \"/\""},
        {"paths", "ksm_dir", "", "begins with \"/\""},
};

static void test_bad_values(void)
{
        struct options *config = with_defaults();

        for (size_t i = 0; i < sizeof(bad_values) / sizeof(bad_values[0]); i++) {
                struct failure failure = {0};

                CU_ASSERT_EQUAL(
                        set(config, bad_values[i].section, bad_values[i].key, bad_values[i].text, &failure),
                        -EINVAL);
                CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, bad_values[i].said));
                if (!strstr(failure.text, bad_values[i].said))
                        printf("\n  %s: %s\n", bad_values[i].key, failure.text);
        }
        /* And nothing has changed. */
        CU_ASSERT_STRING_EQUAL(config->guests.libvirt_uri, "auto");
        CU_ASSERT_EQUAL(config->interval_usec, HOUR);
        CU_ASSERT_EQUAL(config->guests.include.n, 1);
        CU_ASSERT_STRING_EQUAL(config->control_socket, "/run/samepage/control.sock");
        options_free(config);
}

/* Every option that is not looked at elsewhere too: an empty value is refused unless the row allows it. */
static void test_empty_values(void)
{
        struct options *config = with_defaults();

        for (const struct option_row *row = options_table; row->type; row++)
                if (row->section)
                        CU_ASSERT_EQUAL(options_set_key(config, row, "any", "", NULL),
                                        row->flags & OPTION_MAY_BE_EMPTY ? 0 : -EINVAL);
        options_free(config);
}

static void test_free_takes_nothing(void)
{
        CU_ASSERT_PTR_NULL(options_free(NULL));
}

static const struct unit_test tests[] = {
        {"every row is complete", test_every_row_is_complete},
        {"sections stand together", test_sections_stand_together},
        {"defaults of guests", test_defaults_of_guests},
        {"defaults of scans", test_defaults_of_scans},
        {"defaults of the rest", test_defaults_of_the_rest},
        {"good values of guests", test_good_values_of_guests},
        {"good values of schedule and scan", test_good_values_of_schedule_and_scan},
        {"good values of the rest", test_good_values_of_the_rest},
        {"bad values", test_bad_values},
        {"empty values", test_empty_values},
        {"free takes NULL", test_free_takes_nothing},
};

UNIT_MAIN("config", tests)
