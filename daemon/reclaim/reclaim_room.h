/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a tmpfs with a size has room for all that its files may grow to. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Limits on all files, on the depth of folders, and on files without a name or with several. The sum leaves
 * out the rest. */
#define RECLAIM_ROOM_FILES_MAX 100000
#define RECLAIM_ROOM_DEPTH_MAX 32
#define RECLAIM_ROOM_SEEN_MAX  4096

/**
 * struct reclaim_room - of a file system
 * @is_limited: it has a size; if not, the other fields are 0
 * @size_bytes: that size
 * @promised_bytes: what its files take when all of their pages are present; UINT64_MAX if some cannot be
 * found
 */
struct reclaim_room {
        bool is_limited;
        uint64_t size_bytes;
        uint64_t promised_bytes;
};

/**
 * reclaim_room_measure() - add up all files of the tmpfs that a file lies in
 * @proc_dir_fd: open /proc folder
 * @proc_fd: open folder below it, of a process that sees the tmpfs
 * @file_fd: a file of the tmpfs
 *
 * Return: 0 or a negative errno.
 */
int reclaim_room_measure(int proc_dir_fd, int proc_fd, int file_fd, struct reclaim_room *ret_room);
