/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc tells of who uses a QEMU's memory, for reclaim_judge(). */
#pragma once

#include "daemon/reclaim/reclaim_judge.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * reclaim_facts_read_process() - what a process has open, locked and pinned
 * @proc_fd: its open /proc/PID folder
 *
 * Return: 0, or a negative errno: then nothing is known.
 */
int reclaim_facts_read_process(int proc_fd, struct reclaim_process_facts *ret_facts);

/**
 * struct reclaim_wanted - a file whose other users are looked for
 * @device, @inode: as of stat(2)
 * @qemu: whose mappings and descriptors are no others; but a shared mapping besides a private one is told, if
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
 * reclaim_facts_find_holders() - who else has these files mapped or open
 * @proc_dir_fd: open /proc folder
 * @self: this process, which is passed over
 *
 * Walks through all processes once, but for an init that may not be looked at. The worst that is found of each file is kept.
 * Who can only read a file does not count.
 *
 * Return: 0; -EACCES when a process may not be looked at; another negative errno.
 */
int reclaim_facts_find_holders(int proc_dir_fd, pid_t self, struct reclaim_wanted *wanted, size_t n_wanted);
