/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "qmp/pause/leasefile.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static int folder_fd = -1;
static struct failure failure;

static void begin(void)
{
        char runtime_dir[128];

        (void)snprintf(folder, sizeof(folder), "/tmp/samepage-lease-XXXXXX");
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
        (void)snprintf(runtime_dir, sizeof(runtime_dir), "%s/a/b", folder);
        CU_ASSERT_EQUAL_FATAL(leasefile_open_folder(runtime_dir, true, &folder_fd, &failure), 0);
}

static void end(void)
{
        char path[128];

        close_fd(&folder_fd);
        (void)snprintf(path, sizeof(path), "rm -rf '%s'", folder);
        CU_ASSERT_EQUAL(system(path), 0); /* NOLINT(cert-env33-c): a folder of our own */
}

static struct process self(void)
{
        struct process process = {0};

        CU_ASSERT_EQUAL(process_identify(getpid(), &process), 0);
        return process;
}

/* A note about this process as a QEMU, by a guard that is dead. */
static struct leasefile make_note(void)
{
        return (struct leasefile){
                .guest = (char *)"web \"1\" \xc3\xa4",
                .socket_path = (char *)"/run/x y.sock",
                .qemu = self(),
                .scanner = {.pid = getpid(), .start_ticks = 1},
                .guard = {.pid = getpid(), .start_ticks = 2},
        };
}

static char *only_name(void)
{
        CLEANUP_FREE char **names = NULL;
        size_t count = 0;

        CU_ASSERT_EQUAL_FATAL(leasefile_list(folder_fd, &names, &count), 0);
        CU_ASSERT_EQUAL_FATAL(count, 1);
        return names[0];
}

static void test_round_trip(void)
{
        struct leasefile note = make_note();
        struct leasefile found = {0};
        CLEANUP_FREE char *name = NULL;
        struct stat status;

        begin();
        CU_ASSERT_FALSE(leasefile_exists(folder_fd, &note));
        CU_ASSERT_TRUE(leasefile_is_gone(folder_fd, &note));
        CU_ASSERT_EQUAL_FATAL(leasefile_write(folder_fd, &note, &failure), 0);
        CU_ASSERT_TRUE(leasefile_exists(folder_fd, &note));
        CU_ASSERT_FALSE(leasefile_is_gone(folder_fd, &note));
        name = only_name();
        CU_ASSERT_EQUAL(fstatat(folder_fd, name, &status, 0), 0);
        CU_ASSERT_EQUAL(status.st_mode & 0777, 0600);
        CU_ASSERT_EQUAL(fstat(folder_fd, &status), 0);
        CU_ASSERT_EQUAL(status.st_mode & 0777, 0700);
        CU_ASSERT_EQUAL_FATAL(leasefile_read(folder_fd, name, &found), 0);
        CU_ASSERT_STRING_EQUAL(found.guest, note.guest);
        CU_ASSERT_STRING_EQUAL(found.socket_path, note.socket_path);
        CU_ASSERT(found.qemu.pid == note.qemu.pid && found.qemu.start_ticks == note.qemu.start_ticks);
        CU_ASSERT_EQUAL(found.guard.start_ticks, 2);
        CU_ASSERT_FALSE(leasefile_is_held(&found));
        leasefile_deinit(&found);
        CU_ASSERT_EQUAL(leasefile_remove(folder_fd, &note), 0);
        CU_ASSERT_FALSE(leasefile_exists(folder_fd, &note));
        end();
}

static void test_one_holder(void)
{
        struct leasefile dead = make_note();
        struct leasefile living = make_note();
        struct leasefile another = make_note();
        char part[64];

        begin();
        living.scanner = self();
        another.guard = self();
        CU_ASSERT_EQUAL(leasefile_write(folder_fd, &dead, &failure), 0);
        /* A dead scan's note is replaced, and its late removal does no harm. */
        living.guard.start_ticks = 3;
        CU_ASSERT_EQUAL(leasefile_write(folder_fd, &living, &failure), 0);
        CU_ASSERT_EQUAL(leasefile_remove(folder_fd, &dead), 0);
        CU_ASSERT_TRUE(leasefile_exists(folder_fd, &living));
        CU_ASSERT_EQUAL(leasefile_write(folder_fd, &another, &failure), -EBUSY);
        (void)snprintf(part, sizeof(part), "another samepage scan (pid %d) is reading it", (int)getpid());
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, part));
        CU_ASSERT_EQUAL(leasefile_remove(folder_fd, &living), 0);
        /* A living guard of a dead scan holds it too. */
        CU_ASSERT_EQUAL(leasefile_write(folder_fd, &another, &failure), 0);
        CU_ASSERT_EQUAL(leasefile_write(folder_fd, &living, &failure), -EBUSY);
        end();
}

static void test_lock(void)
{
        struct leasefile note = make_note();
        int lock_fd = -1;

        begin();
        lock_fd = openat(folder_fd, ".", O_RDONLY | O_CLOEXEC);
        CU_ASSERT_EQUAL(flock(lock_fd, LOCK_EX), 0);
        CU_ASSERT_EQUAL(leasefile_write(folder_fd, &note, &failure), -ETIMEDOUT);
        close_fd(&lock_fd);
        CU_ASSERT_EQUAL(leasefile_write(folder_fd, &note, &failure), 0);
        lock_fd = openat(folder_fd, ".", O_RDONLY | O_CLOEXEC);
        CU_ASSERT_EQUAL(flock(lock_fd, LOCK_EX), 0);
        CU_ASSERT_EQUAL(leasefile_remove(folder_fd, &note), 0);
        CU_ASSERT_FALSE(leasefile_exists(folder_fd, &note));
        close_fd(&lock_fd);
        end();
}

static void test_bad_files(void)
{
        static const char *const texts[] = {
                "",
                "{",
                "[]",
                "{}",
                "{\"guest\":\"a\",\"socket\":7}",
                "{\"guest\":\"a\",\"socket\":\"s\",\"qemu\":{\"pid\":-1,\"start_ticks\":1}}",
                "{\"guest\":\"a\",\"socket\":\"s\",\"qemu\":{\"pid\":99999999999,\"start_ticks\":1}}",
                "{\"guest\":\"a\",\"socket\":\"s\",\"qemu\":{\"pid\":1,\"start_ticks\":1},\"scanner\":[]}",
                "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
        };

        begin();
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                struct leasefile found = {0};
                CLEANUP_CLOSE int fd =
                        openat(folder_fd, "1-1.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

                CU_ASSERT_EQUAL(write(fd, texts[i], strlen(texts[i])), (ssize_t)strlen(texts[i]));
                CU_ASSERT_EQUAL(leasefile_read(folder_fd, "1-1.json", &found), -EBADMSG);
                CU_ASSERT_PTR_NULL(found.guest);
        }
        end();
}

static void test_bad_folders(void)
{
        int fd = -1;

        CU_ASSERT_EQUAL(leasefile_open_folder("/proc/self/x", true, &fd, &failure), -ENOENT);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "/proc/self/x/leases"));
        CU_ASSERT_EQUAL(leasefile_open_folder("/dev/null", true, &fd, &failure), -ENOTDIR);
        CU_ASSERT_EQUAL(leasefile_open_folder("/missing", false, &fd, &failure), -ENOENT);
}

static const struct unit_test tests[] = {
        {"what is written is read", test_round_trip},
        {"one living scan per QEMU", test_one_holder},
        {"a lock that is not given", test_lock},
        {"bad files", test_bad_files},
        {"bad folders", test_bad_folders},
};
UNIT_MAIN("pause/leasefile", tests)
