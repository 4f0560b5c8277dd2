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

static int add_block(struct numa *numa, unsigned long block, unsigned long node)
{
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

static int read_node(struct numa *numa, int nodes_fd, const char *name, unsigned long node)
{
        CLEANUP_CLOSEDIR DIR *dir = fileio_open_folder(nodes_fd, name);
        const struct dirent *entry = NULL;
        unsigned long block = 0;
        int r = dir ? 0 : -errno;

        while (dir && r == 0 && (entry = readdir(dir)))
                if (parse_name(entry->d_name, "memory", NUMA_MAX_BLOCKS, &block))
                        r = add_block(numa, block, node);
        if (r == 0 && node >= numa->n_nodes)
                numa->n_nodes = node + 1;
        return r;
}

static int read_nodes(struct numa *numa, int system_fd)
{
        CLEANUP_CLOSEDIR DIR *dir = fileio_open_folder(system_fd, "node");
        const struct dirent *entry = NULL;
        unsigned long node = 0;
        int r = dir ? 0 : -errno;

        while (dir && r == 0 && (entry = readdir(dir)))
                if (parse_name(entry->d_name, "node", NUMA_MAX_NODES, &node))
                        r = read_node(numa, dirfd(dir), entry->d_name, node);
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
                r = read_nodes(&numa, system_fd);
        if (r == 0 && !has_two_nodes(&numa))
                r = -ENODATA;
        if (r < 0) {
                numa_deinit(&numa);
                return r;
        }
        *ret = numa;
        return 0;
}
