/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A history as it is after months: many reports, retention, and readers while it is written. */
#include "made_reports.h"

#include "history/history_internal.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <time.h>

/* 2026-01-01T00:00:00Z, and the time between two scans. */
#define FIRST    1767225600U
#define INTERVAL 600U

/* With their guests more rows than are sorted in memory; what retention leaves is less. */
#define N_REPORTS 2000
#define N_GUESTS  5

static struct made_folder folder;

/* The figures of guest g in scan i: a number that the sums below can be told from by formula. */
static int64_t base_of(unsigned int i, unsigned int g)
{
        return 1000 * (int64_t)(g + 1) + i;
}

static int add_numbered(struct history *history, unsigned int i, struct failure *failure)
{
        static struct made_report made;
        const time_t when = FIRST + (time_t)INTERVAL * i;
        struct tm utc = {0};
        char id[16] = "";
        char started[32] = "";
        int64_t total = 0;

        (void)snprintf(id, sizeof(id), "n%u", i);
        (void)gmtime_r(&when, &utc);
        (void)strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", &utc);
        made_report_init(&made, id, started);
        for (unsigned int g = 0; g < N_GUESTS; g++) {
                char name[16] = "";

                (void)snprintf(name, sizeof(name), "guest%u", g);
                (void)made_report_add(&made, name, base_of(i, g), 0.001 * g);
                total += base_of(i, g);
        }
        made.report.total = made_figures(total);
        return made_keep(history, &made.report, failure);
}

static void expect_sums(struct json_object *json, unsigned int first, unsigned int n)
{
        const unsigned int last = first + n - 1;

        CU_ASSERT_EQUAL(made_number(json, "summary/scans"), n);
        /* The five guests of scan i have 15000 + 5i together; present is ten times that. */
        CU_ASSERT_EQUAL(made_number(json, "summary/host/present_bytes/min"), 150000 + 50 * (int64_t)first);
        CU_ASSERT_EQUAL(made_number(json, "summary/host/present_bytes/max"), 150000 + 50 * (int64_t)last);
        CU_ASSERT_EQUAL(made_number(json, "summary/host/present_bytes/avg"),
                        150000 + 25 * (int64_t)(first + last));
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/3/scans"), n);
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/3/saved_bytes/min"), 4000 + (int64_t)first);
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/3/saved_bytes/max"), 4000 + (int64_t)last);
        CU_ASSERT_EQUAL(made_number(json, "summary/guests/3/zero_bytes/avg"), 8000 + (int64_t)(first + last));
}

static long long size_of(const char *path)
{
        struct stat status = {0};

        return stat(path, &status) == 0 ? (long long)status.st_size : -1;
}

static uint64_t time_of(unsigned int i)
{
        return FIRST + (uint64_t)INTERVAL * i;
}

static void forget_all_of(struct history *history, uint64_t older_than)
{
        for (int i = 0; i < 100; i++)
                CU_ASSERT_EQUAL(history_forget(history, older_than, NULL), 0);
}

static void test_many_reports(void)
{
        struct history *history = NULL;
        struct json_object *json = NULL;
        struct failure failure = {0};
        long long full = 0;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        for (unsigned int i = 0; i < N_REPORTS; i++)
                CU_ASSERT_EQUAL_FATAL(add_numbered(history, i, &failure), 0);
        CU_ASSERT_EQUAL_FATAL(history_query(history, &(struct history_filter){.limit = 99999}, &json, NULL),
                              0);
        expect_sums(json, 0, N_REPORTS);
        CU_ASSERT_EQUAL(json_object_array_length(made_find(json, "scans")), HISTORY_MAX_SCANS);
        json_object_put(json);
        CU_ASSERT_EQUAL(history_query(history, &(struct history_filter){0}, &json, NULL), 0);
        CU_ASSERT_EQUAL(json_object_array_length(made_find(json, "scans")), HISTORY_DEFAULT_SCANS);
        json_object_put(json);

        /* Retention: exactly those that began before, and the file becomes smaller. */
        full = size_of(folder.path);
        CU_ASSERT_EQUAL(history_forget(history, FIRST, &failure), 0);
        CU_ASSERT_EQUAL(made_count(history), N_REPORTS);
        forget_all_of(history, time_of(1500));
        CU_ASSERT_EQUAL_FATAL(history_query(history, &(struct history_filter){0}, &json, NULL), 0);
        expect_sums(json, 1500, 500);
        json_object_put(json);
        CU_ASSERT_EQUAL(history_get(history, "n1499", &json, NULL), -ENOENT);
        CU_ASSERT_EQUAL(history_get(history, "n1500", &json, NULL), 0);
        json_object_put(json);
        CU_ASSERT_TRUE(size_of(folder.path) < full / 3);
        forget_all_of(history, UINT64_MAX);
        CU_ASSERT_EQUAL(made_count(history), 0);
        CU_ASSERT_TRUE(size_of(folder.path) < full / 20);
        history_free(history);
        made_folder_deinit(&folder);
}

/* No table keeps what the others have lost. */
static void test_nothing_is_left_over(void)
{
        static const char *const sql[] = {"SELECT count(*) FROM scan", "SELECT count(*) FROM guest",
                                          "SELECT count(*) FROM report"};
        static const int expected[] = {70, 70 * N_GUESTS, 70};
        struct history *history = NULL;
        sqlite3 *db = NULL;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        for (unsigned int i = 0; i < 200; i++)
                CU_ASSERT_EQUAL_FATAL(add_numbered(history, i, NULL), 0);
        CU_ASSERT_EQUAL(history_forget(history, time_of(130), NULL), 0);
        history_free(history);
        CU_ASSERT_EQUAL_FATAL(sqlite3_open(folder.path, &db), SQLITE_OK);
        for (size_t i = 0; i < ARRAY_SIZE(sql); i++) {
                sqlite3_stmt *statement = NULL;

                CU_ASSERT_EQUAL(sqlite3_prepare_v2(db, sql[i], -1, &statement, NULL), SQLITE_OK);
                CU_ASSERT_EQUAL(sqlite3_step(statement), SQLITE_ROW);
                CU_ASSERT_EQUAL(sqlite3_column_int(statement, 0), expected[i]);
                (void)sqlite3_finalize(statement);
        }
        (void)sqlite3_close(db);
        made_folder_deinit(&folder);
}

/* One turn of what a service does; @i goes on for ever, and 50 scans are kept. */
static void take_a_turn(struct history *history, unsigned int i)
{
        struct json_object *json = NULL;

        CU_ASSERT_EQUAL(add_numbered(history, i, NULL), 0);
        CU_ASSERT_EQUAL(history_query(history, &(struct history_filter){.guest = "guest1"}, &json, NULL), 0);
        json_object_put(json);
        CU_ASSERT_EQUAL(history_forget(history, i > 50 ? time_of(i - 50) : 0, NULL), 0);
}

static void test_memory_stays(void)
{
        struct history *history = NULL;
        sqlite3_int64 settled = 0;
        long long size = 0;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        for (unsigned int i = 0; i < 200; i++)
                take_a_turn(history, i);
        settled = sqlite3_memory_used();
        size = size_of(folder.path);
        for (unsigned int i = 200; i < 800; i++)
                take_a_turn(history, i);
        CU_ASSERT_TRUE(sqlite3_memory_used() <= settled + 4096);
        CU_ASSERT_TRUE(settled < 2 << 20);
        CU_ASSERT_TRUE(size_of(folder.path) <= size + 65536);
        history_free(history);
        CU_ASSERT_EQUAL(sqlite3_memory_used(), 0);
        made_folder_deinit(&folder);
}

/* Reads until told to stop. Exit status 0: every answer was whole, and none older than the one before. */
static _Noreturn void read_all_the_time(int stop_fd)
{
        struct history *history = NULL;
        int64_t n = 0;
        int n_answers = 0;
        char byte = 0;

        if (history_open(folder.path, HISTORY_READ_ONLY, &history, NULL) != 0)
                _exit(2);
        while (read(stop_fd, &byte, 1) < 0) {
                struct json_object *json = NULL;
                struct failure failure = {0};
                const int r =
                        history_query(history, &(struct history_filter){.limit = 1000}, &json, &failure);
                const int64_t now = made_number(json, "summary/scans");

                if (r < 0)
                        (void)fprintf(stderr, "reader: %d %s\n", r, failure.text);
                if (r < 0 || now < n || (int64_t)json_object_array_length(made_find(json, "scans")) != now)
                        _exit(3);
                json_object_put(json);
                n = now;
                n_answers++;
        }
        history_free(history);
        _exit(n_answers > 3 ? 0 : 4);
}

static void test_readers_and_a_writer(void)
{
        struct history *history = NULL;
        pid_t readers[2] = {0};
        int stop[2] = {-1, -1};

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(add_numbered(history, 0, NULL), 0);
        CU_ASSERT_EQUAL_FATAL(pipe2(stop, O_CLOEXEC | O_NONBLOCK), 0);
        history_free(history);
        for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
                readers[i] = fork();
                if (readers[i] == 0) {
                        close_fd(&stop[1]);
                        read_all_the_time(stop[0]);
                }
        }
        history = made_open(folder.path, HISTORY_READ_WRITE);
        for (unsigned int i = 1; i < 200; i++) {
                struct failure failure = {0};

                CU_ASSERT_EQUAL(add_numbered(history, i, &failure), 0);
                CU_ASSERT_STRING_EQUAL(failure.text, "");
                /* Now and then the service is restarted: the readers meet a file that nobody has open. */
                if (i % 16 == 0) {
                        history_free(history);
                        history = made_open(folder.path, HISTORY_READ_WRITE);
                }
        }
        close_fd(&stop[0]);
        close_fd(&stop[1]);
        for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
                int status = -1;

                CU_ASSERT_EQUAL(waitpid(readers[i], &status, 0), readers[i]);
                CU_ASSERT_EQUAL(status, 0);
        }
        CU_ASSERT_EQUAL(made_count(history), 200);
        history_free(history);
        made_folder_deinit(&folder);
}

/* Reads, and the first time somebody writes while it does. */
static int read_while_written(struct history *history, void *argument, struct failure *failure)
{
        int *n_reads = argument;
        struct history *writer = NULL;

        (void)history;
        (void)failure;
        if ((*n_reads)++ > 0)
                return 0;
        writer = made_open(folder.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(add_numbered(writer, 1, NULL), 0);
        history_free(writer);
        return 0;
}

/* A file that nobody had open is read as a constant: what was read while it changed is not believed. */
static void test_written_while_read(void)
{
        struct history *history = NULL;
        int n_reads = 0;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(add_numbered(history, 0, NULL), 0);
        history_free(history);
        history = made_open(folder.path, HISTORY_READ_ONLY);
        CU_ASSERT_EQUAL(history_run(history, read_while_written, &n_reads, NULL), 0);
        CU_ASSERT_EQUAL(n_reads, 2);
        CU_ASSERT_EQUAL(made_count(history), 2);
        history_free(history);
        made_folder_deinit(&folder);
}

/* Adds two scans, says so, and waits to be killed. */
static _Noreturn void add_and_wait(int done_fd)
{
        struct history *history = NULL;

        if (history_open(folder.path, HISTORY_READ_WRITE, &history, NULL) < 0 ||
            add_numbered(history, 0, NULL) < 0 || add_numbered(history, 1, NULL) < 0 ||
            write(done_fd, "", 1) != 1)
                _exit(1);
        for (;;)
                (void)pause();
}

/* What was added is there for the next process when this one is killed: without closing anything. */
static void test_killed_after_adding(void)
{
        struct history *history = NULL;
        int done[2] = {-1, -1};
        char byte = 0;
        pid_t child = 0;

        made_folder_init(&folder);
        CU_ASSERT_EQUAL_FATAL(pipe2(done, O_CLOEXEC), 0);
        child = fork();
        if (child == 0)
                add_and_wait(done[1]);
        close_fd(&done[1]);
        CU_ASSERT_EQUAL(read(done[0], &byte, 1), 1);
        close_fd(&done[0]);
        CU_ASSERT_EQUAL(kill(child, SIGKILL), 0);
        CU_ASSERT_EQUAL(waitpid(child, NULL, 0), child);
        history = made_open(folder.path, HISTORY_READ_ONLY);
        CU_ASSERT_EQUAL(made_count(history), 2);
        history_free(history);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(made_count(history), 2);
        CU_ASSERT_EQUAL(add_numbered(history, 2, NULL), 0);
        history_free(history);
        CU_ASSERT_EQUAL(made_folder_count(&folder, "", NULL), 1);
        made_folder_deinit(&folder);
}

static const struct unit_test tests[] = {
        {"memory stays", test_memory_stays},
        {"many reports", test_many_reports},
        {"nothing is left over", test_nothing_is_left_over},
        {"readers and a writer", test_readers_and_a_writer},
        {"written while read", test_written_while_read},
        {"killed after adding", test_killed_after_adding},
};

UNIT_MAIN("history_long", tests)
