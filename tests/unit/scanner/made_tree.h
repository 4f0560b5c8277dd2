/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tree of files made up for a test, which stands in for a part of proc or sys. */
#pragma once

#include "unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct made_tree {
        char path[64];
        int fd;
};

static inline void made_tree_init(struct made_tree *tree)
{
        (void)snprintf(tree->path, sizeof(tree->path), "/tmp/samepage-tree-XXXXXX");
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(tree->path));
        tree->fd = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CU_ASSERT_FATAL(tree->fd >= 0);
}

/* Makes the folders that a path below the tree needs. */
static inline void made_tree_folders(const struct made_tree *tree, const char *name)
{
        char copy[256] = "";

        (void)snprintf(copy, sizeof(copy), "%s", name);
        for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                (void)mkdirat(tree->fd, copy, 0700);
                *slash = '/';
        }
}

static inline void made_tree_file(const struct made_tree *tree, const char *name, const char *text)
{
        int fd = -1;

        made_tree_folders(tree, name);
        fd = openat(tree->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        CU_ASSERT_FATAL(fd >= 0);
        CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        (void)close(fd);
}

static inline void made_tree_link(const struct made_tree *tree, const char *name, const char *target)
{
        made_tree_folders(tree, name);
        CU_ASSERT_EQUAL_FATAL(symlinkat(target, tree->fd, name), 0);
}

static inline int made_tree_remove(const char *path, const struct stat *status, int type, struct FTW *where)
{
        (void)status;
        (void)type;
        (void)where;
        return remove(path);
}

static inline void made_tree_deinit(struct made_tree *tree)
{
        (void)close(tree->fd);
        (void)nftw(tree->path, made_tree_remove, 8, FTW_DEPTH | FTW_PHYS);
}
