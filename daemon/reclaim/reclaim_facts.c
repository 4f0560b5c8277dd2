/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of their links identify descriptors; device and inode in the maps file identify mappings.
 * Processes and descriptors come and go during the walk. Those that are gone are skipped. Those that may not
 * be examined are an error, since they could be anything.
 *
 * A process that can only read a file does not count as another user of it: it finds zeros before and after
 * the punch. This covers a descriptor opened for reading, and a shared mapping made from one, which cannot be
 * made writable (no "mw" in smaps). A scan has both.
 *
 * A process whose first thread has ended shows neither mappings nor descriptors. Then those of its other
 * threads are examined.
 */
#include "daemon/reclaim/reclaim_facts.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "base/numbered.h"
#include "scanner/descriptor.h"
#include "scanner/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * In a container, init may have more capabilities than every other process there, and then it cannot be
 * examined. It is the one process that uses no guest's memory.
 */
#define INIT_PID 1

static bool is_gone(int error)
{
        return error == -ENOENT || error == -ESRCH;
}

/* A field of status, which counts in kB, in bytes; *@ret becomes 0 where the line is missing. */
static int read_bytes(int proc_fd, const char *key, uint64_t *ret)
{
        uint64_t kb = 0;
        int r = fileio_read_field(proc_fd, "status", key, &kb);

        if (r < 0 && r != -ENODATA)
                return r;
        return __builtin_mul_overflow(kb, 1024, ret) ? -ERANGE : 0;
}

/* The process */

struct process {
        int proc_fd;
        struct reclaim_process_facts facts;
};

static int judge_ring(struct process *process, const char *name)
{
        CLEANUP(uring_deinit) struct uring uring = {0};
        int r = uring_read(process->proc_fd, name, &uring);

        /* A ring that does not list its buffers may have some. */
        process->facts.uring |= r == 0 && (uring.n > 0 || !uring.is_told);
        return is_gone(r) ? 0 : r;
}

static int judge_descriptor(void *context, int folder_fd, const char *name, long number)
{
        struct process *process = context;
        struct reclaim_process_facts *facts = &process->facts;
        enum descriptor_kind kind = DESCRIPTOR_OTHER;
        int r = descriptor_identify(folder_fd, name, &kind);

        (void)number;
        if (r < 0)
                return is_gone(r) ? 0 : r;
        if (kind == DESCRIPTOR_URING)
                return judge_ring(process, name);
        facts->vfio |= kind == DESCRIPTOR_VFIO_CONTAINER || kind == DESCRIPTOR_VFIO ||
                       kind == DESCRIPTOR_VFIO_DEVICE;
        facts->rdma |= kind == DESCRIPTOR_RDMA;
        facts->vdpa |= kind == DESCRIPTOR_VDPA;
        facts->vhost |= kind == DESCRIPTOR_VHOST;
        facts->userfaultfd |= kind == DESCRIPTOR_USERFAULTFD;
        facts->encrypted |= kind == DESCRIPTOR_SEV || kind == DESCRIPTOR_GUEST_MEMFD;
        facts->dmabuf |= kind == DESCRIPTOR_DMABUF;
        return 0;
}

int reclaim_facts_read_process(int proc_fd, struct reclaim_process_facts *ret_facts)
{
        struct process process = {.proc_fd = proc_fd};
        struct reclaim_process_facts *facts = &process.facts;
        int r = numbered_for_each(proc_fd, "fd", judge_descriptor, &process);

        if (r == 0)
                r = read_bytes(proc_fd, "VmLck:", &facts->locked_bytes);
        if (r == 0)
                r = read_bytes(proc_fd, "VmPin:", &facts->pinned_bytes);
        if (r < 0)
                return r;
        *ret_facts = *facts;
        return 0;
}

/* Other users of files */

/* A lower value is worse. */
static void note_holder(struct reclaim_wanted *wanted, enum reclaim_holder holder, pid_t pid)
{
        if (wanted->holder != RECLAIM_HOLDER_NONE && wanted->holder <= holder)
                return;
        wanted->holder = holder;
        wanted->holder_pid = pid;
}

/* A search for other users, through one process (or thread) after the other. */
struct search {
        pid_t self;
        pid_t pid;
        int proc_fd; /* of the process or thread */
        struct reclaim_wanted *wanted;
        size_t n_wanted;
};

/* Whether a shared mapping can be written to or be made so. */
static bool may_be_written(const struct search *search, uint64_t start, uint64_t end)
{
        CLEANUP_FREE char *smaps = NULL;
        CLEANUP_FREE struct mapping *mappings = NULL;
        size_t n_mappings = 0;

        if (fileio_read_text(search->proc_fd, "smaps", &smaps) < 0 ||
            mapping_find(smaps, start, end - start, &mappings, &n_mappings, NULL) < 0)
                return true;
        for (size_t i = 0; i < n_mappings; i++)
                if (mappings[i].writable)
                        return true;
        return false;
}

static void judge_mapping(const struct search *search, const char *line)
{
        unsigned int device_major = 0;
        unsigned int device_minor = 0;
        uint64_t start = 0;
        uint64_t end = 0;
        uint64_t inode = 0;
        char perms[5] = "";
        char head[160] = "";
        bool is_shared = false;

        /* Cut to the fields before the name: sscanf() measures its whole text, and the name may be long. */
        (void)snprintf(head, sizeof(head), "%.159s", line);
        if (sscanf(head, "%" SCNx64 "-%" SCNx64 " %4s %*x %x:%x %" SCNu64, &start, &end, perms, &device_major,
                   &device_minor, &inode) != 6)
                return;
        is_shared = perms[3] == 's';
        for (size_t i = 0; i < search->n_wanted; i++) {
                struct reclaim_wanted *wanted = &search->wanted[i];

                if (wanted->inode != inode || wanted->device != makedev(device_major, device_minor) ||
                    (search->pid == wanted->qemu && !(is_shared && wanted->is_private)))
                        continue;
                if (!is_shared)
                        note_holder(wanted, RECLAIM_HOLDER_MAPS_PRIVATE, search->pid);
                else if (perms[1] == 'w' || may_be_written(search, start, end))
                        note_holder(wanted, RECLAIM_HOLDER_MAPS_SHARED, search->pid);
        }
}

/* *@ret_has_any: it has mappings. Kernel threads and processes whose first thread ended have none. */
static int search_maps(const struct search *search, bool *ret_has_any)
{
        CLEANUP_FREE char *maps = NULL;
        int r = fileio_read_text(search->proc_fd, "maps", &maps);

        if (r < 0)
                return r;
        *ret_has_any = *maps != '\0';
        for (const char *line = maps; line && *line; line = strchr(line, '\n')) {
                line += *line == '\n';
                judge_mapping(search, line);
        }
        return 0;
}

/* Asks no server: one that hangs must not block us, and its files are no guest's memory. */
static int examine_descriptor(int folder_fd, const char *name, struct statx *ret)
{
        if (statx(folder_fd, name, AT_STATX_DONT_SYNC, STATX_INO, ret) == 0)
                return 0;
        return errno == EACCES || errno == EPERM ? -errno : -ENOENT;
}

/* Whether a descriptor was opened for reading alone. */
static bool is_for_reading(const struct search *search, const char *number)
{
        CLEANUP_FREE char *text = NULL;
        const char *line = NULL;
        char path[64] = "";

        (void)snprintf(path, sizeof(path), "fdinfo/%.32s", number);
        if (fileio_read_text(search->proc_fd, path, &text) < 0)
                return false;
        line = strstr(text, "flags:");
        return line && (strtoul(line + strlen("flags:"), NULL, 8) & O_ACCMODE) == O_RDONLY;
}

static int search_descriptor(void *context, int folder_fd, const char *name, long number)
{
        const struct search *search = context;
        struct statx status = {0};
        int r = examine_descriptor(folder_fd, name, &status);

        (void)number;
        if (r < 0)
                return is_gone(r) ? 0 : r;
        for (size_t i = 0; i < search->n_wanted; i++) {
                struct reclaim_wanted *wanted = &search->wanted[i];

                if (wanted->inode == status.stx_ino && wanted->qemu != search->pid &&
                    wanted->device == makedev(status.stx_dev_major, status.stx_dev_minor) &&
                    !is_for_reading(search, name))
                        note_holder(wanted, RECLAIM_HOLDER_HAS_OPEN, search->pid);
        }
        return 0;
}

static int search_thread(void *context, int folder_fd, const char *name, long tid)
{
        struct search search = *(const struct search *)context;
        CLEANUP_CLOSE int proc_fd = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        bool has_any = false;
        int r = proc_fd < 0 ? -errno : 0;

        (void)tid;
        search.proc_fd = proc_fd;
        if (r == 0)
                r = search_maps(&search, &has_any);
        if (r == 0)
                r = numbered_for_each(proc_fd, "fd", search_descriptor, &search);
        return is_gone(r) ? 0 : r;
}

/* Examines a process, and then all its threads if the process itself shows nothing. */
static int search_with_threads(struct search *search)
{
        bool has_any = false;
        int r = search_maps(search, &has_any);

        if (r == 0)
                r = numbered_for_each(search->proc_fd, "fd", search_descriptor, search);
        return r < 0 || has_any ? r : numbered_for_each(search->proc_fd, "task", search_thread, search);
}

static int search_process(void *context, int proc_dir_fd, const char *name, long pid)
{
        struct search *search = context;
        CLEANUP_CLOSE int proc_fd = -1;
        int r = 0;

        if (pid == search->self)
                return 0;
        proc_fd = openat(proc_dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        search->pid = (pid_t)pid;
        search->proc_fd = proc_fd;
        r = proc_fd < 0 ? -errno : search_with_threads(search);
        if (pid == INIT_PID && (r == -EACCES || r == -EPERM))
                return 0;
        return is_gone(r) ? 0 : r;
}

int reclaim_facts_find_holders(int proc_dir_fd, pid_t self, struct reclaim_wanted *wanted, size_t n_wanted)
{
        struct search search = {.self = self, .proc_fd = -1, .wanted = wanted, .n_wanted = n_wanted};

        return numbered_for_each(proc_dir_fd, ".", search_process, &search);
}
