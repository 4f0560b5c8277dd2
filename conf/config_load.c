/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "conf/config.h"
#include "conf/config_file.h"
#include "conf/config_parse.h"
#include "conf/problems.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

static void free_options(struct options **options)
{
        options_free(*options);
}

/* Whether there is something, be it a link to nothing. */
static bool is_there(int dir_fd, const char *name)
{
        struct stat status = {0};

        return fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static void load_file(struct options *options, int dir_fd, const char *name, bool must_exist,
                      struct problems *problems)
{
        CLEANUP_FREE char *text = NULL;
        struct failure reason = {0};
        size_t length = 0;
        int r = config_file_read(dir_fd, name, &text, &length, &reason);

        if (r == -ENOENT && !must_exist && !is_there(dir_fd, name))
                return;
        if (r < 0)
                problems_add(problems, r, "%s", reason.text);
        else
                config_parse(options, text, length, problems);
        problems->line = 0;
}

static void load_drop_ins(struct options *options, const char *folder, struct problems *problems)
{
        /* O_DIRECTORY, so this waits for no FIFO. */
        CLEANUP_CLOSE int dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct failure reason = {0};
        char **names = NULL;
        size_t n = 0;
        int r = dir_fd < 0 ? -errno : 0;

        if (r == -ENOENT && !is_there(AT_FDCWD, folder))
                return;
        if (dir_fd < 0)
                r = failure_errno(&reason, r, "cannot be opened");
        else
                r = config_file_list(dir_fd, &names, &n, &reason);
        problems->path = folder;
        if (r < 0)
                problems_add(problems, r, "%s", reason.text);
        for (size_t i = 0; i < n; i++) {
                CLEANUP_FREE char *path = NULL;

                if (asprintf(&path, "%s/%s", folder, names[i]) < 0)
                        path = NULL;
                problems->path = path ? path : folder;
                if (path)
                        load_file(options, dir_fd, names[i], true, problems);
                else
                        problems_add(problems, -ENOMEM, "out of memory");
        }
        config_file_free_list(names, n);
}

int config_load(const char *path, bool must_exist, config_warn_fn *warn, void *context, struct options **ret,
                struct failure *failure)
{
        struct problems problems = {.warn = warn, .context = context, .path = path};
        CLEANUP(free_options) struct options *options = NULL;
        CLEANUP_FREE char *folder = NULL;
        int r = options_new(true, &options);

        if (r < 0)
                return failure_errno(failure, r, "%s", path);
        if (asprintf(&folder, "%s.d", path) < 0) {
                folder = NULL;
                return failure_errno(failure, -ENOMEM, "%s", path);
        }
        load_file(options, AT_FDCWD, path, must_exist, &problems);
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
