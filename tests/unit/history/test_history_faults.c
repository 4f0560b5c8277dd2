/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the history cannot be kept right now: the call fails with a sentence, and a later one works. */
#include "made_reports.h"

#include "base/clock.h"

#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>

/* Whoever is not root; the number that "nobody" has on every distribution. */
#define SOMEBODY 65534

static struct made_folder folder;

/* Adds scans until that fails; how many went in. */
static int add_until_full(struct history *history, const char *prefix, struct failure *failure,
                          int *ret_error)
{
        for (int i = 0; i < 100000; i++) {
                char id[32] = "";

                (void)snprintf(id, sizeof(id), "%s%d", prefix, i);
                *ret_error = made_add(history, id, "2026-01-01T00:00:00Z", i, failure);
                if (*ret_error != 0)
                        return i;
        }
        return -1;
}

/* Every call while there is no room: none is better than a failure, all answer. */
static void fail_for_a_while(struct history *history, int64_t n)
{
        struct failure failure = {0};

        for (int i = 0; i < 3; i++) {
                failure.text[0] = '\0';
                CU_ASSERT_TRUE(made_add(history, "again", "2026-01-01T00:00:00Z", 1, &failure) < 0);
                CU_ASSERT_NOT_EQUAL(failure.text[0], '\0');
                CU_ASSERT_EQUAL(made_count(history), n);
        }
}

static void fill_up(const char *path)
{
        static const char zeros[4096];
        CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        while (write(fd, zeros, sizeof(zeros)) > 0)
                ;
}

/* Mounts 1 MiB of memory on the folder, seen by this process alone. */
static bool mount_small(const char *path)
{
        return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
               mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
               mount("none", path, "tmpfs", 0, "size=1m") == 0;
}

static void test_full_disk(void)
{
        struct history *history = NULL;
        struct failure failure = {0};
        char ballast[1024] = "";
        int error = 0;
        int n = 0;

        made_folder_init(&folder);
        if (!mount_small(folder.folder)) {
                (void)printf("(skipped: nothing can be mounted here) ");
                made_folder_deinit(&folder);
                return;
        }
        history = made_open(folder.path, HISTORY_READ_WRITE);
        (void)snprintf(ballast, sizeof(ballast), "%s/ballast", folder.folder);
        CU_ASSERT_EQUAL(made_add(history, "first", "2026-01-01T00:00:00Z", 1, NULL), 0);
        fill_up(ballast);
        n = 1 + add_until_full(history, "a", &failure, &error);
        CU_ASSERT_TRUE_FATAL(n > 0);
        CU_ASSERT_TRUE(error < 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "cannot be"));
        fail_for_a_while(history, n);
        CU_ASSERT_EQUAL(unlink(ballast), 0);
        CU_ASSERT_EQUAL(made_add(history, "room", "2026-01-02T00:00:00Z", 1, &failure), 0);
        CU_ASSERT_EQUAL(made_count(history), n + 1);
        /* Full of its own reports. */
        n += 1 + add_until_full(history, "b", &failure, &error);
        CU_ASSERT_TRUE(n > 10);
        CU_ASSERT_TRUE(error < 0);
        fail_for_a_while(history, n);
        history_free(history);
        CU_ASSERT_EQUAL(made_folder_count_aside(&folder, NULL), 0);
        CU_ASSERT_EQUAL(umount(folder.folder), 0);
        made_folder_deinit(&folder);
}

/* From the first moment on: there is not even room for the tables. */
static void test_full_disk_at_the_start(void)
{
        struct history *history = NULL;
        struct failure failure = {0};
        char ballast[1024] = "";

        made_folder_init(&folder);
        if (!mount_small(folder.folder)) {
                (void)printf("(skipped: nothing can be mounted here) ");
                made_folder_deinit(&folder);
                return;
        }
        (void)snprintf(ballast, sizeof(ballast), "%s/ballast", folder.folder);
        fill_up(ballast);
        CU_ASSERT_EQUAL(history_open(folder.path, HISTORY_READ_WRITE, &history, &failure),
                        HISTORY_E_UNAVAILABLE);
        CU_ASSERT_NOT_EQUAL(failure.text[0], '\0');
        CU_ASSERT_TRUE(made_add(history, "a", "2026-01-01T00:00:00Z", 1, &failure) < 0);
        CU_ASSERT_EQUAL(unlink(ballast), 0);
        CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-01T00:00:00Z", 1, &failure), 0);
        CU_ASSERT_EQUAL(made_count(history), 1);
        history_free(history);
        CU_ASSERT_EQUAL(umount(folder.folder), 0);
        made_folder_deinit(&folder);
}

/* A limit on the size of files: what a user without rights can try. */
static void test_file_may_not_grow(void)
{
        struct history *history = NULL;
        struct failure failure = {0};
        struct rlimit old = {0};
        void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
        int error = 0;
        int n = 0;

        made_folder_init(&folder);
        CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &old), 0);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &(struct rlimit){150000, old.rlim_max}), 0);
        n = add_until_full(history, "a", &failure, &error);
        CU_ASSERT_TRUE(n > 0);
        CU_ASSERT_TRUE(error < 0);
        fail_for_a_while(history, n);
        CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &old), 0);
        CU_ASSERT_EQUAL(made_add(history, "room", "2026-01-02T00:00:00Z", 1, &failure), 0);
        CU_ASSERT_EQUAL(made_count(history), n + 1);
        history_free(history);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(made_count(history), n + 1);
        history_free(history);
        CU_ASSERT_EQUAL(made_folder_count_aside(&folder, NULL), 0);
        (void)signal(SIGXFSZ, handler);
        made_folder_deinit(&folder);
}

/* As a user for whom modes count. */
static void begin_as_somebody(void)
{
        made_folder_init(&folder);
        if (geteuid() != 0)
                return;
        CU_ASSERT_EQUAL(chown(folder.folder, SOMEBODY, SOMEBODY), 0);
        CU_ASSERT_EQUAL_FATAL(seteuid(SOMEBODY), 0);
}

static void end_as_somebody(void)
{
        if (getuid() == 0)
                CU_ASSERT_EQUAL_FATAL(seteuid(0), 0);
        made_folder_deinit(&folder);
}

static void test_folder_that_is_read_only(void)
{
        struct history *history = NULL;
        struct failure failure = {0};

        begin_as_somebody();
        CU_ASSERT_EQUAL(chmod(folder.folder, 0500), 0);
        CU_ASSERT_EQUAL(history_open(folder.path, HISTORY_READ_WRITE, &history, &failure),
                        HISTORY_E_UNAVAILABLE);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "Permission denied"));
        CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-01T00:00:00Z", 1, &failure), -EACCES);
        CU_ASSERT_EQUAL(chmod(folder.folder, 0700), 0);
        CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-01T00:00:00Z", 1, &failure), 0);
        history_free(history);
        /* The file is there, but no log can be made beside it: it can be read, and not written. */
        CU_ASSERT_EQUAL(chmod(folder.folder, 0500), 0);
        CU_ASSERT_EQUAL(history_open(folder.path, HISTORY_READ_WRITE, &history, &failure),
                        HISTORY_E_UNAVAILABLE);
        CU_ASSERT_TRUE(made_add(history, "b", "2026-01-02T00:00:00Z", 1, &failure) < 0);
        CU_ASSERT_NOT_EQUAL(failure.text[0], '\0');
        CU_ASSERT_EQUAL(chmod(folder.folder, 0700), 0);
        CU_ASSERT_EQUAL(made_add(history, "b", "2026-01-02T00:00:00Z", 1, &failure), 0);
        CU_ASSERT_EQUAL(made_count(history), 2);
        history_free(history);
        CU_ASSERT_EQUAL(made_folder_count_aside(&folder, NULL), 0);
        end_as_somebody();
}

static void test_reader_who_may_not_write(void)
{
        struct history *writer = NULL;
        struct history *history = NULL;

        begin_as_somebody();
        writer = made_open(folder.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(made_add(writer, "a", "2026-01-01T00:00:00Z", 1, NULL), 0);
        history_free(writer);
        CU_ASSERT_EQUAL(chmod(folder.path, 0400), 0);
        CU_ASSERT_EQUAL(chmod(folder.folder, 0500), 0);
        history = made_open(folder.path, HISTORY_READ_ONLY);
        CU_ASSERT_EQUAL(made_count(history), 1);
        history_free(history);
        CU_ASSERT_EQUAL(chmod(folder.folder, 0700), 0);
        end_as_somebody();
}

/* A damaged file that cannot be set aside is told as such, and set aside when that can be done. */
static void test_damaged_in_a_read_only_folder(void)
{
        struct history *history = NULL;
        struct failure failure = {0};
        FILE *file = NULL;

        begin_as_somebody();
        file = fopen(folder.path, "we");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        (void)fprintf(file, "this is no database, and it is longer than a header: %0600d\n", 1);
        (void)fclose(file);
        CU_ASSERT_EQUAL(chmod(folder.folder, 0500), 0);
        CU_ASSERT_EQUAL(history_open(folder.path, HISTORY_READ_WRITE, &history, &failure),
                        HISTORY_E_UNAVAILABLE);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "cannot be set aside"));
        CU_ASSERT_EQUAL(chmod(folder.folder, 0700), 0);
        CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-01T00:00:00Z", 1, &failure), HISTORY_E_RENEWED);
        history_free(history);
        end_as_somebody();
}

static void test_missing_folders(void)
{
        struct made_folder parent;
        struct made_folder below;
        struct history *history = NULL;
        struct failure failure = {0};

        made_folder_init(&folder);
        (void)snprintf(parent.folder, sizeof(parent.folder), "%.200s/one", folder.folder);
        (void)snprintf(below.folder, sizeof(below.folder), "%.220s/two", parent.folder);
        (void)snprintf(below.path, sizeof(below.path), "%.300s/history.db", below.folder);
        CU_ASSERT_EQUAL(history_open(below.path, HISTORY_READ_WRITE, &history, &failure),
                        HISTORY_E_UNAVAILABLE);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "cannot be made: No such file"));
        CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-01T00:00:00Z", 1, &failure), -ENOENT);
        CU_ASSERT_EQUAL(mkdir(parent.folder, 0700), 0);
        CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-01T00:00:00Z", 1, &failure), 0);
        /* The folder goes away under it, and a new one comes with the next report. */
        made_folder_deinit(&below);
        CU_ASSERT_EQUAL(made_add(history, "b", "2026-01-01T00:00:00Z", 1, &failure), 0);
        CU_ASSERT_EQUAL(made_count(history), 1);
        history_free(history);
        made_folder_deinit(&below);
        made_folder_deinit(&parent);
        made_folder_deinit(&folder);
}

static void test_something_else_than_a_file(void)
{
        struct history *history = NULL;
        struct failure failure = {0};

        made_folder_init(&folder);
        CU_ASSERT_EQUAL(mkdir(folder.path, 0700), 0);
        CU_ASSERT_EQUAL(history_open(folder.path, HISTORY_READ_WRITE, &history, &failure),
                        HISTORY_E_UNAVAILABLE);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "is not a file"));
        CU_ASSERT_EQUAL(rmdir(folder.path), 0);
        CU_ASSERT_EQUAL(mkfifo(folder.path, 0600), 0);
        CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-01T00:00:00Z", 1, &failure), -EINVAL);
        CU_ASSERT_EQUAL(unlink(folder.path), 0);
        CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-01T00:00:00Z", 1, &failure), 0);
        history_free(history);
        made_folder_deinit(&folder);
}

/* Somebody holds the lock for writing: not waited for for ever. Reading goes on meanwhile. */
static void test_locked_by_somebody(void)
{
        struct history *history = NULL;
        struct failure failure = {0};
        sqlite3 *other = NULL;
        uint64_t begun = 0;

        made_folder_init(&folder);
        history = made_open(folder.path, HISTORY_READ_WRITE);
        CU_ASSERT_EQUAL(made_add(history, "a", "2026-01-01T00:00:00Z", 1, &failure), 0);
        CU_ASSERT_EQUAL_FATAL(sqlite3_open(folder.path, &other), SQLITE_OK);
        CU_ASSERT_EQUAL(sqlite3_exec(other, "BEGIN IMMEDIATE; DELETE FROM scan", NULL, NULL, NULL),
                        SQLITE_OK);
        begun = clock_now_usec();
        CU_ASSERT_EQUAL(made_add(history, "b", "2026-01-01T00:00:00Z", 1, &failure), -EBUSY);
        CU_ASSERT_TRUE(clock_now_usec() - begun < 10 * USEC_PER_SEC);
        CU_ASSERT_NOT_EQUAL(failure.text[0], '\0');
        CU_ASSERT_EQUAL(made_count(history), 1);
        CU_ASSERT_EQUAL(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        (void)sqlite3_close(other);
        CU_ASSERT_EQUAL(made_add(history, "b", "2026-01-01T00:00:00Z", 1, &failure), 0);
        history_free(history);
        made_folder_deinit(&folder);
}

static const struct unit_test tests[] = {
        {"a full disk", test_full_disk},
        {"a full disk at the start", test_full_disk_at_the_start},
        {"a file that may not grow", test_file_may_not_grow},
        {"a folder that is read-only", test_folder_that_is_read_only},
        {"a reader who may not write", test_reader_who_may_not_write},
        {"damaged in a read-only folder", test_damaged_in_a_read_only_folder},
        {"missing folders", test_missing_folders},
        {"something else than a file", test_something_else_than_a_file},
        {"locked by somebody", test_locked_by_somebody},
};

UNIT_MAIN("history_faults", tests)
