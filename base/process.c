/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/process.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "base/numbered.h"
#include "base/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAT_START_FIELD 22
/* The most processes that hold one connection: QEMU and its forks. */
#define HOLDERS_MAX 64

int process_parse_stat(const char *text, uint64_t *ret_start_ticks)
{
        /* The second field is the name in parentheses. It may hold anything, including parentheses. */
        const char *position = strrchr(text, ')');
        char *end = NULL;
        unsigned long long ticks = 0;

        if (!position || position[1] != ' ' || !position[2])
                return -EBADMSG;
        position += 2;
        if (*position == 'Z' || *position == 'X' || *position == 'x')
                return -ESRCH;
        for (int field = 3; field < STAT_START_FIELD; field++) {
                position = strchr(position, ' ');
                if (!position)
                        return -EBADMSG;
                position++;
        }
        errno = 0;
        ticks = strtoull(position, &end, 10);
        if (errno != 0 || end == position)
                return -EBADMSG;
        *ret_start_ticks = ticks;
        return 0;
}

int process_get_start_ticks(int proc_fd, uint64_t *ret_start_ticks)
{
        CLEANUP_FREE char *text = NULL;
        int r = fileio_read_text(proc_fd, "stat", &text);

        if (r == -ENOENT)
                return -ESRCH;
        return r < 0 ? r : process_parse_stat(text, ret_start_ticks);
}

int process_open(pid_t pid, int *ret_pidfd, int *ret_proc_fd)
{
        CLEANUP_CLOSE int pidfd = pidfd_open(pid, 0);
        CLEANUP_CLOSE int proc_fd = -1;
        char path[32];

        if (pidfd < 0)
                return -errno;
        (void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
        proc_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (proc_fd < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        /* The process is alive after its folder was opened, so its pid was not used again in between. */
        if (!pidfd_is_alive(pidfd))
                return -ESRCH;
        *ret_pidfd = TAKE_FD(pidfd);
        *ret_proc_fd = TAKE_FD(proc_fd);
        return 0;
}

int process_open_same(const struct process *process, int *ret_pidfd, int *ret_proc_fd)
{
        CLEANUP_CLOSE int pidfd = -1;
        CLEANUP_CLOSE int proc_fd = -1;
        uint64_t start_ticks = 0;
        int r = process_open(process->pid, &pidfd, &proc_fd);

        if (r == 0)
                r = process_get_start_ticks(proc_fd, &start_ticks);
        if (r == 0 && start_ticks != process->start_ticks)
                r = -ESRCH;
        if (r < 0)
                return r;
        *ret_pidfd = TAKE_FD(pidfd);
        *ret_proc_fd = TAKE_FD(proc_fd);
        return 0;
}

int process_identify(pid_t pid, struct process *ret_process)
{
        CLEANUP_CLOSE int proc_fd = -1;
        char path[32];

        (void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
        proc_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (proc_fd < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        ret_process->pid = pid;
        return process_get_start_ticks(proc_fd, &ret_process->start_ticks);
}

bool process_is_alive(const struct process *process)
{
        CLEANUP_CLOSE int pidfd = pidfd_open(process->pid, 0);
        struct process found = {0};
        int r = 0;

        if (pidfd < 0 && errno == ESRCH)
                return false;
        r = process_identify(process->pid, &found);
        if (r < 0)
                return r != -ESRCH;
        /* A process that ended keeps its pid and its folder until its parent has waited for it. */
        return found.start_ticks == process->start_ticks && (pidfd < 0 || pidfd_is_alive(pidfd));
}

bool process_maps_cover(const char *maps, uint64_t start, uint64_t size_bytes)
{
        uint64_t end = 0;

        if (size_bytes == 0 || __builtin_add_overflow(start, size_bytes, &end))
                return false;
        while (*maps) {
                char *position = NULL;
                uint64_t map_start = strtoull(maps, &position, 16);
                uint64_t map_end = *position == '-' ? strtoull(position + 1, NULL, 16) : 0;

                /* The kernel prints the mappings in order of their addresses. */
                if (map_start <= start && map_end > start)
                        start = map_end;
                if (start >= end)
                        return true;
                maps = position + strcspn(position, "\n");
                maps += *maps == '\n';
        }
        return false;
}

int process_get_listener(int fd, pid_t *ret_pid)
{
        struct ucred credentials = {0};
        socklen_t length = sizeof(credentials);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
                return -errno;
        *ret_pid = credentials.pid;
        return 0;
}

/* Asks the kernel about the socket with this inode; the answer goes to @answer. */
static ssize_t ask_sock_diag(uint32_t inode, void *answer, size_t size)
{
        CLEANUP_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
        struct {
                struct nlmsghdr header;
                struct unix_diag_req request;
        } question = {
                .header = {.nlmsg_len = sizeof(question),
                           .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                           .nlmsg_flags = NLM_F_REQUEST},
                .request = {.sdiag_family = AF_UNIX,
                            .udiag_states = UINT32_MAX,
                            .udiag_ino = inode,
                            .udiag_show = UDIAG_SHOW_PEER,
                            .udiag_cookie = {UINT32_MAX, UINT32_MAX}},
        };
        ssize_t got = 0;

        if (fd < 0)
                return -errno;
        if (send(fd, &question, sizeof(question), 0) < 0)
                return -errno;
        got = recv(fd, answer, size, 0);
        return got < 0 ? -errno : got;
}

static int find_peer_inode(int fd, uint32_t *ret_inode)
{
        union {
                struct nlmsghdr header;
                char bytes[4096];
        } answer = {0};
        struct stat status;
        ssize_t got = 0;
        const struct nlmsgerr *error = NULL;
        size_t offset = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(struct unix_diag_msg)));

        if (fstat(fd, &status) < 0)
                return -errno;
        got = ask_sock_diag((uint32_t)status.st_ino, &answer, sizeof(answer));
        if (got < 0)
                return (int)got;
        if (!NLMSG_OK(&answer.header, (size_t)got))
                return -EBADMSG;
        if (answer.header.nlmsg_type == NLMSG_ERROR) {
                error = NLMSG_DATA(&answer.header);
                return error->error < 0 ? error->error : -EBADMSG;
        }
        while (offset + sizeof(struct nlattr) <= answer.header.nlmsg_len) {
                struct nlattr attribute;

                memcpy(&attribute, answer.bytes + offset, sizeof(attribute));
                if (attribute.nla_type == UNIX_DIAG_PEER &&
                    attribute.nla_len >= NLA_HDRLEN + sizeof(uint32_t)) {
                        memcpy(ret_inode, answer.bytes + offset + NLA_HDRLEN, sizeof(*ret_inode));
                        return *ret_inode ? 0 : -ENOTCONN;
                }
                if (attribute.nla_len < NLA_HDRLEN)
                        return -EBADMSG;
                offset += NLA_ALIGN(attribute.nla_len);
        }
        return -ENOTCONN;
}

int process_get_peer_inode(int fd, uint32_t *ret_inode, struct failure *failure)
{
        int r = find_peer_inode(fd, ret_inode);

        return r < 0 ? failure_errno(
                               failure, r,
                               "cannot find the process at the other end of the socket, for which the kernel "
                               "needs unix_diag")
                     : 0;
}

static int compare_link(void *context, int folder_fd, const char *name, long number)
{
        const char *target = context;
        char link[64];
        const ssize_t length = readlinkat(folder_fd, name, link, sizeof(link) - 1);

        (void)number;
        if (length < 0)
                return 0;
        link[length] = '\0';
        return strcmp(link, target) == 0;
}

int process_has_socket(int proc_fd, uint32_t inode)
{
        char target[32];
        int r = 0;

        (void)snprintf(target, sizeof(target), "socket:[%u]", inode);
        r = numbered_for_each(proc_fd, "fd", compare_link, target);
        return r == -ENOENT ? -ESRCH : r;
}

struct holders {
        uint32_t inode;
        pid_t *pids;
        size_t count;
};

static int look_at_process(void *context, int proc_dir_fd, const char *name, long number)
{
        struct holders *holders = context;
        CLEANUP_CLOSE int proc_fd = openat(proc_dir_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (proc_fd >= 0 && process_has_socket(proc_fd, holders->inode) > 0)
                holders->pids[holders->count++] = (pid_t)number;
        return holders->count == HOLDERS_MAX;
}

int process_find_holders(uint32_t inode, pid_t **ret_pids, size_t *ret_count, struct failure *failure)
{
        CLEANUP_FREE pid_t *pids = calloc(HOLDERS_MAX, sizeof(*pids));
        struct holders holders = {.inode = inode, .pids = pids};
        int r = pids ? numbered_for_each(AT_FDCWD, "/proc", look_at_process, &holders) : -ENOMEM;

        if (r < 0)
                return failure_errno(failure, r, "cannot search /proc");
        *ret_count = holders.count;
        *ret_pids = TAKE_PTR(pids);
        return 0;
}
