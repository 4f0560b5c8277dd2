/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds out on which NUMA nodes the host's memory lies. */
#pragma once

#include "pages/numa.h"

#define NUMA_SYSTEM_DIR "/sys/devices/system"
#define NUMA_MAX_NODES  1024
/* Blocks of 128 MiB up to 128 TiB. */
#define NUMA_MAX_BLOCKS (1U << 20)

/**
 * numa_read() - find out
 * @system_fd: open NUMA_SYSTEM_DIR, or a fixture; borrowed for the call
 *
 * Return: 0; -ENODATA when the host has one node only, or does not say; another negative errno.
 */
int numa_read(int system_fd, struct numa *ret);
