/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU maps each RAM block by one mmap() of its own, with an inaccessible page behind it, so that the kernel
 * does not join it with a neighbour: a block is one line of /proc/PID/maps. Only its size (rounded up to huge
 * pages) and where it comes from are known:
 *
 *   anonymous   rw-p, no file; shared, rw-s of /dev/zero
 *   memfd       a memfd of the name that QEMU gives it
 *   file        any other file
 *
 * QEMU has other memory too: thread stacks, video memory, translation buffers. If some of it looks like a
 * block, there are more mappings than blocks, and nothing is chosen.
 */
#include "qmp/virt/domain_ram.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HUGE_2M UINT64_C(0x200000)
#define HUGE_1G UINT64_C(0x40000000)

#define WAY_OUT "use libvirt_monitor (--libvirt-monitor), which asks its QEMU and taints the domain"

struct mapping {
        uint64_t start;
        uint64_t size_bytes;
        bool shared;
        enum memory_kind kind;
        const char *path; /* up to the end of the line */
        size_t path_length;
        bool taken;
};

struct mappings {
        struct mapping *list;
        size_t count;
};

static void mappings_deinit(struct mappings *mappings)
{
        free(mappings->list);
}

/* Reading the maps */

static bool has_prefix(const struct mapping *mapping, const char *prefix)
{
        return mapping->path_length >= strlen(prefix) && memcmp(mapping->path, prefix, strlen(prefix)) == 0;
}

static enum memory_kind kind_of(const struct mapping *mapping)
{
        if (mapping->path_length == 0)
                return mapping->shared ? MEMORY_KIND_UNKNOWN : MEMORY_KIND_ANONYMOUS;
        if (has_prefix(mapping, "/memfd:memory-backend-memfd"))
                return MEMORY_KIND_MEMFD;
        if (has_prefix(mapping, "/dev/zero"))
                return mapping->shared ? MEMORY_KIND_ANONYMOUS : MEMORY_KIND_UNKNOWN;
        if (mapping->path[0] != '/' || has_prefix(mapping, "/memfd:") || has_prefix(mapping, "/SYSV"))
                return MEMORY_KIND_UNKNOWN;
        return MEMORY_KIND_FILE;
}

/* Reads one line; false for what cannot be RAM. */
static bool parse_line(const char *line, size_t length, struct mapping *ret_mapping)
{
        struct mapping mapping = {0};
        char *position = NULL;
        const char *end = line + length;
        uint64_t last = 0;

        mapping.start = strtoull(line, &position, 16);
        if (*position != '-')
                return false;
        last = strtoull(position + 1, &position, 16);
        /* " rw-p 00000000 00:00 0     path" */
        if (last <= mapping.start || strncmp(position, " rw-", 4) != 0)
                return false;
        mapping.size_bytes = last - mapping.start;
        mapping.shared = position[4] == 's';
        position += 5;
        for (int field = 0; field < 3; field++) {
                position += strspn(position, " ");
                position += strcspn(position, " \n");
        }
        position += strspn(position, " ");
        mapping.path = position;
        mapping.path_length = position < end ? (size_t)(end - position) : 0;
        mapping.kind = kind_of(&mapping);
        *ret_mapping = mapping;
        return mapping.kind != MEMORY_KIND_UNKNOWN;
}

static int parse_maps(const char *maps, struct mappings *mappings)
{
        size_t lines = 1;

        for (const char *c = maps; *c; c++)
                lines += *c == '\n';
        if (lines > DOMAIN_RAM_MAPPINGS_MAX)
                return -E2BIG;
        mappings->list = calloc(lines, sizeof(*mappings->list));
        if (!mappings->list)
                return -ENOMEM;
        while (*maps) {
                size_t length = strcspn(maps, "\n");

                if (parse_line(maps, length, &mappings->list[mappings->count]))
                        mappings->count++;
                maps += length;
                maps += *maps == '\n';
        }
        return 0;
}

/* Choosing */

static bool is_path(const struct mapping *mapping, const char *path)
{
        static const char deleted[] = " (deleted)";
        size_t length = strlen(path);

        return has_prefix(mapping, path) && (mapping->path_length == length ||
                                             (mapping->path_length == length + strlen(deleted) &&
                                              memcmp(mapping->path + length, deleted, strlen(deleted)) == 0));
}

static uint64_t round_up(uint64_t size_bytes, uint64_t to)
{
        return (size_bytes + to - 1) / to * to;
}

/* Only what has a file can be of huge pages. */
static bool has_size(const struct mapping *mapping, uint64_t size_bytes)
{
        if (mapping->size_bytes == size_bytes)
                return true;
        return mapping->kind != MEMORY_KIND_ANONYMOUS &&
               (mapping->size_bytes == round_up(size_bytes, HUGE_2M) ||
                mapping->size_bytes == round_up(size_bytes, HUGE_1G));
}

static bool fits(const struct mapping *mapping, const struct memory_block *block)
{
        if (!has_size(mapping, block->size_bytes))
                return false;
        if (block->kind != MEMORY_KIND_UNKNOWN && block->kind != mapping->kind)
                return false;
        if (block->sharing != MEMORY_SHARING_UNKNOWN &&
            (block->sharing == MEMORY_SHARING_SHARED) != mapping->shared)
                return false;
        return !block->path || is_path(mapping, block->path);
}

static bool are_alike(const struct memory_block *a, const struct memory_block *b)
{
        return a->size_bytes == b->size_bytes && a->kind == b->kind && a->sharing == b->sharing &&
               strcmp(a->path ? a->path : "", b->path ? b->path : "") == 0;
}

static double mib(uint64_t bytes)
{
        return (double)bytes / (double)(1U << 20);
}

/* Checks that as many mappings fit the block as there are blocks like it. */
static int check_count(const struct domain_memory *memory, const struct mappings *mappings,
                       const struct memory_block *block, struct failure *failure)
{
        size_t n_blocks = 0;
        size_t n_mappings = 0;

        for (size_t i = 0; i < memory->n_blocks; i++)
                n_blocks += are_alike(&memory->blocks[i], block);
        for (size_t i = 0; i < mappings->count; i++)
                n_mappings += fits(&mappings->list[i], block);
        if (n_mappings == n_blocks)
                return 0;
        if (n_mappings < n_blocks)
                return failure_set(
                        failure, -ENOENT,
                        "its RAM cannot be found by the domain's XML: its QEMU maps %zu of the %zu "
                        "blocks of %.0f MiB like %s; " WAY_OUT,
                        n_mappings, n_blocks, mib(block->size_bytes), block->id);
        return failure_set(failure, -ENOTUNIQ,
                           "its RAM cannot be told from other memory of its QEMU: %zu mappings look like the "
                           "%zu blocks of %.0f MiB like %s; " WAY_OUT,
                           n_mappings, n_blocks, mib(block->size_bytes), block->id);
}

static const char *backend_of(const struct mapping *mapping)
{
        switch (mapping->kind) {
        case MEMORY_KIND_MEMFD:
                return "memory-backend-memfd";
        case MEMORY_KIND_FILE:
                return "memory-backend-file";
        case MEMORY_KIND_ANONYMOUS:
                return "memory-backend-ram";
        case MEMORY_KIND_UNKNOWN:
        case MEMORY_KIND_COUNT_:
                break;
        }
        return "";
}

static struct mapping *take_mapping(const struct mappings *mappings, const struct memory_block *block)
{
        for (size_t i = 0; i < mappings->count; i++)
                if (!mappings->list[i].taken && fits(&mappings->list[i], block)) {
                        mappings->list[i].taken = true;
                        return &mappings->list[i];
                }
        return NULL;
}

static int append(const struct domain_memory *memory, const struct memory_block *from,
                  const struct mapping *mapping, struct ram_blocks *blocks)
{
        struct ram_block *block = &blocks->blocks[blocks->count++];

        *block = (struct ram_block){
                .id = strdup(from->id),
                .backend = strdup(backend_of(mapping)),
                .size_bytes = from->size_bytes,
                .hva = mapping->start,
                .share = mapping->shared,
                .merge = memory->merge,
        };
        return block->id && block->backend ? 0 : -ENOMEM;
}

static int match(const struct domain_memory *memory, const struct mappings *mappings,
                 struct ram_blocks *ret_blocks, struct failure *failure)
{
        CLEANUP(blocks_deinit) struct ram_blocks blocks = {0};
        int r = 0;

        assert(memory->n_blocks > 0 && memory->n_blocks <= BLOCKS_MAX);
        blocks.blocks = calloc(memory->n_blocks, sizeof(*blocks.blocks));
        if (!blocks.blocks)
                return -ENOMEM;
        for (size_t i = 0; i < mappings->count; i++)
                mappings->list[i].taken = false;
        for (size_t i = 0; i < memory->n_blocks && r == 0; i++)
                r = check_count(memory, mappings, &memory->blocks[i], failure);
        for (size_t i = 0; i < memory->n_blocks && r == 0; i++) {
                const struct mapping *mapping = take_mapping(mappings, &memory->blocks[i]);

                /* One mapping fits blocks that are not alike. */
                if (!mapping)
                        return failure_set(failure, -ENOTUNIQ,
                                           "its RAM blocks cannot be told from each other; " WAY_OUT);
                r = append(memory, &memory->blocks[i], mapping, &blocks);
        }
        if (r < 0)
                return r;
        *ret_blocks = blocks;
        blocks = (struct ram_blocks){0};
        return 0;
}

/* The domain as an old machine type has it: all cells in one block. The blocks are borrowed. */
static int join_cells(const struct domain_memory *memory, struct memory_block *blocks,
                      struct domain_memory *ret_joined)
{
        static char id[] = "ram";

        blocks[0] = memory->blocks[0];
        blocks[0].id = id;
        for (size_t i = 1; i < memory->n_cells; i++)
                if (__builtin_add_overflow(blocks[0].size_bytes, memory->blocks[i].size_bytes,
                                           &blocks[0].size_bytes))
                        return -EBADMSG;
        for (size_t i = memory->n_cells; i < memory->n_blocks; i++)
                blocks[1 + i - memory->n_cells] = memory->blocks[i];
        *ret_joined = *memory;
        ret_joined->blocks = blocks;
        ret_joined->n_blocks = 1 + memory->n_blocks - memory->n_cells;
        return 0;
}

int domain_ram_match(const struct domain_memory *memory, const char *maps, struct ram_blocks *ret_blocks,
                     struct failure *failure)
{
        CLEANUP(mappings_deinit) struct mappings mappings = {0};
        CLEANUP_FREE struct memory_block *blocks = NULL;
        struct domain_memory joined = {0};
        int r = parse_maps(maps, &mappings);

        if (r == 0)
                r = match(memory, &mappings, ret_blocks, failure);
        if (r == -ENOENT && memory->n_cells > 1) {
                blocks = calloc(memory->n_blocks, sizeof(*blocks));
                if (!blocks)
                        return -ENOMEM;
                if (join_cells(memory, blocks, &joined) == 0 &&
                    match(&joined, &mappings, ret_blocks, NULL) == 0) {
                        if (failure)
                                *failure = (struct failure){0};
                        r = 0;
                }
        }
        if (r == -ENOMEM || r == -E2BIG)
                return failure_errno(failure, r, "cannot take the memory map of its QEMU");
        return r;
}
