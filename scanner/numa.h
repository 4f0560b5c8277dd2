/* SPDX-License-Identifier: GPL-2.0-or-later */
/* On which NUMA node a frame lies. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define NUMA_SYSTEM_DIR "/sys/devices/system"
#define NUMA_MAX_NODES  1024
/* Blocks of 128 MiB up to 128 TiB. */
#define NUMA_MAX_BLOCKS (1U << 20)

/**
 * struct numa - the nodes of the host's memory, which is cut into blocks of one size
 * @n_nodes: the largest number of a node, plus one
 * @block_frames: frames of a block
 * @nodes: by block, its node plus one; 0 when not known; owned
 */
struct numa {
        size_t n_nodes;
        uint64_t block_frames;
        uint16_t *nodes;
        size_t n_blocks;
};

/**
 * numa_read() - find out
 * @system_fd: open NUMA_SYSTEM_DIR, or a fixture; borrowed for the call
 *
 * Return: 0; -ENODATA when the host has one node only, or does not say; another negative errno.
 */
int numa_read(int system_fd, struct numa *ret);

void numa_deinit(struct numa *numa);

/* Return: a number below n_nodes, or -1 when it is not known. */
int numa_node_of_frame(const struct numa *numa, uint64_t pfn);
