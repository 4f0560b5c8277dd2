/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When a page of a limited tmpfs is given back, another file there may take it. Then a process that writes to
 * the first file again is killed by SIGBUS. The space that is free now says nothing about this: a file with
 * all its pages needs nothing more, until it has given pages back. So this file adds up the sizes of all
 * files, as if each of their pages were present.
 *
 * Files with a name are found by a walk through the file system as the QEMU sees it. Files without a name
 * (QEMU unlinks the file of -mem-path at once) are found among the descriptors of all processes. The file
 * system itself shows whether these are all: its pages in use must not exceed those of the files that were
 * found. This check misses two cases: a file without a name and without pages that is mapped but has no
 * descriptor, and files that are made later.
 */
#include "daemon/reclaim/reclaim_room.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "base/numbered.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Links and attributes take pages too, and files grow during the walk. */
#define SLACK_BYTES (UINT64_C(1) << 20)

#define BLOCK_BYTES 512

struct sum {
        dev_t device;
        uint64_t promised_bytes;
        uint64_t found_bytes;
        uint64_t *seen; /* inodes of files that the walk can meet more than once */
        size_t n_seen;
        size_t n_files;
};

static int add_file(struct sum *sum, uint64_t size_bytes, uint64_t allocated_bytes)
{
        /* Pages beyond its end count too. */
        const uint64_t bytes = size_bytes > allocated_bytes ? size_bytes : allocated_bytes;

        if (++sum->n_files > RECLAIM_ROOM_FILES_MAX)
                return -E2BIG;
        sum->found_bytes += allocated_bytes;
        return __builtin_add_overflow(sum->promised_bytes, bytes, &sum->promised_bytes) ? -EOVERFLOW : 0;
}

/* Adds a file that the walk can meet more than once: by another name or another descriptor. */
static int add_file_once(struct sum *sum, uint64_t inode, uint64_t size_bytes, uint64_t allocated_bytes)
{
        for (size_t i = 0; i < sum->n_seen; i++)
                if (sum->seen[i] == inode)
                        return 0;
        if (sum->n_seen == RECLAIM_ROOM_SEEN_MAX)
                return -E2BIG;
        sum->seen[sum->n_seen++] = inode;
        return add_file(sum, size_bytes, allocated_bytes);
}

/* Files with a name */

static int add_folder(struct sum *sum, int folder_fd, const char *name, int depth);

static int add_entry(struct sum *sum, int folder_fd, const char *name, int depth)
{
        struct stat status = {0};

        if (fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (status.st_dev != sum->device)
                return 0; /* a mount point: files below it are missed, which shows in the sum */
        if (S_ISDIR(status.st_mode))
                return add_folder(sum, folder_fd, name, depth + 1);
        if (!S_ISREG(status.st_mode))
                return 0;
        if (status.st_nlink > 1)
                return add_file_once(sum, status.st_ino, (uint64_t)status.st_size,
                                     (uint64_t)status.st_blocks * BLOCK_BYTES);
        return add_file(sum, (uint64_t)status.st_size, (uint64_t)status.st_blocks * BLOCK_BYTES);
}

static int add_folder(struct sum *sum, int folder_fd, const char *name, int depth)
{
        CLEANUP_CLOSEDIR DIR *dir = NULL;
        const struct dirent *entry = NULL;
        int fd = -1;
        int r = 0;

        if (depth > RECLAIM_ROOM_DEPTH_MAX)
                return -E2BIG;
        fd = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        dir = fdopendir(fd);
        if (!dir) {
                (void)close(fd);
                return -ENOMEM;
        }
        while (r == 0 && (entry = readdir(dir)))
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        r = add_entry(sum, dirfd(dir), entry->d_name, depth);
        return r;
}

/* Files without a name */

static int add_descriptor(void *context, int folder_fd, const char *name, long number)
{
        struct sum *sum = context;
        struct statx status = {0};

        (void)number;
        /* Asks no server, as in reclaim_facts.c. */
        if (statx(folder_fd, name, AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &status) < 0)
                return 0;
        if (makedev(status.stx_dev_major, status.stx_dev_minor) != sum->device || status.stx_nlink > 0 ||
            !S_ISREG(status.stx_mode))
                return 0;
        return add_file_once(sum, status.stx_ino, status.stx_size, status.stx_blocks * BLOCK_BYTES);
}

static int add_descriptors_of(void *context, int proc_dir_fd, const char *name, long pid)
{
        char path[64] = "";
        int r = 0;

        (void)pid;
        (void)snprintf(path, sizeof(path), "%.32s/fd", name);
        r = numbered_for_each(proc_dir_fd, path, add_descriptor, context);
        /* A process that may not be examined shows as pages that are missing in the sum. */
        return r == -E2BIG || r == -EOVERFLOW ? r : 0;
}

/* Where the file system is */

/* A path in mountinfo has some characters as \ooo. */
static void unescape_path(char *path)
{
        char *to = path;

        for (const char *from = path; *from; to++) {
                if (from[0] == '\\' && from[1] && from[2] && from[3]) {
                        *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
                        from += 4;
                } else {
                        *to = *from++;
                }
        }
        *to = '\0';
}

/* "ID PARENT MAJOR:MINOR ROOT PATH …": PATH, if this whole device is mounted there. The caller frees it. */
static char *parse_mount(const char *line, dev_t device)
{
        unsigned int device_major = 0;
        unsigned int device_minor = 0;
        char *root = NULL;
        char *path = NULL;

        if (sscanf(line, "%*u %*u %u:%u %ms %ms", &device_major, &device_minor, &root, &path) != 4 ||
            makedev(device_major, device_minor) != device || strcmp(root, "/") != 0) {
                free(path);
                path = NULL;
        }
        free(root);
        if (path)
                unescape_path(path);
        return path;
}

/* Opens the path as the process sees it, which may have a root of its own. */
static int open_in_root(int proc_fd, const char *path)
{
        const struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                                     .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
        CLEANUP_CLOSE int root_fd = openat(proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);

        return root_fd < 0 ? -1 : (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
}

static bool is_on(int fd, dev_t device)
{
        struct stat status = {0};

        return fstat(fd, &status) == 0 && status.st_dev == device;
}

/* The file system's own top, or -ENOENT: then files with a name are missed, which shows in the sum. */
static int open_top(int proc_fd, dev_t device)
{
        CLEANUP_FREE char *mounts = NULL;
        int r = fileio_read_text(proc_fd, "mountinfo", &mounts);
        char *rest = NULL;

        if (r < 0)
                return r;
        for (const char *line = strtok_r(mounts, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
                CLEANUP_FREE char *path = parse_mount(line, device);
                CLEANUP_CLOSE int fd = path ? open_in_root(proc_fd, path) : -1;

                if (fd >= 0 && is_on(fd, device)) /* nothing else is mounted above it */
                        return TAKE_FD(fd);
        }
        return -ENOENT;
}

static int add_all_files(int proc_dir_fd, int proc_fd, struct sum *sum)
{
        CLEANUP_CLOSE int top_fd = open_top(proc_fd, sum->device);
        int r = 0;

        if (top_fd >= 0)
                r = add_folder(sum, top_fd, ".", 0);
        else if (top_fd != -ENOENT)
                return top_fd;
        return r < 0 ? r : numbered_for_each(proc_dir_fd, ".", add_descriptors_of, sum);
}

int reclaim_room_measure(int proc_dir_fd, int proc_fd, int file_fd, struct reclaim_room *ret_room)
{
        CLEANUP_FREE uint64_t *seen = calloc(RECLAIM_ROOM_SEEN_MAX, sizeof(*seen));
        struct statvfs filesystem = {0};
        struct stat status = {0};
        struct sum sum = {0};
        uint64_t used_bytes = 0;
        int r = 0;

        if (!seen)
                return -ENOMEM;
        if (fstat(file_fd, &status) < 0 || fstatvfs(file_fd, &filesystem) < 0)
                return -errno;
        *ret_room = (struct reclaim_room){0};
        /* The kernel's own mount, for memfds and anonymous shared memory, has no size. */
        if (filesystem.f_blocks == 0)
                return 0;
        sum = (struct sum){.device = status.st_dev, .seen = seen};
        used_bytes = (uint64_t)(filesystem.f_blocks - filesystem.f_bfree) * filesystem.f_frsize;
        r = add_all_files(proc_dir_fd, proc_fd, &sum);
        if (r < 0 && r != -E2BIG && r != -EOVERFLOW)
                return r;
        if (r < 0 || used_bytes > sum.found_bytes + SLACK_BYTES)
                sum.promised_bytes = UINT64_MAX;
        *ret_room = (struct reclaim_room){
                .is_limited = true,
                .size_bytes = (uint64_t)filesystem.f_blocks * filesystem.f_frsize,
                .promised_bytes = sum.promised_bytes,
        };
        return 0;
}
