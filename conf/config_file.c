/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/config_file.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "conf/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int config_file_read(int dir_fd, const char *name, char **ret_text, size_t *ret_length,
                     struct failure *failure)
{
        /* O_NONBLOCK: else a FIFO without a writer would hold us here. */
        CLEANUP_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        CLEANUP_FREE char *text = NULL;
        struct stat status = {0};
        size_t length = 0;
        int r = 0;

        if (fd < 0)
                return failure_errno(failure, -errno, "cannot be opened");
        if (fstat(fd, &status) < 0)
                return failure_errno(failure, -errno, "cannot be examined");
        if (S_ISDIR(status.st_mode))
                return failure_set(failure, -EISDIR, "is a folder, not a file");
        if (!S_ISREG(status.st_mode))
                return failure_set(failure, -EINVAL, "is no regular file");
        text = malloc(CONFIG_FILE_MAX_BYTES + 2);
        if (!text)
                return failure_set(failure, -ENOMEM, "out of memory");
        r = fileio_read_up_to(fd, text, CONFIG_FILE_MAX_BYTES + 1, &length);
        if (r < 0)
                return failure_errno(failure, r, "cannot be read");
        if (length > CONFIG_FILE_MAX_BYTES)
                return failure_set(failure, -EFBIG, "is larger than %u bytes", CONFIG_FILE_MAX_BYTES);
        text[length] = '\0';
        *ret_text = TAKE_PTR(text);
        *ret_length = length;
        return 0;
}

static bool is_drop_in(const char *name)
{
        const char *suffix = strrchr(name, '.');

        return name[0] != '.' && suffix && strcmp(suffix, ".conf") == 0;
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes nothing, adds to @names, which has room for CONFIG_DROP_INS_MAX. */
static int collect(DIR *dir, char **names, size_t *n, struct failure *failure)
{
        for (;;) {
                const struct dirent *entry = NULL;

                errno = 0;
                entry = readdir(dir);
                if (!entry && errno)
                        return failure_errno(failure, -errno, "cannot be listed");
                if (!entry)
                        return 0;
                if (!is_drop_in(entry->d_name))
                        continue;
                if (*n == CONFIG_DROP_INS_MAX)
                        return failure_set(failure, -E2BIG, "holds more than %u files", CONFIG_DROP_INS_MAX);
                names[*n] = strdup(entry->d_name);
                if (!names[*n])
                        return failure_set(failure, -ENOMEM, "out of memory");
                (*n)++;
        }
}

int config_file_list(int dir_fd, char ***ret_names, size_t *ret_n, struct failure *failure)
{
        /* A descriptor of its own, which closedir() closes and whose position nobody shares. */
        CLEANUP_CLOSEDIR DIR *dir = fileio_open_folder(dir_fd, ".");
        char **names = NULL;
        size_t n = 0;
        int r = 0;

        if (!dir)
                return failure_errno(failure, -errno, "cannot be listed");
        names = calloc(CONFIG_DROP_INS_MAX, sizeof(*names));
        if (!names)
                return failure_set(failure, -ENOMEM, "out of memory");
        r = collect(dir, names, &n, failure);
        if (r < 0) {
                config_file_free_list(names, n);
                return r;
        }
        qsort(names, n, sizeof(*names), compare_names);
        *ret_names = names;
        *ret_n = n;
        return 0;
}

void config_file_free_list(char **names, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(names[i]);
        free(names);
}
