/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of a tmpfs may grow to. On a tmpfs of its own, in name spaces of its own; what has no size needs none of
 * that.
 */
#include "base/cleanup.h"
#include "daemon/reclaim/reclaim_room.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB (1L << 20)

/* A space in the path: mountinfo writes it in another way. */
static char top[64] = "/tmp/samepage room-XXXXXX";
static bool is_mounted;

static int make_file(const char *name, off_t size_bytes, size_t n_bytes)
{
        CLEANUP_FREE char *content = calloc(1, n_bytes + 1);
        char path[128] = "";
        int fd = -1;

        (void)snprintf(path, sizeof(path), "%s/%s", top, name);
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        CU_ASSERT_FATAL(fd >= 0);
        CU_ASSERT_EQUAL(ftruncate(fd, size_bytes), 0);
        CU_ASSERT_EQUAL(pwrite(fd, content, n_bytes, 0), (ssize_t)n_bytes);
        return fd;
}

static struct reclaim_room measure(int fd)
{
        CLEANUP_CLOSE int proc_dir_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP_CLOSE int proc_fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct reclaim_room room = {.promised_bytes = 7};

        CU_ASSERT_EQUAL(reclaim_room_measure(proc_dir_fd, proc_fd, fd, &room), 0);
        return room;
}

static void test_unlimited(void)
{
        CLEANUP_CLOSE int fd = memfd_create("room", MFD_CLOEXEC);
        struct reclaim_room room = measure(fd);

        CU_ASSERT_FALSE(room.is_limited);
        CU_ASSERT_EQUAL(room.promised_bytes, 0);
}

static void remove_file(const char *name)
{
        char path[128] = "";

        (void)snprintf(path, sizeof(path), "%s/%s", top, name);
        CU_ASSERT_EQUAL(unlink(path), 0);
}

/* By its whole size, whether its pages are there or not, and once. */
static void test_files(void)
{
        CLEANUP_CLOSE int whole = -1;
        CLEANUP_CLOSE int empty = -1;
        char path[128] = "";
        char other[128] = "";
        struct reclaim_room room;

        if (!is_mounted)
                return;
        whole = make_file("whole", 8 * MIB, 8 * MIB);
        room = measure(whole);
        CU_ASSERT_TRUE(room.is_limited);
        CU_ASSERT_EQUAL(room.size_bytes, 64 * MIB);
        CU_ASSERT_EQUAL(room.promised_bytes, 8 * MIB);
        (void)snprintf(path, sizeof(path), "%s/folder", top);
        CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
        empty = make_file("folder/empty", 60 * MIB, 0);
        CU_ASSERT_EQUAL(measure(whole).promised_bytes, 68 * MIB);
        (void)snprintf(path, sizeof(path), "%s/whole", top);
        (void)snprintf(other, sizeof(other), "%s/folder/whole", top);
        CU_ASSERT_EQUAL(link(path, other), 0);
        CU_ASSERT_EQUAL(measure(whole).promised_bytes, 68 * MIB);
        /* Without names they are found by their descriptors. */
        remove_file("folder/empty");
        remove_file("folder/whole");
        remove_file("whole");
        CU_ASSERT_EQUAL(measure(whole).promised_bytes, 68 * MIB);
        close_fd(&empty);
        CU_ASSERT_EQUAL(measure(whole).promised_bytes, 8 * MIB);
}

/* A file of which there is a mapping alone is missed, and that is noticed. */
static void test_hidden(void)
{
        int fd = -1;
        CLEANUP_CLOSE int other = -1;
        void *pages = NULL;

        if (!is_mounted)
                return;
        other = make_file("other", MIB, 4096);
        fd = make_file("hidden", 4 * MIB, 4 * MIB);
        pages = mmap(NULL, 4 * MIB, PROT_READ, MAP_SHARED, fd, 0);
        CU_ASSERT_NOT_EQUAL_FATAL(pages, MAP_FAILED);
        remove_file("hidden");
        CU_ASSERT_EQUAL(measure(other).promised_bytes, 5 * MIB);
        (void)close(fd);
        CU_ASSERT_EQUAL(measure(other).promised_bytes, UINT64_MAX);
        (void)munmap(pages, 4 * MIB);
        CU_ASSERT_EQUAL(measure(other).promised_bytes, MIB);
        remove_file("other");
}

static const struct unit_test tests[] = {
        {"without a size", test_unlimited},
        {"files", test_files},
        {"a file that cannot be found", test_hidden},
};

/* As root, or as one who may make name spaces; else the tests of a limited one say nothing. */
static void mount_limited(void)
{
        if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
                return;
        is_mounted = mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
                     mount("room", top, "tmpfs", 0, "size=64m") == 0;
}

int main(void)
{
        int r = EXIT_FAILURE;

        /* valgrind of Debian 12 does not know it. */
        if (syscall(SYS_openat2, -1, "", NULL, 0) < 0 && errno == ENOSYS)
                return EXIT_SKIPPED;
        if (!mkdtemp(top))
                return r;
        mount_limited();
        if (!is_mounted)
                (void)puts("a tmpfs with a size is not tried: it cannot be mounted here");
        r = unit_run("scanner/reclaim_room", tests, ARRAY_SIZE(tests));
        if (is_mounted)
                (void)umount(top);
        (void)rmdir(top);
        return r;
}
