/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "victim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

const char *victim_kind_to_string(enum victim_kind kind)
{
        static const char *const names[] = {
                [VICTIM_SHARED] = "shared",
                [VICTIM_PRIVATE_HUGE] = "private-huge",
                [VICTIM_PRIVATE] = "private-4k",
                [VICTIM_MERGED] = "private-4k-merged",
        };

        return names[kind];
}

static _Noreturn void die(const char *what)
{
        perror(what);
        exit(EXIT_FAILURE);
}

/* xorshift64: fast, and no two pages alike. */
static void fill_page(uint64_t *words, uint64_t seed)
{
        uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

        for (size_t i = 0; i < PAGE / sizeof(*words); i++) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                words[i] = x;
        }
}

static unsigned char *map(enum victim_kind kind, size_t size)
{
        const int fd = kind == VICTIM_SHARED ? memfd_create("victim", MFD_CLOEXEC) : -1;
        const int flags = kind == VICTIM_SHARED ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
        unsigned char *memory = NULL;

        if (kind == VICTIM_SHARED && (fd < 0 || ftruncate(fd, (off_t)size) < 0))
                die("memfd");
        /* Some room, to start at a multiple of 2 MiB as QEMU's RAM does. */
        memory = mmap(NULL, size + (2 << 20), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memory = (unsigned char *)(((uintptr_t)memory + (2 << 20) - 1) & ~(uintptr_t)((2 << 20) - 1));
        if (mmap(memory, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == MAP_FAILED)
                die("mmap");
        if (kind != VICTIM_SHARED)
                (void)madvise(memory, size, kind == VICTIM_PRIVATE_HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        if (kind == VICTIM_PRIVATE_HUGE || kind == VICTIM_MERGED)
                (void)madvise(memory, size, MADV_MERGEABLE);
        return memory;
}

static _Noreturn void run_victim(enum victim_kind kind, size_t size, int report_fd)
{
        unsigned char *memory = NULL;
        uint64_t hva = 0;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        memory = map(kind, size);
        for (size_t page = 0; page < size / PAGE; page++) {
                const uint64_t pair = page / 4;

                /* Of four neighbours two are alone and two are equal. */
                fill_page((uint64_t *)(memory + page * PAGE),
                          kind == VICTIM_MERGED && page % 4 >= 2 ? pair | UINT64_C(1) << 40 : page + 1);
        }
        hva = (uintptr_t)memory;
        if (write(report_fd, &hva, sizeof(hva)) != sizeof(hva))
                _exit(EXIT_FAILURE);
        for (;;)
                (void)pause();
}

struct victim victim_start(enum victim_kind kind, size_t size_bytes)
{
        struct victim victim = {.size_bytes = size_bytes};
        int ends[2];

        if (pipe(ends) < 0)
                die("pipe");
        victim.pid = fork();
        if (victim.pid < 0)
                die("fork");
        if (victim.pid == 0)
                run_victim(kind, size_bytes, ends[1]);
        (void)close(ends[1]);
        if (read(ends[0], &victim.hva, sizeof(victim.hva)) != sizeof(victim.hva))
                die("victim");
        (void)close(ends[0]);
        return victim;
}

void victim_end(const struct victim *victim)
{
        (void)kill(victim->pid, SIGKILL);
        (void)waitpid(victim->pid, NULL, 0);
}
