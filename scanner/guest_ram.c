/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scanner/guest_ram.h"

#include "base/cleanup.h"
#include "pages/page.h"
#include "scanner/map_file.h"
#include "scanner/reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int guest_ram_new(pid_t pid, int proc_fd, struct guest_ram **ret, struct failure *failure)
{
        struct guest_ram *ram = calloc(1, sizeof(*ram));
        int r = 0;

        if (!ram)
                return failure_set(failure, -ENOMEM, "out of memory");
        r = guest_process_open(&ram->process, pid, proc_fd, failure);
        if (r < 0) {
                guest_ram_free(ram);
                return r;
        }
        *ret = ram;
        return 0;
}

static void close_mappings(struct mapping *mappings, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                reader_unmap(&mappings[i]);
                close_fd(&mappings[i].file_fd);
        }
}

void guest_ram_let_go(struct guest_ram *ram)
{
        for (size_t b = 0; b < ram->pages.n_blocks; b++)
                close_mappings(ram->mappings[b], ram->pages.blocks[b].n_ranges);
}

struct guest_ram *guest_ram_free(struct guest_ram *ram)
{
        if (!ram)
                return NULL;
        guest_ram_let_go(ram);
        for (size_t b = 0; b < ram->pages.n_blocks; b++)
                free(ram->mappings[b]);
        free(ram->mappings);
        pages_deinit(&ram->pages);
        guest_process_close(&ram->process);
        free(ram);
        return NULL;
}

static int open_mapping(struct mapping *mapping, int proc_fd, struct failure *failure)
{
        if (mapping->shared) {
                int r = map_file_open(proc_fd, mapping, &mapping->file_fd, &mapping->is_tmpfs, failure);

                if (r < 0)
                        return r;
        }
        mapping->reader = reader_of_kind(reader_choose(mapping));
        return reader_map(mapping, failure);
}

static struct pages_range range_of_mapping(const struct mapping *mapping)
{
        return (struct pages_range){
                .hva = mapping->hva,
                .first_page = mapping->first_page,
                .n_pages = mapping->size_bytes >> PAGE_SHIFT,
                .shared = mapping->shared,
                .hugetlb = mapping->hugetlb,
                .mergeable = mapping->mergeable,
                .reader = &mapping->reader,
        };
}

/* Takes @mappings when it succeeds. */
static int add_mappings(struct guest_ram *ram, const struct guest_ram_block *added, struct mapping *mappings,
                        size_t n)
{
        struct mapping **larger =
                reallocarray(ram->mappings, ram->pages.n_blocks + 1, sizeof(struct mapping *));
        struct pages_block *block = NULL;
        int r = -ENOMEM;

        if (!larger)
                return r;
        ram->mappings = larger;
        r = pages_add_block(&ram->pages, added->id, added->size_bytes >> PAGE_SHIFT, n, &block);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                mappings[i].process = &ram->process;
                block->ranges[i] = range_of_mapping(&mappings[i]);
        }
        ram->mappings[ram->pages.n_blocks - 1] = mappings;
        return 0;
}

int guest_ram_add_block(struct guest_ram *ram, int proc_fd, const char *smaps,
                        const struct guest_ram_block *block, struct failure *failure)
{
        struct mapping *mappings = NULL;
        size_t n = 0;
        int r = mapping_find(smaps, block->hva, block->size_bytes, &mappings, &n, failure);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n && r == 0; i++)
                r = open_mapping(&mappings[i], proc_fd, failure);
        if (r == 0 && add_mappings(ram, block, mappings, n) < 0)
                r = failure_set(failure, -ENOMEM, "out of memory");
        if (r < 0) {
                close_mappings(mappings, n);
                free(mappings);
        }
        return r;
}

static void replace_reader(struct guest_ram *ram, enum page_reader_kind kind, enum page_reader_kind by)
{
        for (size_t b = 0; b < ram->pages.n_blocks; b++)
                for (size_t i = 0; i < ram->pages.blocks[b].n_ranges; i++)
                        if (ram->mappings[b][i].reader.kind == kind)
                                ram->mappings[b][i].reader = reader_of_kind(by);
}

void guest_ram_avoid_mapping(struct guest_ram *ram)
{
        replace_reader(ram, PAGE_READER_MAPPED, PAGE_READER_PREAD);
}

void guest_ram_avoid_process_vm(struct guest_ram *ram)
{
        replace_reader(ram, PAGE_READER_PROCESS_VM, PAGE_READER_PROC_MEM);
}

void guest_ram_fail(struct guest_ram *ram, int error, const char *format, ...)
{
        struct failure failure = {0};
        va_list arguments;
        int none = 0;

        va_start(arguments, format);
        (void)vsnprintf(failure.text, sizeof(failure.text), format, arguments);
        va_end(arguments);
        if (atomic_compare_exchange_strong(&ram->error, &none, error))
                ram->failure = failure;
}
