/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The test's own memory, in the part of a guest's: what the scanner does to QEMU it can do to this process.
 */
#pragma once

#include "base/cleanup.h"
#include "base/fileio.h"
#include "pages/page.h"
#include "scanner/guest_ram.h"

#include <CUnit/Basic.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A memfd of @n_pages pages, all holes, mapped shared or private. */
struct own_memory {
        int fd; /* -1: anonymous */
        unsigned char *pages;
        size_t n_pages;
};

static inline struct own_memory own_memory_map(size_t n_pages, int flags, int with_file)
{
        struct own_memory memory = {.fd = -1, .n_pages = n_pages};

        if (with_file) {
                memory.fd = memfd_create("own", MFD_CLOEXEC);
                CU_ASSERT_FATAL(memory.fd >= 0);
                CU_ASSERT_EQUAL_FATAL(ftruncate(memory.fd, (off_t)(n_pages * PAGE_BYTES)), 0);
        }
        memory.pages = mmap(NULL, n_pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
                            flags | (with_file ? 0 : MAP_ANONYMOUS), memory.fd, 0);
        CU_ASSERT_NOT_EQUAL_FATAL(memory.pages, MAP_FAILED);
        return memory;
}

static inline void own_memory_unmap(struct own_memory *memory)
{
        (void)munmap(memory->pages, memory->n_pages * PAGE_BYTES);
        close_fd(&memory->fd);
}

/* Fills a page with a byte; makes it present. */
static inline void own_memory_fill(const struct own_memory *memory, size_t page, int byte)
{
        memset(memory->pages + page * PAGE_BYTES, byte, PAGE_BYTES);
}

static inline blkcnt_t own_memory_blocks(const struct own_memory *memory)
{
        struct stat status = {0};

        CU_ASSERT_EQUAL(fstat(memory->fd, &status), 0);
        return status.st_blocks;
}

/* A process as a guest with that one block: this one, or one forked from it. */
static inline struct guest_ram *own_memory_of_process(const struct own_memory *memory, pid_t pid)
{
        char folder[32] = "";
        CLEANUP_CLOSE int proc_fd = -1;
        CLEANUP_FREE char *smaps = NULL;
        struct guest_ram *ram = NULL;
        struct failure failure = {0};

        (void)snprintf(folder, sizeof(folder), "/proc/%d", pid);
        proc_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CU_ASSERT_EQUAL_FATAL(fileio_read_text(proc_fd, "smaps", &smaps), 0);
        CU_ASSERT_EQUAL_FATAL(guest_ram_new(pid, proc_fd, &ram, &failure), 0);
        CU_ASSERT_EQUAL_FATAL(guest_ram_add_block(ram, proc_fd, smaps, "own", (uintptr_t)memory->pages,
                                                  memory->n_pages * PAGE_BYTES, &failure),
                              0);
        return ram;
}

static inline struct guest_ram *own_memory_as_guest(const struct own_memory *memory)
{
        return own_memory_of_process(memory, getpid());
}
