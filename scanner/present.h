/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages of a mapping exist on the host, found without touching one. */
#pragma once

#include "scanner/guest_ram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pages are looked up and read in ranges of at most this many: 2 MiB, which is a huge page on x86-64. */
#define PRESENT_RANGE_PAGES 512

enum present_state {
        PRESENT_STATE_DATA,        /* present: has to be read */
        PRESENT_STATE_ZERO_MAPPED, /* present, mapped to the kernel's zero page: known without reading */
        PRESENT_STATE_SWAPPED,     /* on swap: counted, not read */
};

/**
 * struct present_run - neighbouring pages of one state; what lies between runs is absent
 * @page: index of the first page in the mapping
 * @huge: QEMU has them mapped by a huge page, so KSM cannot have merged them
 */
struct present_run {
        uint64_t page;
        uint32_t n_pages;
        enum present_state state;
        bool huge;
};

/* Whether the kernel has PAGEMAP_SCAN for this pagemap file. */
bool present_has_pagemap_scan(int pagemap_fd);

/**
 * present_find() - the pages of a range that exist
 * @ram: borrowed
 * @mapping: a mapping of it
 * @page: first page of the range, counted from the mapping's start
 * @n_pages: at most PRESENT_RANGE_PAGES
 * @ret_runs: room for PRESENT_RANGE_PAGES runs; receives them in page order
 *
 * Return: 0, or a negative errno; -ESRCH when the process is gone.
 */
int present_find(const struct guest_ram *ram, const struct mapping *mapping, uint64_t page, size_t n_pages,
                 struct present_run *ret_runs, size_t *ret_n_runs);
