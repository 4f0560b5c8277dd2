/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is put into the history comes out of it. The figures are computed by hand. */
#include "made_reports.h"

#include <sys/stat.h>

static struct made_folder folder;

/* Three scans, an hour apart; 1767225600 is 2026-01-01T00:00:00Z. */
#define FIRST 1767225600U

static void add_three(struct history *history)
{
        static struct made_report made;

        made_report_init(&made, "a", "2026-01-01T00:00:00Z");
        made_report_add(&made, "web1", 100, 0.010)->uuid = (char[]){"11111111-old"};
        made_report_add(&made, "db", 1000, 0.200)->uuid = (char[]){""};
        made.report.total = made_figures(1100);
        CU_ASSERT_EQUAL(made_keep(history, &made.report, NULL), 0);

        made_report_init(&made, "b", "2026-01-01T01:00:00Z");
        made_report_add(&made, "web1", 201, 0.030)->uuid = (char[]){"11111111-new"};
        made_report_add_failed(&made, "db", "QEMU does not answer");
        made.report.mode = SCAN_MODE_SLICED;
        made.report.duration_seconds = 4.25;
        made.report.total = made_figures(201);
        CU_ASSERT_EQUAL(made_keep(history, &made.report, NULL), 0);

        /* What is merged is not known here, hence no gap. */
        made_report_init(&made, "c", "2026-01-01T02:00:00Z");
        made_report_add(&made, "web1", 150, REPORT_UNKNOWN)->figures.actual_saved_bytes = REPORT_UNKNOWN;
        made.report.mode = SCAN_MODE_LIVE;
        made.report.gap_bytes = REPORT_UNKNOWN;
        made.report.n_reasons = 0;
        made.report.total = made_figures(150);
        made.report.total.actual_saved_bytes = REPORT_UNKNOWN;
        CU_ASSERT_EQUAL(made_keep(history, &made.report, NULL), 0);
}

static struct json_object *query(struct history *history, const struct history_filter *filter)
{
        struct json_object *json = NULL;
        struct failure failure = {0};

        CU_ASSERT_EQUAL_FATAL(history_query(history, filter, &json, &failure), 0);
        CU_ASSERT_STRING_EQUAL(made_text(json, "schema"), "samepage.history.v1");
        return json;
}

static void test_scans_of_the_host(void)
{
        struct history *history = NULL;
        struct json_object *json = NULL;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        add_three(history);
        json = query(history, &(struct history_filter){0});
        CU_ASSERT_TRUE(made_is_null(json, "guest"));
        CU_ASSERT_STRING_EQUAL(made_text(json, "scans/0/id"), "c");
        CU_ASSERT_STRING_EQUAL(made_text(json, "scans/1/id"), "b");
        CU_ASSERT_STRING_EQUAL(made_text(json, "scans/2/id"), "a");
        CU_ASSERT_PTR_NULL(made_find(json, "scans/3"));
        CU_ASSERT_STRING_EQUAL(made_text(json, "scans/1/started"), "2026-01-01T01:00:00Z");
        CU_ASSERT_STRING_EQUAL(made_text(json, "scans/1/mode"), "sliced");
        CU_ASSERT_FALSE(json_object_get_boolean(made_find(json, "scans/1/complete")));
        CU_ASSERT_TRUE(json_object_get_boolean(made_find(json, "scans/2/complete")));
        CU_ASSERT_TRUE(made_is_seconds(json, "scans/1/duration_seconds", 4.25));
        CU_ASSERT_EQUAL(made_number(json, "scans/1/guests"), 2);
        CU_ASSERT_EQUAL(made_number(json, "scans/1/failed"), 1);
        CU_ASSERT_EQUAL(made_number(json, "scans/2/present_bytes"), 11000);
        CU_ASSERT_EQUAL(made_number(json, "scans/2/zero_bytes"), 2200);
        CU_ASSERT_EQUAL(made_number(json, "scans/2/self_sharing_bytes"), 3300);
        CU_ASSERT_EQUAL(made_number(json, "scans/2/inter_sharing_bytes"), 4400);
        CU_ASSERT_EQUAL(made_number(json, "scans/2/saved_bytes"), 1100);
        CU_ASSERT_EQUAL(made_number(json, "scans/2/gap_bytes"), 6600);
        CU_ASSERT_TRUE(made_is_seconds(json, "scans/2/pause_seconds", 0.210));
        CU_ASSERT_TRUE(made_is_seconds(json, "scans/2/longest_pause_seconds", 0.200));
        CU_ASSERT_TRUE(made_is_null(json, "scans/0/saved_bytes"));
        CU_ASSERT_TRUE(made_is_null(json, "scans/0/gap_bytes"));
        CU_ASSERT_TRUE(made_is_null(json, "scans/0/pause_seconds"));
        CU_ASSERT_TRUE(made_is_null(json, "scans/0/longest_pause_seconds"));
        json_object_put(json);
        history_free(history);
        made_folder_deinit(&folder);
}

static void test_summary_of_the_host(void)
{
        struct history *history = NULL;
        struct json_object *json = NULL;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        add_three(history);
        /* The list is cut short, the summary is not. */
        json = query(history, &(struct history_filter){.limit = 1});
        CU_ASSERT_PTR_NULL(made_find(json, "scans/1"));
        CU_ASSERT_EQUAL(made_number(json, "summary/scans"), 3);
        CU_ASSERT_EQUAL(made_number(json, "summary/incomplete"), 1);
        CU_ASSERT_STRING_EQUAL(made_text(json, "summary/since"), "2026-01-01T00:00:00Z");
        CU_ASSERT_STRING_EQUAL(made_text(json, "summary/until"), "2026-01-01T02:00:00Z");
        /* Bases 1100, 201, 150: 1451 together, 483.67 on average. */
        CU_ASSERT_EQUAL(made_number(json, "summary/host/present_bytes/min"), 1500);
        CU_ASSERT_EQUAL(made_number(json, "summary/host/present_bytes/avg"), 4837);
        CU_ASSERT_EQUAL(made_number(json, "summary/host/present_bytes/max"), 11000);
        CU_ASSERT_EQUAL(made_number(json, "summary/host/zero_bytes/avg"), 967);
        CU_ASSERT_EQUAL(made_number(json, "summary/host/self_sharing_bytes/avg"), 1451);
        CU_ASSERT_EQUAL(made_number(json, "summary/host/inter_sharing_bytes/avg"), 1935);
        /* Known of the first two only: 1100 and 201. */
        CU_ASSERT_EQUAL(made_number(json, "summary/host/saved_bytes/min"), 201);
        CU_ASSERT_EQUAL(made_number(json, "summary/host/saved_bytes/avg"), 651);
        CU_ASSERT_EQUAL(made_number(json, "summary/host/saved_bytes/max"), 1100);
        CU_ASSERT_EQUAL(made_number(json, "summary/host/gap_bytes/min"), 1206);
        CU_ASSERT_EQUAL(made_number(json, "summary/host/gap_bytes/avg"), 3903);
        CU_ASSERT_EQUAL(made_number(json, "summary/host/gap_bytes/max"), 6600);
        CU_ASSERT_TRUE(made_is_seconds(json, "summary/host/pause_seconds/min", 0.030));
        CU_ASSERT_TRUE(made_is_seconds(json, "summary/host/pause_seconds/avg", 0.120));
        CU_ASSERT_TRUE(made_is_seconds(json, "summary/host/pause_seconds/max", 0.210));
        CU_ASSERT_TRUE(made_is_seconds(json, "summary/host/duration_seconds/min", 1.5));
        CU_ASSERT_TRUE(made_is_seconds(json, "summary/host/duration_seconds/avg", 7.25 / 3));
        CU_ASSERT_TRUE(made_is_seconds(json, "summary/host/duration_seconds/max", 4.25));
        json_object_put(json);
        history_free(history);
        made_folder_deinit(&folder);
}

static void test_summary_of_the_guests(void)
{
        struct history *history = NULL;
        struct json_object *json = NULL;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        add_three(history);
        json = query(history, &(struct history_filter){0});
        CU_ASSERT_STRING_EQUAL(made_text(json, "summary/guests/0/name"), "db");
        CU_ASSERT_TRUE(made_is_null(json, "summary/guests/0/uuid"));
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/0/scans"), 2);
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/0/failed"), 1);
        /* The scan that failed is not one of 0 bytes. */
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/0/zero_bytes/min"), 2000);
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/0/gap_bytes/min"), 6000);
        CU_ASSERT_TRUE(made_is_seconds(json, "summary/guests/0/pause_seconds/min", 0.200));
        CU_ASSERT_STRING_EQUAL(made_text(json, "summary/guests/1/name"), "web1");
        CU_ASSERT_STRING_EQUAL(made_text(json, "summary/guests/1/uuid"), "11111111-new");
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/1/scans"), 3);
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/1/failed"), 0);
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/1/present_bytes/min"), 1000);
        /* 100, 201 and 150: 451 together, 150.33 on average. */
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/1/present_bytes/avg"), 1503);
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/1/present_bytes/max"), 2010);
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/1/gap_bytes/avg"), 903);
        CU_ASSERT_TRUE(made_is_seconds(json, "summary/guests/1/pause_seconds/avg", 0.020));
        CU_ASSERT_PTR_NULL(made_find(json, "summary/guests/2"));
        CU_ASSERT_FALSE(json_object_get_boolean(made_find(json, "summary/more_guests")));
        json_object_put(json);
        history_free(history);
        made_folder_deinit(&folder);
}

static void test_one_guest(void)
{
        struct history *history = NULL;
        struct json_object *json = NULL;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        add_three(history);
        json = query(history, &(struct history_filter){.guest = "db"});
        CU_ASSERT_STRING_EQUAL(made_text(json, "guest"), "db");
        CU_ASSERT_STRING_EQUAL(made_text(json, "scans/0/id"), "b");
        CU_ASSERT_EQUAL(made_number(json, "scans/0/guests"), 1);
        CU_ASSERT_EQUAL(made_number(json, "scans/0/failed"), 1);
        CU_ASSERT_STRING_EQUAL(made_text(json, "scans/0/error"), "QEMU does not answer");
        CU_ASSERT_TRUE(made_is_null(json, "scans/0/present_bytes"));
        CU_ASSERT_TRUE(made_is_null(json, "scans/0/gap_bytes"));
        CU_ASSERT_STRING_EQUAL(made_text(json, "scans/1/id"), "a");
        CU_ASSERT_EQUAL(made_number(json, "scans/1/present_bytes"), 10000);
        CU_ASSERT_TRUE(made_is_null(json, "scans/1/error"));
        CU_ASSERT_EQUAL(made_number(json, "scans/1/gap_bytes"), 6000);
        CU_ASSERT_TRUE(made_is_seconds(json, "scans/1/pause_seconds", 0.200));
        CU_ASSERT_PTR_NULL(made_find(json, "scans/2"));
        CU_ASSERT_EQUAL(made_number(json, "summary/scans"), 2);
        /* The host in the scans that had this guest: bases 1100 and 201. */
        CU_ASSERT_EQUAL(made_number(json, "summary/host/zero_bytes/min"), 402);
        CU_ASSERT_STRING_EQUAL(made_text(json, "summary/guests/0/name"), "db");
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/0/present_bytes/max"), 10000);
        CU_ASSERT_PTR_NULL(made_find(json, "summary/guests/1"));
        json_object_put(json);
        json = query(history, &(struct history_filter){.guest = "d"});
        CU_ASSERT_EQUAL(made_number(json, "summary/scans"), 0);
        CU_ASSERT_PTR_NULL(made_find(json, "scans/0"));
        CU_ASSERT_TRUE(made_is_null(json, "summary/since"));
        CU_ASSERT_TRUE(made_is_null(json, "summary/host/zero_bytes/avg"));
        json_object_put(json);
        history_free(history);
        made_folder_deinit(&folder);
}

/* Two guests of one name: the second is refused by the scan, and is not a scan more of the first. */
static void test_guest_met_twice(void)
{
        static struct made_report made;
        struct history *history = NULL;
        struct json_object *json = NULL;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        made_report_init(&made, "a", "2026-01-01T00:00:00Z");
        made_report_add_failed(&made, "web1", "gone");
        (void)made_report_add(&made, "web1", 100, 0.010);
        made_report_add_failed(&made, "web1", "a second guest of this name");
        made_report_add_failed(&made, "lost", "first");
        made_report_add_failed(&made, "lost", "second");
        CU_ASSERT_EQUAL(made_keep(history, &made.report, NULL), 0);
        json = query(history, &(struct history_filter){.guest = "web1"});
        CU_ASSERT_EQUAL(made_number(json, "scans/0/present_bytes"), 1000);
        CU_ASSERT_PTR_NULL(made_find(json, "scans/1"));
        CU_ASSERT_EQUAL(made_number(json, "summary/scans"), 1);
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/0/scans"), 1);
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/0/failed"), 2);
        json_object_put(json);
        json = query(history, &(struct history_filter){.guest = "lost"});
        CU_ASSERT_STRING_EQUAL(made_text(json, "scans/0/error"), "first");
        CU_ASSERT_PTR_NULL(made_find(json, "scans/1"));
        json_object_put(json);
        history_free(history);
        made_folder_deinit(&folder);
}

static void test_more_guests_than_are_listed(void)
{
        static struct made_report made;
        struct history *history = NULL;
        struct json_object *json = NULL;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        for (int guest = 0; guest <= HISTORY_MAX_GUESTS; guest++) {
                char text[16] = "";

                (void)snprintf(text, sizeof(text), "%d", guest);
                if (guest % MADE_MAX_GUESTS == 0)
                        made_report_init(&made, text, "2026-01-01T00:00:00Z");
                (void)made_report_add(&made, text, 1, 0.010);
                if (guest == HISTORY_MAX_GUESTS || (guest + 1) % MADE_MAX_GUESTS == 0)
                        CU_ASSERT_EQUAL(made_keep(history, &made.report, NULL), 0);
        }
        json = query(history, &(struct history_filter){0});
        CU_ASSERT_EQUAL(json_object_array_length(made_find(json, "summary/guests")), HISTORY_MAX_GUESTS);
        CU_ASSERT_TRUE(json_object_get_boolean(made_find(json, "summary/more_guests")));
        json_object_put(json);
        history_free(history);
        made_folder_deinit(&folder);
}

static void expect_ids(struct history *history, struct history_filter filter, const char *newest, int64_t n)
{
        struct json_object *json = query(history, &filter);

        CU_ASSERT_EQUAL(made_number(json, "summary/scans"), n);
        CU_ASSERT_EQUAL((int64_t)json_object_array_length(made_find(json, "scans")), n);
        CU_ASSERT_STRING_EQUAL(made_text(json, "scans/0/id"), newest);
        json_object_put(json);
}

/* From the first second on, up to the last one, which is not in it. */
static void test_period(void)
{
        struct history *history = NULL;
        struct json_object *json = NULL;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        add_three(history);
        expect_ids(history, (struct history_filter){.since = FIRST}, "c", 3);
        expect_ids(history, (struct history_filter){.since = FIRST + 1}, "c", 2);
        expect_ids(history, (struct history_filter){.since = FIRST + 7200}, "c", 1);
        expect_ids(history, (struct history_filter){.since = FIRST + 7201}, "(none)", 0);
        expect_ids(history, (struct history_filter){.until = FIRST}, "(none)", 0);
        expect_ids(history, (struct history_filter){.until = FIRST + 1}, "a", 1);
        expect_ids(history, (struct history_filter){.since = 1, .until = FIRST + 7200}, "b", 2);
        expect_ids(history, (struct history_filter){.guest = "db", .since = FIRST + 1}, "b", 1);
        expect_ids(history, (struct history_filter){.guest = "db", .until = FIRST + 1}, "a", 1);
        expect_ids(history, (struct history_filter){.since = UINT64_MAX, .until = UINT64_MAX}, "(none)", 0);
        expect_ids(history, (struct history_filter){.until = UINT64_MAX, .limit = UINT32_MAX}, "c", 3);
        json = query(history, &(struct history_filter){.since = FIRST - 3600, .until = FIRST + 3600});
        CU_ASSERT_STRING_EQUAL(made_text(json, "summary/since"), "2025-12-31T23:00:00Z");
        CU_ASSERT_STRING_EQUAL(made_text(json, "summary/until"), "2026-01-01T01:00:00Z");
        json_object_put(json);
        history_free(history);
        made_folder_deinit(&folder);
}

/* A scan that reached nobody is there, without figures: nothing was measured to be 0. */
static void test_scan_without_figures(void)
{
        static struct made_report made;
        struct history *history = NULL;
        struct json_object *json = NULL;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        made_report_init(&made, "a", "2026-01-01T00:00:00Z");
        made_report_add_failed(&made, "web1", "gone");
        CU_ASSERT_EQUAL(made_keep(history, &made.report, NULL), 0);
        made_report_init(&made, "b", "2026-01-01T01:00:00Z");
        CU_ASSERT_EQUAL(made_keep(history, &made.report, NULL), 0);
        json = query(history, &(struct history_filter){0});
        CU_ASSERT_TRUE(made_is_null(json, "scans/1/present_bytes"));
        CU_ASSERT_TRUE(made_is_null(json, "scans/1/gap_bytes"));
        CU_ASSERT_EQUAL(made_number(json, "scans/0/present_bytes"), 0);
        CU_ASSERT_EQUAL(made_number(json, "scans/0/guests"), 0);
        json_object_put(json);
        history_free(history);
        made_folder_deinit(&folder);
}

/* A scan that a part of the guests is missing from counts, and its sums take no part in those of the host. */
static void test_silent_source(void)
{
        static struct made_report made;
        struct history *history = NULL;
        struct json_object *json = NULL;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        add_three(history);
        made_report_init(&made, "d", "2026-01-01T12:00:00Z");
        (void)made_report_add(&made, "web1", 1, 0.1);
        made_report_add_failed(&made, "qemu:///system", "it does not answer");
        made.report.silent_via = REPORT_VIA_LIBVIRT;
        json = query(history, &(struct history_filter){0});
        const int64_t least = made_number(json, "summary/host/present_bytes/min");
        json_object_put(json);
        CU_ASSERT_EQUAL(made_keep(history, &made.report, NULL), 0);
        json = query(history, &(struct history_filter){0});
        CU_ASSERT_STRING_EQUAL(made_text(json, "scans/0/id"), "d");
        CU_ASSERT_TRUE(made_is_null(json, "scans/0/present_bytes"));
        CU_ASSERT_EQUAL(made_number(json, "scans/0/failed"), 1);
        CU_ASSERT_EQUAL(made_number(json, "summary/host/present_bytes/min"), least);
        CU_ASSERT_EQUAL(made_number(json, "summary/scans"), 4);
        json_object_put(json);
        history_free(history);
        made_folder_deinit(&folder);
}

/* Names that are SQL, JSON, or something for the terminal. */
static void test_names_of_any_kind(void)
{
        static const char *const names[] = {
                "'; DROP TABLE scan; --",
                "\"quoted\" \\ and %s %n",
                "two\nlines\tand\rmore",
                "\x1b[31mred\x1b[0m\x07",
                "Gr\303\274\303\237e \360\237\220\247",
                "{\"json\":[null]}",
        };
        static struct made_report made;
        struct history *history = NULL;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        made_report_init(&made, "'\"\n\x1b", "2026-01-01T00:00:00Z");
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                (void)made_report_add(&made, names[i], (int64_t)i + 1, 0.1);
        CU_ASSERT_EQUAL(made_keep(history, &made.report, NULL), 0);
        history_free(history);
        history = made_open(folder.path, HISTORY_READ_ONLY);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                struct json_object *json = query(history, &(struct history_filter){.guest = names[i]});
                struct json_object *again = json_tokener_parse(json_object_to_json_string(json));

                CU_ASSERT_STRING_EQUAL(made_text(again, "guest"), names[i]);
                CU_ASSERT_STRING_EQUAL(made_text(again, "summary/guests/0/name"), names[i]);
                CU_ASSERT_STRING_EQUAL(made_text(again, "scans/0/id"), "'\"\n\x1b");
                CU_ASSERT_EQUAL(made_number(again, "scans/0/zero_bytes"), 2 * ((int64_t)i + 1));
                json_object_put(again);
                json_object_put(json);
        }
        history_free(history);
        made_folder_deinit(&folder);
}

static void test_one_report(void)
{
        struct history *history = NULL;
        struct json_object *json = NULL;
        struct failure failure = {0};

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        add_three(history);
        CU_ASSERT_EQUAL_FATAL(history_get(history, "b", &json, &failure), 0);
        CU_ASSERT_STRING_EQUAL(made_text(json, "schema"), "samepage.scan.v1");
        CU_ASSERT_STRING_EQUAL(made_text(json, "scan/id"), "b");
        CU_ASSERT_STRING_EQUAL(made_text(json, "guests/1/error"), "QEMU does not answer");
        CU_ASSERT_EQUAL(made_number(json, "guests/0/distinct_bytes"), 1005);
        CU_ASSERT_STRING_EQUAL(made_text(json, "gap/reasons/0/reason"), "ksm-off");
        json_object_put(json);
        CU_ASSERT_EQUAL(history_get(history, "B", &json, &failure), -ENOENT);
        CU_ASSERT_STRING_EQUAL(failure.text, "the history has no scan \"B\"");
        CU_ASSERT_EQUAL(history_get(history, "", &json, &failure), -ENOENT);
        history_free(history);
        made_folder_deinit(&folder);
}

static void test_reports_that_are_refused(void)
{
        static const char *const no_times[] = {"", "yesterday", "2026-01-01T00:00:00", "1960-01-01T00:00:00Z",
                                               "2026-01-01T00:00:00Z2"};
        struct history *history = NULL;
        struct failure failure = {0};

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-01T00:00:00Z", 1, &failure), 0);
        CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-02T00:00:00Z", 1, &failure), -EEXIST);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "has a scan \"a\" already"));
        for (size_t i = 0; i < ARRAY_SIZE(no_times); i++)
                CU_ASSERT_EQUAL(made_add(history, "b", no_times[i], 1, &failure), -EINVAL);
        CU_ASSERT_EQUAL(made_add(history, "", "2026-01-02T00:00:00Z", 1, &failure), -EINVAL);
        CU_ASSERT_EQUAL(made_count(history), 1);
        CU_ASSERT_EQUAL(made_add(history, "b", "2026-01-02T00:00:00Z", 1, &failure), 0);
        CU_ASSERT_EQUAL(made_count(history), 2);
        history_free(history);
        made_folder_deinit(&folder);
}

static int mode_of(const char *path)
{
        struct stat status = {0};

        return stat(path, &status) == 0 ? (int)(status.st_mode & 07777) : -1;
}

/* Whatever the umask says; and a file that was closed in order leaves nothing beside it. */
static void test_modes(void)
{
        struct made_folder below;
        struct history *history = NULL;
        const mode_t mask = umask(0077);

        made_folder_init(&folder);
        (void)snprintf(below.folder, sizeof(below.folder), "%.200s/new?#%%41", folder.folder);
        (void)snprintf(below.path, sizeof(below.path), "%.300s/history ?mode=ro&.db", below.folder);
        history = made_open(below.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-01T00:00:00Z", 1, NULL), 0);
        CU_ASSERT_EQUAL(mode_of(below.folder), 0750);
        CU_ASSERT_EQUAL(mode_of(below.path), 0640);
        history_free(history);
        CU_ASSERT_EQUAL(made_folder_count(&below, "", NULL), 1);
        history = made_open(below.path, HISTORY_READ_ONLY);
        CU_ASSERT_EQUAL(made_count(history), 1);
        CU_ASSERT_EQUAL(made_folder_count(&below, "", NULL), 1);
        history_free(history);
        (void)umask(mask);
        made_folder_deinit(&below);
        made_folder_deinit(&folder);
}

static void test_reader_changes_nothing(void)
{
        struct history *history = NULL;
        struct failure failure = {0};

        made_folder_init(&folder);
        CU_ASSERT_EQUAL(history_open(folder.path, HISTORY_READ_ONLY, &history, &failure), -ENOENT);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "there is no history"));
        CU_ASSERT_EQUAL(made_folder_count(&folder, "", NULL), 0);
        history_free(made_open(folder.path, HISTORY_READ_WRITE));
        history = made_open(folder.path, HISTORY_READ_ONLY);
        CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-01T00:00:00Z", 1, &failure), -EROFS);
        CU_ASSERT_NOT_EQUAL(failure.text[0], '\0');
        CU_ASSERT_EQUAL(history_forget(history, UINT64_MAX, &failure), -EROFS);
        CU_ASSERT_EQUAL(made_count(history), 0);
        history_free(history);
        history_free(NULL);
        made_folder_deinit(&folder);
}

static const struct unit_test tests[] = {
        {"scans of the host", test_scans_of_the_host},
        {"summary of the host", test_summary_of_the_host},
        {"summary of the guests", test_summary_of_the_guests},
        {"one guest", test_one_guest},
        {"a guest met twice", test_guest_met_twice},
        {"more guests than are listed", test_more_guests_than_are_listed},
        {"period", test_period},
        {"a scan without figures", test_scan_without_figures},
        {"a source that was silent", test_silent_source},
        {"names of any kind", test_names_of_any_kind},
        {"one report", test_one_report},
        {"reports that are refused", test_reports_that_are_refused},
        {"modes", test_modes},
        {"a reader changes nothing", test_reader_changes_nothing},
};

UNIT_MAIN("history", tests)
