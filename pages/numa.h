/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which NUMA node a frame lies on. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A block in which two nodes meet. */
#define NUMA_MANY_NODES UINT16_MAX

/**
 * struct numa - the nodes of the host's memory, which is divided into blocks of one size
 * @n_nodes: the largest number of a node, plus one
 * @block_frames: frames of a block
 * @nodes: by block, its node plus one, or NUMA_MANY_NODES; 0 when not known; owned
 */
struct numa {
        size_t n_nodes;
        uint64_t block_frames;
        uint16_t *nodes;
        size_t n_blocks;
};

void numa_deinit(struct numa *numa);

/* Return: a number below n_nodes, or -1 when it is not known. */
int numa_node_of_frame(const struct numa *numa, uint64_t pfn);
