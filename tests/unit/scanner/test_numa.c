/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "made_tree.h"
#include "scanner/numa_read.h"
#include "unit.h"

#include <errno.h>

/* Blocks of 128 MiB: 0 and 1 on node 0, 2 on node 2, 5 on both, 3 and 4 on none. */
static void test_nodes(void)
{
        const uint64_t block = (UINT64_C(128) << 20) / 4096;
        struct made_tree tree;
        struct numa numa;

        made_tree_init(&tree);
        made_tree_file(&tree, "memory/block_size_bytes", "8000000\n");
        made_tree_file(&tree, "node/node0/memory0/state", "online\n");
        made_tree_file(&tree, "node/node0/memory1/state", "online\n");
        made_tree_file(&tree, "node/node0/memory5/state", "online\n");
        made_tree_file(&tree, "node/node0/memoryX/state", "online\n");
        made_tree_file(&tree, "node/node0/meminfo", "\n");
        made_tree_file(&tree, "node/node1/meminfo", "\n");
        made_tree_file(&tree, "node/node2/memory2/state", "online\n");
        made_tree_file(&tree, "node/node2/memory5/state", "online\n");
        made_tree_file(&tree, "node/node2/memory99999999999/state", "online\n");
        made_tree_file(&tree, "node/node99999/memory3/state", "online\n");
        made_tree_file(&tree, "node/online", "0-2\n");
        CU_ASSERT_EQUAL_FATAL(numa_read(tree.fd, &numa), 0);
        CU_ASSERT_EQUAL(numa.n_nodes, 3);
        CU_ASSERT_EQUAL(numa.block_frames, block);
        CU_ASSERT_EQUAL(numa_node_of_frame(&numa, 0), 0);
        CU_ASSERT_EQUAL(numa_node_of_frame(&numa, 2 * block - 1), 0);
        CU_ASSERT_EQUAL(numa_node_of_frame(&numa, 2 * block), 2);
        CU_ASSERT_EQUAL(numa_node_of_frame(&numa, 3 * block), -1);
        CU_ASSERT_EQUAL(numa_node_of_frame(&numa, 5 * block), -1);
        CU_ASSERT_EQUAL(numa_node_of_frame(&numa, 6 * block), -1);
        CU_ASSERT_EQUAL(numa_node_of_frame(&numa, UINT64_MAX >> 9), -1);
        numa_deinit(&numa);
        made_tree_deinit(&tree);
}

static void test_one_node_needs_nothing(void)
{
        struct made_tree tree;
        struct numa numa;

        made_tree_init(&tree);
        CU_ASSERT(numa_read(tree.fd, &numa) < 0);
        made_tree_file(&tree, "memory/block_size_bytes", "0\n");
        CU_ASSERT_EQUAL(numa_read(tree.fd, &numa), -ENODATA);
        made_tree_file(&tree, "memory/block_size_bytes", "8000000\n");
        CU_ASSERT(numa_read(tree.fd, &numa) < 0);
        made_tree_file(&tree, "node/node0/memory0/state", "online\n");
        made_tree_file(&tree, "node/node1/meminfo", "\n");
        CU_ASSERT_EQUAL(numa_read(tree.fd, &numa), -ENODATA);
        made_tree_deinit(&tree);
}

static const struct unit_test tests[] = {
        {"nodes", test_nodes},
        {"one node needs nothing", test_one_node_needs_nothing},
};

UNIT_MAIN("numa", tests)
