/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scanner/guest_ram.h"

#include "base/cleanup.h"
#include "pages/page.h"
#include "scanner/map_file.h"
#include "scanner/present.h"
#include "scanner/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/sysinfo.h>

static int open_proc_file(int proc_fd, const char *name, int *ret_fd, struct failure *failure)
{
        int fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);

        if (fd < 0 && (errno == EACCES || errno == EPERM))
                return failure_set(failure, -EPERM,
                                   "may not read the memory of its QEMU (%s): this needs root, or "
                                   "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
                                   name);
        if (fd < 0)
                return failure_errno(failure, -errno, "cannot open %s of its QEMU", name);
        *ret_fd = fd;
        return 0;
}

int guest_ram_new(pid_t pid, int proc_fd, struct guest_ram **ret, struct failure *failure)
{
        struct guest_ram *ram = calloc(1, sizeof(*ram));
        struct sysinfo host = {0};
        int r = 0;

        if (!ram)
                return failure_set(failure, -ENOMEM, "out of memory");
        ram->pid = pid;
        ram->pagemap_fd = -1;
        ram->mem_fd = -1;
        /* First: the files below open only while the process has its number. So the pidfd is of no other. */
        ram->pidfd = pidfd_open(pid, 0);
        r = open_proc_file(proc_fd, "pagemap", &ram->pagemap_fd, failure);
        if (r >= 0)
                r = open_proc_file(proc_fd, "mem", &ram->mem_fd, failure);
        if (r < 0) {
                guest_ram_free(ram);
                return r;
        }
        ram->has_pagemap_scan = present_has_pagemap_scan(ram->pagemap_fd);
        ram->host_has_swap = sysinfo(&host) == 0 && host.totalswap > 0;
        *ret = ram;
        return 0;
}

/* Arrays as large as the block may be mostly holes: fresh anonymous memory that is not accounted until
 * touched. */
static uint64_t *new_words(uint64_t n)
{
        void *words = NULL;
        size_t bytes = 0;

        if (__builtin_mul_overflow(n, sizeof(uint64_t), &bytes))
                return NULL;
        words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (words == MAP_FAILED)
                return NULL;
        /* Fingerprints confirm content: they stay out of core dumps. */
        (void)madvise(words, bytes, MADV_DONTDUMP);
        return words;
}

static void free_words(uint64_t *words, uint64_t n)
{
        if (words)
                (void)munmap(words, n * sizeof(uint64_t));
}

static void let_block_go(struct guest_block *block)
{
        for (size_t i = 0; i < block->n_mappings; i++) {
                reader_unmap(&block->mappings[i]);
                close_fd(&block->mappings[i].file_fd);
        }
}

void guest_ram_let_go(struct guest_ram *ram)
{
        for (size_t i = 0; i < ram->n_blocks; i++)
                let_block_go(&ram->blocks[i]);
}

static void free_block(struct guest_block *block)
{
        let_block_go(block);
        free_words(block->fingerprints, block->n_pages);
        free_words(block->frames, block->n_pages);
        free(block->marks);
        free(block->mappings);
        free(block->id);
}

struct guest_ram *guest_ram_free(struct guest_ram *ram)
{
        if (!ram)
                return NULL;
        for (size_t i = 0; i < ram->n_blocks; i++)
                free_block(&ram->blocks[i]);
        free(ram->blocks);
        close_fd(&ram->pagemap_fd);
        close_fd(&ram->mem_fd);
        close_fd(&ram->pidfd);
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
        mapping->reader = reader_choose(mapping);
        return reader_map(mapping, failure);
}

static int fill_block(struct guest_block *block, int proc_fd, const char *smaps, const char *id, uint64_t hva,
                      uint64_t size_bytes, struct failure *failure)
{
        int r = mapping_find(smaps, hva, size_bytes, &block->mappings, &block->n_mappings, failure);

        if (r < 0)
                return r;
        block->id = strdup(id);
        block->n_pages = size_bytes >> PAGE_SHIFT;
        block->fingerprints = new_words(block->n_pages);
        block->frames = new_words(block->n_pages);
        if (!block->id || !block->fingerprints || !block->frames)
                return failure_set(failure, -ENOMEM, "out of memory");
        for (size_t i = 0; i < block->n_mappings && r == 0; i++)
                r = open_mapping(&block->mappings[i], proc_fd, failure);
        return r;
}

int guest_ram_add_block(struct guest_ram *ram, int proc_fd, const char *smaps, const char *id, uint64_t hva,
                        uint64_t size_bytes, struct failure *failure)
{
        struct guest_block *larger = reallocarray(ram->blocks, ram->n_blocks + 1, sizeof(*larger));
        struct guest_block block = {0};
        int r = 0;

        if (!larger)
                return failure_set(failure, -ENOMEM, "out of memory");
        ram->blocks = larger;
        r = fill_block(&block, proc_fd, smaps, id, hva, size_bytes, failure);
        if (r < 0) {
                free_block(&block);
                return r;
        }
        ram->blocks[ram->n_blocks++] = block;
        return 0;
}

static void replace_reader(struct guest_ram *ram, enum reader reader, enum reader by)
{
        for (size_t b = 0; b < ram->n_blocks; b++)
                for (size_t r = 0; r < ram->blocks[b].n_mappings; r++)
                        if (ram->blocks[b].mappings[r].reader == (int)reader)
                                ram->blocks[b].mappings[r].reader = by;
}

void guest_ram_avoid_mapping(struct guest_ram *ram)
{
        replace_reader(ram, READER_MAPPED, READER_PREAD);
}

void guest_ram_avoid_process_vm(struct guest_ram *ram)
{
        replace_reader(ram, READER_PROCESS_VM, READER_PROC_MEM);
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

const struct mapping *guest_block_mapping(const struct guest_block *block, uint64_t page)
{
        size_t low = 0;
        size_t high = block->n_mappings - 1;

        while (low < high) {
                size_t middle = (low + high + 1) / 2;

                if (block->mappings[middle].first_page <= page)
                        low = middle;
                else
                        high = middle - 1;
        }
        return &block->mappings[low];
}
