/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files through which the memory of a QEMU process is seen. */
#pragma once

#include "base/failure.h"

#include <stdbool.h>
#include <sys/types.h>

/**
 * struct guest_process - a QEMU process
 * @pidfd: says whether @pid is still its number; -1 when that is never known
 * @pagemap_fd, @mem_fd: its /proc/PID/pagemap and /proc/PID/mem
 * @kpageflags_fd: from frames_open(), borrowed: scan_new() sets it; negative: frames are not known
 * @has_pagemap_scan: the kernel has the PAGEMAP_SCAN ioctl (6.7)
 * @host_has_swap: pages of RAM files may be on swap, which their extents do not tell
 */
struct guest_process {
        pid_t pid;
        int pidfd;
        int pagemap_fd;
        int mem_fd;
        int kpageflags_fd;
        bool has_pagemap_scan;
        bool host_has_swap;
};

/**
 * guest_process_open() - open them
 * @proc_fd: its open /proc/PID folder, borrowed for the call
 *
 * Return: 0, or a negative errno with @failure naming the missing privilege or file. To be closed either way.
 */
int guest_process_open(struct guest_process *process, pid_t pid, int proc_fd, struct failure *failure);

void guest_process_close(struct guest_process *process);
