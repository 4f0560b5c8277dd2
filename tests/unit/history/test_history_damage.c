/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file that is damaged is set aside; one that is not ours is left alone. */
#include "made_reports.h"

#include <sqlite3.h>

#define N_SCANS 40

static struct made_folder folder;

struct bytes {
        size_t length;
        unsigned char data[1 << 20];
};

static struct bytes before;
static struct bytes after;

static void read_bytes(const char *path, struct bytes *ret)
{
        CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
        const ssize_t length = read(fd, ret->data, sizeof(ret->data));

        ret->length = length < 0 ? 0 : (size_t)length;
}

static bool are_equal(void)
{
        return before.length == after.length && memcmp(before.data, after.data, before.length) == 0;
}

static void write_bytes(const char *path, int flags, off_t offset, const void *data, size_t length)
{
        CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0600);

        CU_ASSERT_EQUAL_FATAL(pwrite(fd, data, length, offset), (ssize_t)length);
}

static void write_garbage(const char *path)
{
        static unsigned char garbage[20000];

        for (size_t i = 0; i < sizeof(garbage); i++)
                garbage[i] = (unsigned char)(i * 7 + i / 256);
        write_bytes(path, O_CREAT | O_TRUNC, 0, garbage, sizeof(garbage));
}

static void add_many(struct history *history)
{
        for (int i = 0; i < N_SCANS; i++) {
                char id[16] = "";
                char started[32] = "";

                (void)snprintf(id, sizeof(id), "s%d", i);
                (void)snprintf(started, sizeof(started), "2026-01-01T%02d:%02d:00Z", i / 60, i % 60);
                CU_ASSERT_EQUAL_FATAL(made_add(history, id, started, 100 + i, NULL), 0);
        }
}

/* A history of N_SCANS scans, closed. */
static void make_history(void)
{
        struct history *history = NULL;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        add_many(history);
        history_free(history);
}

/* That @r is a renewal, told in a sentence that names the file kept, which holds what is in before. */
static void expect_renewed(int r, const struct failure *failure)
{
        char path[1024] = "";

        CU_ASSERT_EQUAL(r, HISTORY_E_RENEWED);
        CU_ASSERT_EQUAL(made_folder_count_aside(&folder, path), 1);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure->text, path));
        CU_ASSERT_PTR_NOT_NULL(strstr(failure->text, "is damaged"));
        read_bytes(path, &after);
        CU_ASSERT_TRUE(are_equal());
}

static void expect_usable(struct history *history, int64_t n)
{
        struct failure failure = {0};

        CU_ASSERT_EQUAL(made_count(history), n);
        CU_ASSERT_EQUAL(made_add(history, "next", "2026-02-01T00:00:00Z", 5, &failure), 0);
        CU_ASSERT_EQUAL(made_count(history), n + 1);
}

static void test_garbage_at_the_start(void)
{
        static const size_t lengths[] = {2, 15, 16, 100, 511, 512, 4096, 20000};
        struct failure failure = {0};

        for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
                struct history *history = NULL;
                int r = 0;

                made_folder_init(&folder);
                write_garbage(folder.path);
                CU_ASSERT_EQUAL_FATAL(truncate(folder.path, (off_t)lengths[i]), 0);
                read_bytes(folder.path, &before);
                r = history_open(folder.path, HISTORY_READ_WRITE, &history, &failure);
                expect_renewed(r, &failure);
                expect_usable(history, 0);
                history_free(history);
                made_folder_deinit(&folder);
        }
}

/* history.db.corrupt-20260102T030405Z */
static void test_name_of_what_is_kept(void)
{
        char path[1024] = "";
        const char *stamp = NULL;
        struct history *history = NULL;

        made_folder_init(&folder);
        write_garbage(folder.path);
        CU_ASSERT_EQUAL(history_open(folder.path, HISTORY_READ_WRITE, &history, NULL), HISTORY_E_RENEWED);
        CU_ASSERT_EQUAL(made_folder_count_aside(&folder, path), 1);
        stamp = strstr(path, "/history.db.corrupt-");
        CU_ASSERT_PTR_NOT_NULL(stamp);
        stamp = stamp ? stamp + strlen("/history.db.corrupt-") : "";
        CU_ASSERT_EQUAL(strspn(stamp, "0123456789TZ"), 16);
        CU_ASSERT_EQUAL(strlen(stamp), 16);
        CU_ASSERT_EQUAL(strcspn(stamp, "T"), 8);
        CU_ASSERT_EQUAL(strcspn(stamp, "Z"), 15);
        history_free(history);
        made_folder_deinit(&folder);
}

static void test_garbage_again_and_again(void)
{
        struct history *history = NULL;
        struct failure failure = {0};

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        for (int i = 0; i < 3; i++) {
                CU_ASSERT_EQUAL(unlink(folder.path), 0);
                write_garbage(folder.path);
                CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-01T00:00:00Z", 1, &failure),
                                HISTORY_E_RENEWED);
        }
        CU_ASSERT_EQUAL(made_folder_count_aside(&folder, NULL), 3);
        expect_usable(history, 1);
        history_free(history);
        made_folder_deinit(&folder);
}

static void test_header_overwritten(void)
{
        struct history *history = NULL;
        struct failure failure = {0};
        int r = 0;

        make_history();
        write_bytes(folder.path, 0, 0, "this is not a database any more", 31);
        read_bytes(folder.path, &before);
        r = history_open(folder.path, HISTORY_READ_WRITE, &history, &failure);
        expect_renewed(r, &failure);
        expect_usable(history, 0);
        history_free(history);
        made_folder_deinit(&folder);
}

static void test_cut_short(void)
{
        struct history *history = NULL;
        struct failure failure = {0};
        int r = 0;

        make_history();
        read_bytes(folder.path, &before);
        CU_ASSERT_EQUAL(truncate(folder.path, (off_t)before.length / 2), 0);
        read_bytes(folder.path, &before);
        r = history_open(folder.path, HISTORY_READ_WRITE, &history, &failure);
        expect_renewed(r, &failure);
        expect_usable(history, 0);
        history_free(history);
        made_folder_deinit(&folder);
}

/* The next call notices, whichever it is, and does its work on the new file. */
static void test_cut_short_while_open(void)
{
        struct failure failure = {0};

        for (int call = 0; call < 4; call++) {
                struct history *history = NULL;
                struct json_object *json = NULL;
                int r = 0;

                make_history();
                history = made_open(folder.path, HISTORY_READ_WRITE);
                CU_ASSERT_EQUAL(truncate(folder.path, 5000), 0);
                read_bytes(folder.path, &before);
                if (call == 0)
                        r = history_query(history, &(struct history_filter){0}, &json, &failure);
                else if (call == 1)
                        r = history_get(history, "s7", &json, &failure);
                else if (call == 2)
                        r = history_forget(history, UINT64_MAX, &failure);
                else
                        r = made_add(history, "new", "2026-02-01T00:00:00Z", 5, &failure);
                expect_renewed(r, &failure);
                json_object_put(json);
                expect_usable(history, call == 3);
                history_free(history);
                made_folder_deinit(&folder);
        }
}

static void test_replaced_by_garbage_while_open(void)
{
        struct history *history = NULL;
        struct failure failure = {0};
        char other[1024] = "";
        int r = 0;

        make_history();
        history = made_open(folder.path, HISTORY_READ_WRITE);
        (void)snprintf(other, sizeof(other), "%s/garbage", folder.folder);
        write_garbage(other);
        read_bytes(other, &before);
        CU_ASSERT_EQUAL(rename(other, folder.path), 0);
        r = made_add(history, "new", "2026-02-01T00:00:00Z", 5, &failure);
        expect_renewed(r, &failure);
        expect_usable(history, 1);
        history_free(history);
        made_folder_deinit(&folder);
}

/* In place: the open file itself has other bytes from one call to the next. */
static void test_overwritten_while_open(void)
{
        struct history *history = NULL;
        struct failure failure = {0};

        make_history();
        history = made_open(folder.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(made_count(history), N_SCANS);
        write_garbage(folder.path);
        CU_ASSERT_TRUE(made_add(history, "new", "2026-02-01T00:00:00Z", 5, &failure) >= 0);
        history_free(history);
        CU_ASSERT_TRUE(history_open(folder.path, HISTORY_READ_WRITE, &history, &failure) >= 0);
        CU_ASSERT_TRUE(made_add(history, "newer", "2026-02-02T00:00:00Z", 5, &failure) >= 0);
        CU_ASSERT_TRUE(made_count(history) >= 1);
        history_free(history);
        made_folder_deinit(&folder);
}

static void test_removed_while_open(void)
{
        struct history *history = NULL;

        make_history();
        history = made_open(folder.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(unlink(folder.path), 0);
        CU_ASSERT_EQUAL(made_add(history, "new", "2026-02-01T00:00:00Z", 5, NULL), 0);
        CU_ASSERT_EQUAL(access(folder.path, F_OK), 0);
        history_free(history);
        history = made_open(folder.path, HISTORY_READ_ONLY);
        CU_ASSERT_EQUAL(made_count(history), 1);
        history_free(history);
        made_folder_deinit(&folder);
}

/* A backup put in its place is taken as it is. */
static void test_replaced_by_a_history_while_open(void)
{
        struct history *history = NULL;
        char copy[1024] = "";

        make_history();
        read_bytes(folder.path, &before);
        (void)snprintf(copy, sizeof(copy), "%s/copy", folder.folder);
        write_bytes(copy, O_CREAT, 0, before.data, before.length);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(history_forget(history, UINT64_MAX, NULL), 0);
        CU_ASSERT_EQUAL(made_count(history), 0);
        CU_ASSERT_EQUAL(rename(copy, folder.path), 0);
        expect_usable(history, N_SCANS);
        history_free(history);
        CU_ASSERT_EQUAL(made_folder_count_aside(&folder, NULL), 0);
        made_folder_deinit(&folder);
}

/* Any call on a file with bytes flipped somewhere: it works, or fails with a sentence, or renews. */
static void use_flipped(struct history *history)
{
        struct failure failure = {0};
        struct json_object *json = NULL;

        for (int i = 0; i < N_SCANS; i += 13) {
                char id[16] = "";
                int r = 0;

                (void)snprintf(id, sizeof(id), "s%d", i);
                r = history_get(history, id, &json, &failure);
                CU_ASSERT_TRUE(r >= 0 || failure.text[0]);
                if (r >= 0)
                        json_object_put(json);
        }
        if (history_query(history, &(struct history_filter){.guest = "web1"}, &json, &failure) >= 0)
                json_object_put(json);
        if (history_query(history, &(struct history_filter){0}, &json, &failure) >= 0) {
                CU_ASSERT_NOT_EQUAL(json_object_to_json_string(json)[0], '\0');
                json_object_put(json);
        }
        (void)history_forget(history, 1767226200, &failure);
}

static void test_flipped_bytes(void)
{
        unsigned int seed = 4711;
        int n_renewed = 0;

        make_history();
        read_bytes(folder.path, &before);
        for (int round = 0; round < 150; round++) {
                struct history *history = NULL;
                struct failure failure = {0};
                int r = 0;

                after = before;
                for (int i = 0; i < 1 + round % 20; i++)
                        after.data[100 + (unsigned int)rand_r(&seed) % (after.length - 100)] ^=
                                (unsigned char)(1 + (unsigned int)rand_r(&seed) % 255);
                write_bytes(folder.path, O_CREAT | O_TRUNC, 0, after.data, after.length);
                r = history_open(folder.path, HISTORY_READ_WRITE, &history, &failure);
                CU_ASSERT_TRUE_FATAL(r == 0 || r == HISTORY_E_RENEWED);
                use_flipped(history);
                /* At the latest the second report is kept: the first may be what finds the damage. */
                (void)made_add(history, "x", "2026-02-01T00:00:00Z", 5, &failure);
                r = made_add(history, "y", "2026-02-01T00:00:00Z", 5, &failure);
                CU_ASSERT_TRUE(r >= 0);
                /* Unless it is the question that finds it. */
                if (made_count(history) == 0)
                        CU_ASSERT_EQUAL(made_add(history, "z", "2026-02-01T00:00:00Z", 5, &failure), 0);
                CU_ASSERT_TRUE(made_count(history) >= 1);
                history_free(history);
                n_renewed += made_folder_count_aside(&folder, NULL) > 0;
                made_folder_deinit(&folder);
                made_folder_init(&folder);
        }
        CU_ASSERT_TRUE(n_renewed > 20);
        made_folder_deinit(&folder);
}

static void run_sql(const char *path, const char *sql)
{
        sqlite3 *db = NULL;

        CU_ASSERT_EQUAL_FATAL(sqlite3_open(path, &db), SQLITE_OK);
        CU_ASSERT_EQUAL(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        (void)sqlite3_close(db);
}

static void test_table_is_missing(void)
{
        struct history *history = NULL;
        struct failure failure = {0};

        make_history();
        run_sql(folder.path, "DROP TABLE guest");
        history = made_open(folder.path, HISTORY_READ_WRITE);
        read_bytes(folder.path, &before);
        expect_renewed(made_add(history, "new", "2026-02-01T00:00:00Z", 5, &failure), &failure);
        expect_usable(history, 1);
        history_free(history);
        made_folder_deinit(&folder);
}

/* That every call fails with @error and the file with its folder stays as it is. */
static void expect_refused(int error, const char *sentence)
{
        struct history *history = NULL;
        struct json_object *json = NULL;
        struct failure failure = {0};

        read_bytes(folder.path, &before);
        CU_ASSERT_EQUAL(history_open(folder.path, HISTORY_READ_ONLY, &history, &failure), error);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, sentence));
        failure.text[0] = '\0';
        CU_ASSERT_EQUAL_FATAL(history_open(folder.path, HISTORY_READ_WRITE, &history, &failure),
                              HISTORY_E_UNAVAILABLE);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, sentence));
        failure.text[0] = '\0';
        CU_ASSERT_EQUAL(made_add(history, "new", "2026-02-01T00:00:00Z", 5, &failure), error);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, sentence));
        CU_ASSERT_EQUAL(history_query(history, &(struct history_filter){0}, &json, &failure), error);
        CU_ASSERT_EQUAL(history_forget(history, UINT64_MAX, &failure), error);
        history_free(history);
        read_bytes(folder.path, &after);
        CU_ASSERT_TRUE(are_equal());
        CU_ASSERT_EQUAL(made_folder_count(&folder, "", NULL), 1);
}

static void test_newer_version(void)
{
        struct history *history = NULL;

        make_history();
        run_sql(folder.path, "PRAGMA user_version = 2");
        expect_refused(-EOPNOTSUPP, "newer samepage (version 2");
        history = NULL;
        CU_ASSERT_EQUAL(history_open(folder.path, HISTORY_READ_WRITE, &history, NULL), HISTORY_E_UNAVAILABLE);
        run_sql(folder.path, "PRAGMA user_version = 1");
        expect_usable(history, N_SCANS);
        history_free(history);
        made_folder_deinit(&folder);
}

static void test_database_of_another_program(void)
{
        made_folder_init(&folder);
        run_sql(folder.path, "CREATE TABLE letters (text); INSERT INTO letters VALUES ('dear')");
        expect_refused(-EINVAL, "not a history of samepage");
        made_folder_deinit(&folder);
        made_folder_init(&folder);
        run_sql(folder.path, "PRAGMA application_id = 77");
        expect_refused(-EINVAL, "not a history of samepage");
        made_folder_deinit(&folder);
}

static void test_reader_of_a_damaged_file(void)
{
        struct history *history = NULL;
        struct failure failure = {0};

        made_folder_init(&folder);
        write_garbage(folder.path);
        read_bytes(folder.path, &before);
        CU_ASSERT_EQUAL(history_open(folder.path, HISTORY_READ_ONLY, &history, &failure), -EBADMSG);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "is damaged"));
        read_bytes(folder.path, &after);
        CU_ASSERT_TRUE(are_equal());
        CU_ASSERT_EQUAL(made_folder_count(&folder, "", NULL), 1);
        made_folder_deinit(&folder);
}

/* Text that was damaged inside one report costs this report only. */
static void test_report_that_is_no_json(void)
{
        struct history *history = NULL;
        struct json_object *json = NULL;
        struct failure failure = {0};

        make_history();
        run_sql(folder.path, "UPDATE report SET json = '{\"a\":' WHERE scan = 3;"
                             "UPDATE report SET json = '[]' WHERE scan = 4;"
                             "UPDATE report SET json = '{}x' WHERE scan = 5;"
                             "DELETE FROM report WHERE scan = 6");
        history = made_open(folder.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(history_get(history, "s2", &json, &failure), -EBADMSG);
        CU_ASSERT_EQUAL(history_get(history, "s3", &json, &failure), -EBADMSG);
        CU_ASSERT_EQUAL(history_get(history, "s4", &json, &failure), -EBADMSG);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "\"s4\" is damaged"));
        CU_ASSERT_EQUAL(history_get(history, "s5", &json, &failure), -ENOENT);
        CU_ASSERT_EQUAL(history_get(history, "s6", &json, &failure), 0);
        json_object_put(json);
        expect_usable(history, N_SCANS);
        history_free(history);
        made_folder_deinit(&folder);
}

static const struct unit_test tests[] = {
        {"garbage at the start", test_garbage_at_the_start},
        {"the name of what is kept", test_name_of_what_is_kept},
        {"garbage again and again", test_garbage_again_and_again},
        {"header overwritten", test_header_overwritten},
        {"cut short", test_cut_short},
        {"cut short while open", test_cut_short_while_open},
        {"replaced by garbage while open", test_replaced_by_garbage_while_open},
        {"overwritten while open", test_overwritten_while_open},
        {"removed while open", test_removed_while_open},
        {"replaced by a history while open", test_replaced_by_a_history_while_open},
        {"flipped bytes", test_flipped_bytes},
        {"a table is missing", test_table_is_missing},
        {"a newer version", test_newer_version},
        {"a database of another program", test_database_of_another_program},
        {"a reader of a damaged file", test_reader_of_a_damaged_file},
        {"a report that is no JSON", test_report_that_is_no_json},
};

UNIT_MAIN("history_damage", tests)
