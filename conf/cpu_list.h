/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of CPUs, as the kernel and taskset(1) write them. */
#pragma once

#include "base/failure.h"

#include <sched.h>

#define CPU_LIST_NODE_DIR "/sys/devices/system/node"

/**
 * cpu_list_parse() - read a list like "0-3,8" or "node1"
 * @text: numbers, ranges, and NUMA nodes, which stand for all their CPUs; with commas between them
 * @node_dir: CPU_LIST_NODE_DIR, or a fixture
 *
 * Return: 0; -EINVAL or the errno of an unreadable node, with a sentence in @failure.
 */
int cpu_list_parse(const char *text, const char *node_dir, cpu_set_t *ret, struct failure *failure);
