/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors are told by the names of their links, mappings by device and inode in the maps file. Processes and
 * descriptors come and go while they are looked at: what is gone is passed over, what may not be looked at is an error,
 * as it could be anything.
 */
#include "scanner/reclaim_facts.h"

#include "base/cleanup.h"
#include "base/fileio.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * In a container, init may have more capabilities than anybody else there, and cannot be looked at then. It is the one
 * process that uses no guest's memory.
 */
#define INIT_PID 1

static bool is_gone(int error)
{
        return error == -ENOENT || error == -ESRCH;
}

static bool begins_with(const char *text, const char *start)
{
        return strncmp(text, start, strlen(start)) == 0;
}

/* "Key:   NUMBER kB", or without a unit; 0 when it is not there. */
static uint64_t find_number(const char *text, const char *key)
{
        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (begins_with(line, key))
                        return strtoull(line + strlen(key), NULL, 10);
        }
        return 0;
}

static int read_number(int dir_fd, const char *name, const char *key, uint64_t *ret)
{
        CLEANUP_FREE char *text = NULL;
        int r = fileio_read_text(dir_fd, name, &text);

        if (r == 0)
                *ret = find_number(text, key);
        return r;
}

/* The process */

static int judge_descriptor(int proc_fd, const char *number, const char *target,
                            struct reclaim_process_facts *facts)
{
        char name[64] = "";
        uint64_t n_buffers = 0;
        int r = 0;

        facts->vfio |= begins_with(target, "/dev/vfio/") || strcmp(target, "/dev/iommu") == 0 ||
                       begins_with(target, "anon_inode:[vfio-device]");
        facts->rdma |= begins_with(target, "/dev/infiniband/");
        facts->vdpa |= begins_with(target, "/dev/vhost-vdpa");
        facts->vhost |= begins_with(target, "/dev/vhost-") && !begins_with(target, "/dev/vhost-vdpa");
        facts->userfaultfd |= begins_with(target, "anon_inode:[userfaultfd]");
        if (!begins_with(target, "anon_inode:[io_uring]"))
                return 0;
        (void)snprintf(name, sizeof(name), "fdinfo/%.16s", number);
        r = read_number(proc_fd, name, "UserBufs:", &n_buffers);
        facts->uring |= n_buffers > 0;
        return is_gone(r) ? 0 : r;
}

static int read_descriptors(int proc_fd, struct reclaim_process_facts *facts)
{
        CLEANUP_CLOSEDIR DIR *folder = fileio_open_folder(proc_fd, "fd");
        int r = 0;

        if (!folder)
                return -errno;
        while (r == 0) {
                const struct dirent *entry = readdir(folder);
                char target[256] = "";
                ssize_t length = 0;

                if (!entry)
                        break;
                if (!isdigit((unsigned char)entry->d_name[0]))
                        continue;
                length = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
                if (length < 0 && is_gone(-errno))
                        continue;
                r = length < 0 ? -errno : judge_descriptor(proc_fd, entry->d_name, target, facts);
        }
        return r;
}

int reclaim_facts_read_process(int proc_fd, struct reclaim_process_facts *ret_facts)
{
        struct reclaim_process_facts facts = {0};
        int r = read_descriptors(proc_fd, &facts);

        if (r == 0)
                r = read_number(proc_fd, "status", "VmLck:", &facts.locked_bytes);
        if (r == 0)
                r = read_number(proc_fd, "status", "VmPin:", &facts.pinned_bytes);
        if (r < 0)
                return r;
        facts.locked_bytes *= 1024;
        facts.pinned_bytes *= 1024;
        *ret_facts = facts;
        return 0;
}

/* Other users of files */

/* A lower one is worse. */
static void note(struct reclaim_wanted *wanted, enum reclaim_holder holder, pid_t pid)
{
        if (wanted->holder != RECLAIM_HOLDER_NONE && wanted->holder <= holder)
                return;
        wanted->holder = holder;
        wanted->holder_pid = pid;
}

static void judge_mapping(const char *line, pid_t pid, struct reclaim_wanted *wanted, size_t n_wanted)
{
        unsigned int device_major = 0;
        unsigned int device_minor = 0;
        uint64_t inode = 0;
        char perms[5] = "";
        char head[160] = "";

        /* Cut to the fields before the name, which may be long: sscanf() measures its whole text. */
        (void)snprintf(head, sizeof(head), "%.159s", line);
        if (sscanf(head, "%*x-%*x %4s %*x %x:%x %" SCNu64, perms, &device_major, &device_minor, &inode) != 4)
                return;
        for (size_t i = 0; i < n_wanted; i++) {
                const bool is_shared = perms[3] == 's';

                if (wanted[i].inode != inode || wanted[i].device != makedev(device_major, device_minor))
                        continue;
                if (pid != wanted[i].qemu)
                        note(&wanted[i], is_shared ? RECLAIM_HOLDER_MAPS_SHARED : RECLAIM_HOLDER_MAPS_PRIVATE,
                             pid);
                else if (is_shared && wanted[i].is_private)
                        note(&wanted[i], RECLAIM_HOLDER_MAPS_SHARED, pid);
        }
}

static int look_at_maps(int proc_fd, pid_t pid, struct reclaim_wanted *wanted, size_t n_wanted)
{
        CLEANUP_FREE char *maps = NULL;
        int r = fileio_read_text(proc_fd, "maps", &maps);

        for (const char *line = maps; r == 0 && line && *line; line = strchr(line, '\n')) {
                line += *line == '\n';
                judge_mapping(line, pid, wanted, n_wanted);
        }
        return r;
}

/* Without asking a server: one that hangs must not hold us up, and its files lie in nobody's memory. */
static int examine_descriptor(int folder_fd, const char *name, struct statx *ret)
{
        if (statx(folder_fd, name, AT_STATX_DONT_SYNC, STATX_INO, ret) == 0)
                return 0;
        return errno == EACCES || errno == EPERM ? -errno : -ENOENT;
}

static int look_at_descriptors(int proc_fd, pid_t pid, struct reclaim_wanted *wanted, size_t n_wanted)
{
        CLEANUP_CLOSEDIR DIR *folder = fileio_open_folder(proc_fd, "fd");
        const struct dirent *entry = NULL;
        int r = 0;

        if (!folder)
                return -errno;
        while (r == 0 && (entry = readdir(folder))) {
                struct statx status = {0};

                if (!isdigit((unsigned char)entry->d_name[0]))
                        continue;
                r = examine_descriptor(dirfd(folder), entry->d_name, &status);
                for (size_t i = 0; i < n_wanted && r == 0; i++)
                        if (wanted[i].inode == status.stx_ino && wanted[i].qemu != pid &&
                            wanted[i].device == makedev(status.stx_dev_major, status.stx_dev_minor))
                                note(&wanted[i], RECLAIM_HOLDER_HAS_OPEN, pid);
                r = is_gone(r) ? 0 : r;
        }
        return r;
}

static int look_at_process(int proc_dir_fd, const char *name, pid_t pid, struct reclaim_wanted *wanted,
                           size_t n_wanted)
{
        CLEANUP_CLOSE int proc_fd = openat(proc_dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = proc_fd < 0 ? -errno : look_at_maps(proc_fd, pid, wanted, n_wanted);

        if (r == 0)
                r = look_at_descriptors(proc_fd, pid, wanted, n_wanted);
        if (pid == INIT_PID && (r == -EACCES || r == -EPERM))
                return 0;
        return is_gone(r) ? 0 : r;
}

int reclaim_facts_find_holders(int proc_dir_fd, pid_t self, struct reclaim_wanted *wanted, size_t n_wanted)
{
        CLEANUP_CLOSEDIR DIR *folder = fileio_open_folder(proc_dir_fd, ".");
        const struct dirent *entry = NULL;
        int r = 0;

        if (!folder)
                return -errno;
        while (r == 0 && (entry = readdir(folder))) {
                const long pid = strtol(entry->d_name, NULL, 10);

                if (isdigit((unsigned char)entry->d_name[0]) && pid != self)
                        r = look_at_process(proc_dir_fd, entry->d_name, (pid_t)pid, wanted, n_wanted);
        }
        return r;
}
