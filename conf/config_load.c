/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "base/fileio.h"
#include "conf/config.h"
#include "conf/config_parse.h"
#include "conf/problems.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void free_options(struct options **options)
{
        options_free(*options);
}

/* Whether there is something, be it a link to nothing. */
static bool path_is_there(const char *path)
{
        struct stat status = {0};

        return lstat(path, &status) == 0;
}

/* Reads a whole file. It waits for nobody: a FIFO or a device is refused, not read. */
static int read_config_file(const char *path, char **ret_text, size_t *ret_length, struct failure *failure)
{
        /* O_NONBLOCK: else a FIFO without a writer would hold us here. */
        CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
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
        /* Room for the first byte too many, and for the NUL of config_parse(). */
        text = malloc(CONFIG_FILE_MAX_BYTES + 2);
        if (!text)
                return failure_set(failure, -ENOMEM, "out of memory");
        r = fileio_read_up_to(fd, text, CONFIG_FILE_MAX_BYTES + 1, &length);
        if (r < 0)
                return failure_errno(failure, r, "cannot be read");
        if (length > CONFIG_FILE_MAX_BYTES)
                return failure_set(failure, -EFBIG, "is larger than %u bytes", CONFIG_FILE_MAX_BYTES);
        *ret_text = TAKE_PTR(text);
        *ret_length = length;
        return 0;
}

static void load_config_file(struct options *options, const char *path, bool must_exist,
                             struct problems *problems)
{
        CLEANUP_FREE char *text = NULL;
        struct failure reason = {0};
        size_t length = 0;
        int r = read_config_file(path, &text, &length, &reason);

        if (r == -ENOENT && !must_exist && !path_is_there(path))
                return;
        problems->path = path;
        problems->line = 0;
        if (r < 0)
                problems_add(problems, r, "%s", reason.text);
        else
                config_parse(options, text, length, problems);
}

static int is_drop_in(const struct dirent *entry)
{
        const char *suffix = strrchr(entry->d_name, '.');

        return entry->d_name[0] != '.' && suffix && strcmp(suffix, ".conf") == 0;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static void load_drop_in(struct options *options, const char *folder, const char *name,
                         struct problems *problems)
{
        CLEANUP_FREE char *path = NULL;

        if (asprintf(&path, "%s/%s", folder, name) < 0) {
                path = NULL;
                problems_add(problems, -ENOMEM, "out of memory");
                return;
        }
        load_config_file(options, path, true, problems);
        problems->path = folder;
        problems->line = 0;
}

static void load_drop_ins(struct options *options, const char *folder, struct problems *problems)
{
        struct dirent **entries = NULL;
        const int n = scandir(folder, &entries, is_drop_in, compare_names);
        const int error = n < 0 ? -errno : 0;

        problems->path = folder;
        problems->line = 0;
        if (error < 0 && (error != -ENOENT || path_is_there(folder)))
                problems_add(problems, error, "cannot be opened: %s", strerror(-error));
        if (n > (int)CONFIG_DROP_INS_MAX)
                problems_add(problems, -E2BIG, "holds more than %u files", CONFIG_DROP_INS_MAX);
        for (int i = 0; i < n; i++) {
                if (n <= (int)CONFIG_DROP_INS_MAX)
                        load_drop_in(options, folder, entries[i]->d_name, problems);
                free(entries[i]);
        }
        free(entries);
}

int config_load(const struct config_source *source, struct options **ret, struct failure *failure)
{
        struct problems problems = {.warn = source->warn, .context = source->context};
        CLEANUP(free_options) struct options *options = NULL;
        CLEANUP_FREE char *folder = NULL;
        int r = options_new(true, &options);

        if (r < 0)
                return failure_errno(failure, r, "%s", source->path);
        if (asprintf(&folder, "%s.d", source->path) < 0) {
                folder = NULL;
                return failure_errno(failure, -ENOMEM, "%s", source->path);
        }
        load_config_file(options, source->path, source->must_exist, &problems);
        load_drop_ins(options, folder, &problems);
        /* The default of the one is longer than a short other. */
        if (options->jitter_usec > options->interval_usec)
                options->jitter_usec = options->interval_usec;
        r = problems_end(&problems, failure);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(options);
        return 0;
}
