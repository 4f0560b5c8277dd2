/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's RAM blocks and where they lie in QEMU's address space: parsers of QEMU's replies. */
#pragma once

#include "base/failure.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More than QEMU's memory slots (256 DIMMs) and NUMA nodes (128) together. */
#define BLOCKS_MAX 1024
/* Lines of one flat view that show a RAM block: virtio-mem can show a block in many parts. */
#define BLOCKS_RANGES_MAX  65536
#define BLOCKS_ALIGN_BYTES UINT64_C(4096)

/* One RAM block, which is one memory backend of QEMU. */
struct ram_block {
        char *id;            /* the memory backend's */
        char *backend;       /* its QOM type, "memory-backend-ram", "-memfd", "-file", …; NULL: unknown */
        uint64_t size_bytes; /* whole pages */
        uint64_t hva;        /* its start in QEMU's address space; 0: not mapped into the guest */
        bool share;          /* as configured; the mapping in /proc/PID/maps decides */
        bool merge;          /* as configured: QEMU asked for MADV_MERGEABLE (no effect on shared RAM) */
};

struct ram_blocks {
        struct ram_block *blocks; /* in QEMU's order; no two overlap in hva */
        size_t count;
};

/* Where a part of a block appears in the guest's physical address space. */
struct ram_range {
        uint64_t gpa;
        uint64_t size_bytes;
        uint64_t offset; /* within the block */
        size_t block;    /* index into struct ram_blocks */
        bool rom;
};

struct ram_ranges {
        struct ram_range *ranges;
        size_t count;
};

void blocks_deinit(struct ram_blocks *blocks);
void blocks_ranges_deinit(struct ram_ranges *ranges);

/* The block with this id, or NULL. */
struct ram_block *blocks_find(const struct ram_blocks *blocks, const char *id);

/* The bytes of all blocks; cannot overflow, as blocks_parse_memdev() checked the sum. */
uint64_t blocks_total_bytes(const struct ram_blocks *blocks);

/**
 * blocks_parse_memdev() - parse the blocks in the reply to query-memdev
 * @reply: borrowed
 * @ret_blocks: hva is 0 and backend NULL throughout; blocks_deinit() them
 *
 * Return: 0; -EBADMSG when the reply lacks the form of QEMU's or exceeds the limits.
 */
int blocks_parse_memdev(struct json_object *reply, struct ram_blocks *ret_blocks, struct failure *failure);

/* Notes the QOM types in the reply to `qom-list /objects`; a backend that it does not name keeps NULL. */
int blocks_parse_types(struct json_object *reply, struct ram_blocks *blocks);

/**
 * blocks_parse_mtree() - find where the blocks appear in the output of the monitor's `info mtree -f`
 * @text: whole output
 *
 * It uses the flat view of the address space "memory", and skips lines of other regions.
 *
 * Return: 0; -EBADMSG when there is no such view, or a line of a block contradicts the block's size.
 */
int blocks_parse_mtree(const char *text, const struct ram_blocks *blocks, struct ram_ranges *ret_ranges,
                       struct failure *failure);

/**
 * blocks_parse_gpa2hva() - parse the address in the output of the monitor's `gpa2hva`
 * @id: the block that the output must name
 *
 * Return: 0; -EBADMSG, the sentence quotes the text.
 */
int blocks_parse_gpa2hva(const char *text, const char *id, uint64_t *ret_hva, struct failure *failure);

/* Asks QEMU for the host address of a guest physical one: the output of `gpa2hva`, which the caller frees. */
typedef int blocks_translate_fn(void *context, uint64_t gpa, char **ret_text, struct failure *failure);

/**
 * blocks_locate() - find every block's hva
 * @translate: called for up to two ranges of each block that is mapped
 *
 * Return: 0; -EBADMSG when the two disagree, an address is not page-aligned, or blocks overlap; what
 * @translate returned.
 */
int blocks_locate(struct ram_blocks *blocks, const struct ram_ranges *ranges, blocks_translate_fn *translate,
                  void *context, struct failure *failure);
