/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scanner/map_file.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

int map_file_open(int proc_fd, const struct mapping *mapping, int *ret_fd, bool *ret_is_tmpfs,
                  struct failure *failure)
{
        CLEANUP_CLOSE int fd = -1;
        struct statfs filesystem = {0};
        struct stat status = {0};
        char name[64] = "";

        (void)snprintf(name, sizeof(name), "map_files/%" PRIx64 "-%" PRIx64, mapping->start, mapping->end);
        fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && (errno == EPERM || errno == EACCES))
                return failure_set(failure, -EPERM,
                                   "may not open its RAM file (map_files): this needs CAP_SYS_ADMIN");
        if (fd < 0)
                return failure_errno(failure, -errno, "cannot open its RAM file (%s)", name);
        if (fstat(fd, &status) < 0 || fstatfs(fd, &filesystem) < 0)
                return failure_errno(failure, -errno, "cannot examine its RAM file");
        if (status.st_ino != mapping->file_inode)
                return failure_set(failure, -ESTALE, "its RAM was mapped anew while it was being looked at");
        *ret_is_tmpfs = filesystem.f_type == TMPFS_MAGIC && S_ISREG(status.st_mode);
        *ret_fd = TAKE_FD(fd);
        return 0;
}
