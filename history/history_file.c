/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history/history_file.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MODE   0640
#define FOLDER_MODE 0750

/* Sets the modes outright: the umask of a service would take away the group's right to read. */
static int make_file(const char *path)
{
        CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, FILE_MODE);

        if (fd < 0)
                return -errno;
        return fchmod(fd, FILE_MODE) < 0 ? -errno : 0;
}

static int make_folder_of(const char *path)
{
        CLEANUP_FREE char *folder = strdup(path);
        char *slash = folder ? strrchr(folder, '/') : NULL;

        if (!folder)
                return -ENOMEM;
        if (!slash || slash == folder)
                return -ENOENT;
        *slash = '\0';
        if (mkdir(folder, FOLDER_MODE) < 0)
                return -errno;
        return chmod(folder, FOLDER_MODE) < 0 ? -errno : 0;
}

int history_file_prepare(const char *path, bool make, struct failure *failure)
{
        struct stat status = {0};
        int r = 0;

        if (stat(path, &status) == 0)
                return S_ISREG(status.st_mode)
                               ? 0
                               : failure_set(failure, -EINVAL, "the history %s is not a file", path);
        if (errno != ENOENT)
                return failure_errno(failure, -errno, "the history %s cannot be opened", path);
        if (!make)
                return failure_set(failure, -ENOENT, "there is no history in %s yet", path);
        r = make_file(path);
        if (r == -ENOENT) {
                r = make_folder_of(path);
                r = r == 0 ? make_file(path) : r;
        }
        return r < 0 ? failure_errno(failure, r, "the history %s cannot be made", path) : 0;
}

void history_file_stamp(const char *path, struct history_stamp *ret)
{
        struct stat status = {0};

        if (stat(path, &status) < 0)
                status = (struct stat){0};
        *ret = (struct history_stamp){
                .inode = status.st_ino,
                .size = (uint64_t)status.st_size,
                .seconds = status.st_mtim.tv_sec,
                .nanoseconds = status.st_mtim.tv_nsec,
                .has_log = history_file_has_log(path),
        };
}

bool history_file_has_log(const char *path)
{
        CLEANUP_FREE char *log = NULL;

        return asprintf(&log, "%s-wal", path) >= 0 && access(log, F_OK) == 0;
}

static bool stands_for_itself(char byte)
{
        return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
               (byte && strchr("/._-", byte));
}

char *history_file_uri(const char *path, bool immutable)
{
        static const char query[] = "?immutable=1";
        const size_t size = sizeof("file://") + 3 * strlen(path) + sizeof(query);
        char *uri = malloc(size);
        size_t length = 0;

        if (!uri)
                return NULL;
        /* Without two more slashes, SQLite would take the start of a path that begins with two for a host. */
        length = (size_t)snprintf(uri, size, "file:%s", *path == '/' ? "//" : "");
        for (; *path; path++) {
                if (stands_for_itself(*path))
                        uri[length++] = *path;
                else
                        length += (size_t)snprintf(uri + length, size - length, "%%%02X",
                                                   (unsigned int)(unsigned char)*path);
        }
        (void)snprintf(uri + length, size - length, "%s", immutable ? query : "");
        return uri;
}
