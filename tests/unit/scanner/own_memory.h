/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The test's own memory, in the part of a guest's: what the scanner does to QEMU it can do to this process.
 */
#pragma once

#include "base/cleanup.h"
#include "base/fileio.h"
#include "pages/page.h"
#include "scanner/guest_ram.h"
#include "scanner/pagemap.h"

#include <CUnit/Basic.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
        struct guest_ram_block block = {0};
        struct guest_ram *ram = NULL;
        struct failure failure = {0};

        (void)snprintf(folder, sizeof(folder), "/proc/%d", pid);
        proc_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CU_ASSERT_EQUAL_FATAL(fileio_read_text(proc_fd, "smaps", &smaps), 0);
        CU_ASSERT_EQUAL_FATAL(guest_ram_new(pid, proc_fd, &ram, &failure), 0);
        block = (struct guest_ram_block){"own", (uintptr_t)memory->pages, memory->n_pages * PAGE_BYTES};
        CU_ASSERT_EQUAL_FATAL(guest_ram_add_block(ram, proc_fd, smaps, &block, &failure), 0);
        return ram;
}

/* A child that has all memory mapped that this process has, until the pipe closes: each page then is mapped twice. */
static inline pid_t own_memory_share_with_child(int *ret_pipe_fd)
{
        int ends[2] = {-1, -1};
        pid_t pid = -1;

        CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC), 0);
        pid = fork();
        CU_ASSERT_FATAL(pid >= 0);
        if (pid == 0) {
                (void)close(ends[1]);
                (void)!read(ends[0], ends, 1);
                _exit(0);
        }
        (void)close(ends[0]);
        *ret_pipe_fd = ends[1];
        return pid;
}

static inline void own_memory_end_child(pid_t pid, int *pipe_fd)
{
        close_fd(pipe_fd);
        CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
}

/* An open kpageflags that calls the frames of those pages KSM's that @is_ksm names; NULL: all. */
static inline int own_memory_kpageflags(const struct own_memory *memory, int pagemap_fd,
                                        bool (*is_ksm)(size_t page))
{
        static const uint64_t flags = UINT64_C(1) << 21;
        int fd = memfd_create("kpageflags", MFD_CLOEXEC);
        uint64_t last = 0;

        CU_ASSERT_FATAL(fd >= 0);
        for (size_t i = 0; i < memory->n_pages; i++) {
                const uint64_t address = (uintptr_t)memory->pages + i * PAGE_BYTES;
                uint64_t frame = 0;

                CU_ASSERT_EQUAL(pagemap_read(pagemap_fd, address, &frame, 1), 0);
                frame &= PAGEMAP_PFN;
                last = frame > last ? frame : last;
                if (frame != 0 && (!is_ksm || is_ksm(i)))
                        CU_ASSERT_EQUAL(pwrite(fd, &flags, sizeof(flags), (off_t)(frame * sizeof(flags))),
                                        sizeof(flags));
        }
        CU_ASSERT_EQUAL(ftruncate(fd, (off_t)((last + 1) * sizeof(flags))), 0);
        return fd;
}

static inline struct guest_ram *own_memory_as_guest(const struct own_memory *memory)
{
        return own_memory_of_process(memory, getpid());
}
