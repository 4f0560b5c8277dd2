/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a domain's RAM blocks lie in its QEMU, found without asking QEMU. */
#pragma once

#include "base/failure.h"
#include "qmp/blocks.h"
#include "qmp/virt/domain_memory.h"

/* Mappings of a process that are looked at; the kernel's default limit is 65530. */
#define DOMAIN_RAM_MAPPINGS_MAX (1U << 20)

/**
 * domain_ram_match() - find each block among the mappings of the domain's QEMU
 * @maps: the text of /proc/PID/maps
 * @ret_blocks: blocks_deinit() them
 *
 * A block is the writable mapping of exactly its size and kind. Several blocks that are alike need exactly as
 * many mappings that fit them: which is whose does not matter then. Anything else is refused, as memory could
 * be read that is not the guest's.
 *
 * Return: 0; -ENOENT, -ENOTUNIQ with a sentence that names the way out; -ENOMEM.
 */
int domain_ram_match(const struct domain_memory *memory, const char *maps, struct ram_blocks *ret_blocks,
                     struct failure *failure);
