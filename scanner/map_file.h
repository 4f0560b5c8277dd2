/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file behind a mapping of another process. */
#pragma once

#include "base/failure.h"
#include "scanner/mapping.h"

#include <stdbool.h>

/**
 * map_file_open() - open the file for reading
 * @proc_fd: the process's open /proc folder, borrowed
 * @ret_fd: the caller closes it
 * @ret_is_tmpfs: it is a regular file in memory; devices lie on a tmpfs too, but have no extents
 *
 * It opens the file through /proc/PID/map_files. That works for deleted files, and for shared memory that no
 * descriptor of the process refers to. It then checks that this is the mapping's file, since another file may
 * have been mapped there after smaps was read.
 *
 * Return: 0; -EPERM without CAP_SYS_ADMIN; -ESTALE when it is another file; another negative errno; with a
 * sentence.
 */
int map_file_open(int proc_fd, const struct mapping *mapping, int *ret_fd, bool *ret_is_tmpfs,
                  struct failure *failure);
