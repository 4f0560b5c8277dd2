/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scanner/guest_process.h"

#include "base/cleanup.h"
#include "scanner/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/pidfd.h>
#include <sys/sysinfo.h>

static int open_proc_file(int proc_fd, const char *name, int *ret_fd, struct failure *failure)
{
        int fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);

        if (fd < 0 && (errno == EACCES || errno == EPERM))
                return failure_set(failure, -EPERM,
                                   "may not read the memory of its QEMU (%s): this needs root, or "
                                   "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
                                   name);
        if (fd < 0)
                return failure_errno(failure, -errno, "cannot open %s of its QEMU", name);
        *ret_fd = fd;
        return 0;
}

int guest_process_open(struct guest_process *process, pid_t pid, int proc_fd, struct failure *failure)
{
        struct sysinfo host = {0};
        int r = 0;

        /*
         * The pidfd comes first: the files open only while the process has its number, so it is of no other.
         */
        *process = (struct guest_process){
                .pid = pid, .pidfd = pidfd_open(pid, 0), .pagemap_fd = -1, .mem_fd = -1, .kpageflags_fd = -1};
        r = open_proc_file(proc_fd, "pagemap", &process->pagemap_fd, failure);
        if (r >= 0)
                r = open_proc_file(proc_fd, "mem", &process->mem_fd, failure);
        if (r < 0)
                return r;
        process->has_pagemap_scan = pagemap_has_scan(process->pagemap_fd);
        process->host_has_swap = sysinfo(&host) == 0 && host.totalswap > 0;
        return 0;
}

void guest_process_close(struct guest_process *process)
{
        close_fd(&process->pidfd);
        close_fd(&process->pagemap_fd);
        close_fd(&process->mem_fd);
}
