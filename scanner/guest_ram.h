/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The RAM of one running guest: its pages (pages/pages.h), and the mappings of its QEMU that they are read
 * by. (While shared RAM is mapped, the page tables of that mapping take 2 MiB per GiB.)
 */
#pragma once

#include "base/failure.h"
#include "pages/pages.h"
#include "scanner/guest_process.h"
#include "scanner/mapping.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * struct guest_ram - the RAM of one guest
 * @process: its QEMU
 * @pages: of its RAM blocks
 * @mappings: by block, one for each of its ranges
 * @error: 0, or the negative errno that lost this guest; set once, by whichever worker meets it first
 * @failure: the sentence for @error
 */
struct guest_ram {
        struct guest_process process;
        struct pages pages;
        struct mapping **mappings;
        atomic_int error;
        struct failure failure;
};

/**
 * guest_ram_new() - open the memory of a QEMU process
 * @proc_fd: its open /proc/PID folder, borrowed for the call
 *
 * Return: 0, or a negative errno with @failure naming the missing privilege or file.
 */
int guest_ram_new(pid_t pid, int proc_fd, struct guest_ram **ret, struct failure *failure);

struct guest_ram *guest_ram_free(struct guest_ram *ram);

/**
 * struct guest_ram_block - a RAM block of QEMU
 * @id: its name
 * @hva, @size_bytes: where QEMU has it
 */
struct guest_ram_block {
        const char *id;
        uint64_t hva;
        uint64_t size_bytes;
};

/**
 * guest_ram_add_block() - find the mappings behind a RAM block and open what is needed to read them
 * @proc_fd: open /proc/PID folder, borrowed for the call
 * @smaps: text of its smaps
 * @block: copied
 *
 * Reads no guest memory. Shared RAM gets a mapping of ours, of which nothing is touched.
 *
 * Return: 0, or a negative errno with @failure.
 */
int guest_ram_add_block(struct guest_ram *ram, int proc_fd, const char *smaps,
                        const struct guest_ram_block *block, struct failure *failure);

/* Reads by pread(2) what would be read through a mapping: for a guest that runs while it is read. */
void guest_ram_avoid_mapping(struct guest_ram *ram);

/* Reads private RAM by /proc/PID/mem alone. */
void guest_ram_avoid_process_vm(struct guest_ram *ram);

/**
 * guest_ram_let_go() - let go of the files behind shared RAM
 *
 * As long as they are open, the memory in them outlives its QEMU. Fingerprints and frames stay; private RAM
 * can still be read, and shared RAM cannot.
 */
void guest_ram_let_go(struct guest_ram *ram);

/* Marks the guest as lost; the first caller's sentence stays. May be called from any thread. */
void guest_ram_fail(struct guest_ram *ram, int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
