/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pages/numa.h"

#include <stdlib.h>

void numa_deinit(struct numa *numa)
{
        free(numa->nodes);
        *numa = (struct numa){0};
}

int numa_node_of_frame(const struct numa *numa, uint64_t pfn)
{
        const uint64_t block = pfn / numa->block_frames;
        const uint16_t node = block < numa->n_blocks ? numa->nodes[block] : 0;

        return node == 0 || node == NUMA_MANY_NODES ? -1 : node - 1;
}
