/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/virt/domain_process.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "base/numbered.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* libvirt writes tens of KiB for a domain with many devices. */
#define COMMAND_LINE_MAX_BYTES (2U << 20)
#define PID_FILE_BYTES         32

/* Reads up to @size - 1 bytes, and puts a NUL behind them. */
static ssize_t read_file(int dir_fd, const char *path, char *buffer, size_t size)
{
        CLEANUP_CLOSE int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        size_t length = 0;
        int r = fd < 0 ? -errno : fileio_read_up_to(fd, buffer, size - 1, &length);

        if (r < 0)
                return r;
        buffer[length] = '\0';
        return (ssize_t)length;
}

bool domain_process_has_uuid(int dir_fd, const char *name, const char *uuid)
{
        CLEANUP_FREE char *words = malloc(COMMAND_LINE_MAX_BYTES);
        char path[32];
        ssize_t length = 0;
        bool is_next = false;

        (void)snprintf(path, sizeof(path), "%s/cmdline", name);
        length = words ? read_file(dir_fd, path, words, COMMAND_LINE_MAX_BYTES) : -ENOMEM;
        for (ssize_t at = 0; at < length; at += (ssize_t)strlen(words + at) + 1) {
                if (is_next && strcasecmp(words + at, uuid) == 0)
                        return true;
                is_next = strcmp(words + at, "-uuid") == 0;
        }
        return false;
}

/* The pid in libvirt's file about the domain; 0 without one. */
static pid_t read_pid_file(const char *run_dir, const char *name)
{
        CLEANUP_FREE char *path = NULL;
        char text[PID_FILE_BYTES];
        char *end = NULL;
        long pid = 0;

        if (strchr(name, '/'))
                return 0;
        if (asprintf(&path, "%s/%s.pid", run_dir, name) < 0) {
                path = NULL;
                return 0;
        }
        if (read_file(AT_FDCWD, path, text, sizeof(text)) <= 0)
                return 0;
        pid = strtol(text, &end, 10);
        return (*end == '\0' || *end == '\n') && pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

struct search {
        const char *uuid;
        pid_t *pids;
        size_t count;
};

static int look_at(void *context, int proc_dir_fd, const char *name, long number)
{
        struct search *search = context;

        if (domain_process_has_uuid(proc_dir_fd, name, search->uuid))
                search->pids[search->count++] = (pid_t)number;
        return search->count == DOMAIN_PROCESS_MAX;
}

int domain_process_find(const char *run_dir, const char *name, const char *uuid,
                        pid_t ret_pids[DOMAIN_PROCESS_MAX], size_t *ret_count, struct failure *failure)
{
        struct search search = {.uuid = uuid, .pids = ret_pids};
        char folder[32];

        ret_pids[0] = read_pid_file(run_dir, name);
        (void)snprintf(folder, sizeof(folder), "/proc/%d", (int)ret_pids[0]);
        if (ret_pids[0] > 0 && domain_process_has_uuid(AT_FDCWD, folder, uuid)) {
                *ret_count = 1;
                return 0;
        }
        (void)numbered_for_each(AT_FDCWD, "/proc", look_at, &search);
        *ret_count = search.count;
        if (*ret_count == 0)
                return failure_set(failure, -ESRCH,
                                   "no process on this host says that it is the QEMU of the domain %s", uuid);
        return 0;
}
