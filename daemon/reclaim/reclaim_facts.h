/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc says about the users of a QEMU's memory, for reclaim_judge(). */
#pragma once

#include "daemon/reclaim/reclaim_judge.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * reclaim_facts_read_process() - read what a process has open, locked and pinned
 * @proc_fd: its open /proc/PID folder
 *
 * Return: 0, or a negative errno: then nothing is known.
 */
int reclaim_facts_read_process(int proc_fd, struct reclaim_process_facts *ret_facts);

/**
 * struct reclaim_wanted - a file whose other users are searched for
 * @device, @inode: as of stat(2)
 * @qemu: its own mappings and descriptors do not count, except a shared mapping beside a private one if
 * @is_private
 */
struct reclaim_wanted {
        uint64_t device;
        uint64_t inode;
        pid_t qemu;
        bool is_private;
        enum reclaim_holder holder;
        pid_t holder_pid;
};

/**
 * reclaim_facts_find_holders() - find which other processes map these files or have them open
 * @proc_dir_fd: open /proc folder
 * @self: this process, which is skipped
 *
 * It walks through all processes once, and skips an init that may not be examined. It keeps the worst finding
 * for each file. A process that can only read a file does not count.
 *
 * Return: 0; -EACCES when a process may not be examined; another negative errno.
 */
int reclaim_facts_find_holders(int proc_dir_fd, pid_t self, struct reclaim_wanted *wanted, size_t n_wanted);
