/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel divides physical memory into blocks that can be taken out. memory/block_size_bytes (hexadecimal)
 * gives their size, and an entry node/nodeN/memoryM means that block M lies on node N. Both nodes list a
 * block in which they meet: its node is not known.
 */
#include "scanner/numa_read.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "pages/page.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The number behind @prefix, and nothing else behind that. */
static bool parse_name(const char *name, const char *prefix, unsigned long most, unsigned long *ret)
{
        const size_t length = strlen(prefix);
        char *end = NULL;

        if (strncmp(name, prefix, length) != 0 || name[length] < '0' || name[length] > '9')
                return false;
        errno = 0;
        *ret = strtoul(name + length, &end, 10);
        return errno == 0 && *end == '\0' && *ret < most;
}

static int read_block_size(int system_fd, uint64_t *ret_frames)
{
        CLEANUP_FREE char *text = NULL;
        int r = fileio_read_text(system_fd, "memory/block_size_bytes", &text);

        if (r < 0)
                return r;
        *ret_frames = strtoull(text, NULL, 16) >> PAGE_SHIFT;
        return *ret_frames > 0 ? 0 : -ENODATA;
}

/* Calls @take for each entry below a folder whose name is @prefix and a number. */
static int for_each_numbered(int parent_fd, const char *folder, const char *prefix, unsigned long most,
                             int (*take)(struct numa *numa, int folder_fd, const char *name,
                                         unsigned long number, unsigned long context),
                             struct numa *numa, unsigned long context)
{
        CLEANUP_CLOSEDIR DIR *dir = fileio_open_folder(parent_fd, folder);
        const struct dirent *entry = NULL;
        unsigned long number = 0;
        int r = 0;

        if (!dir)
                return -errno;
        while (r == 0 && (entry = readdir(dir)))
                if (parse_name(entry->d_name, prefix, most, &number))
                        r = take(numa, dirfd(dir), entry->d_name, number, context);
        return r;
}

static int take_block(struct numa *numa, int folder_fd, const char *name, unsigned long block,
                      unsigned long node)
{
        (void)folder_fd;
        (void)name;
        if (block >= numa->n_blocks) {
                uint16_t *larger = reallocarray(numa->nodes, block + 1, sizeof(*larger));

                if (!larger)
                        return -ENOMEM;
                memset(larger + numa->n_blocks, 0, (block + 1 - numa->n_blocks) * sizeof(*larger));
                numa->nodes = larger;
                numa->n_blocks = block + 1;
        }
        numa->nodes[block] = numa->nodes[block] == 0 ? (uint16_t)(node + 1) : NUMA_MANY_NODES;
        return 0;
}

static int take_node(struct numa *numa, int folder_fd, const char *name, unsigned long node,
                     unsigned long context)
{
        int r = for_each_numbered(folder_fd, name, "memory", NUMA_MAX_BLOCKS, take_block, numa, node);

        (void)context;
        if (r == 0 && node >= numa->n_nodes)
                numa->n_nodes = node + 1;
        return r;
}

static bool has_two_nodes(const struct numa *numa)
{
        uint16_t first = 0;

        for (size_t i = 0; i < numa->n_blocks; i++) {
                if (numa->nodes[i] == 0)
                        continue;
                if (first != 0 && numa->nodes[i] != first)
                        return true;
                first = numa->nodes[i];
        }
        return false;
}

int numa_read(int system_fd, struct numa *ret)
{
        struct numa numa = {0};
        int r = read_block_size(system_fd, &numa.block_frames);

        if (r == 0)
                r = for_each_numbered(system_fd, "node", "node", NUMA_MAX_NODES, take_node, &numa, 0);
        if (r == 0 && !has_two_nodes(&numa))
                r = -ENODATA;
        if (r < 0) {
                numa_deinit(&numa);
                return r;
        }
        *ret = numa;
        return 0;
}
