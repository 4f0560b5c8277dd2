/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/numbered.h"

#include "base/cleanup.h"
#include "base/fileio.h"

#include <ctype.h>
#include <errno.h>

int numbered_for_each(int dir_fd, const char *folder, numbered_fn *take, void *context)
{
        CLEANUP_CLOSEDIR DIR *dir = fileio_open_folder(dir_fd, folder);
        const struct dirent *entry = NULL;
        int r = 0;

        if (!dir)
                return -errno;
        while (r == 0 && (entry = readdir(dir)))
                if (isdigit((unsigned char)entry->d_name[0]))
                        r = take(context, dirfd(dir), entry->d_name, strtol(entry->d_name, NULL, 10));
        return r;
}
