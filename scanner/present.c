/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Touching a page to see whether it is there would create it: a hole of a RAM file that is read through a
 * mapping is allocated, and a page that a postcopy migration is about to deliver would be lost. So the kernel
 * is asked instead:
 *
 *   RAM file in tmpfs   lseek(SEEK_DATA / SEEK_HOLE): the file's own extents, whoever filled them. On a host
 *                       with swap, cachestat(2) tells which of them are in memory.
 *   everything else     PAGEMAP_SCAN (kernel 6.7) on QEMU's page table, or before that its pagemap entries:
 *                       private memory; hugetlbfs, which answers SEEK_DATA with "all data"; files on disk,
 *                       whose extents say nothing about memory.
 */
#include "scanner/present.h"

#include "base/fileio.h"
#include "scanner/page.h"
#include "scanner/pagemap.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

/* cachestat(2), Linux 6.5: newer than the oldest headers. Source: its manual page. */
#define SYSCALL_CACHESTAT 451

struct cachestat_range {
        uint64_t offset;
        uint64_t length;
};

struct cachestat_counts {
        uint64_t n_cached;
        uint64_t others[4];
};

bool present_has_pagemap_scan(int pagemap_fd)
{
        struct pagemap_scan_argument argument = {.size = sizeof(argument)};

        /* An empty range: succeeds where the ioctl exists. */
        return ioctl(pagemap_fd, PAGEMAP_SCAN_IOCTL, &argument) >= 0;
}

static enum present_state state_of_categories(uint64_t categories)
{
        if (categories & PAGEMAP_SCAN_SWAPPED)
                return PRESENT_STATE_SWAPPED;
        return categories & PAGEMAP_SCAN_ZERO ? PRESENT_STATE_ZERO_MAPPED : PRESENT_STATE_DATA;
}

static int find_by_pagemap_scan(const struct guest_ram *ram, const struct guest_region *region, uint64_t page,
                                size_t n_pages, struct present_run *ret_runs, size_t *ret_n_runs)
{
        const uint64_t categories = PAGEMAP_SCAN_PRESENT | PAGEMAP_SCAN_SWAPPED | PAGEMAP_SCAN_ZERO;
        struct pagemap_scan_region found[PRESENT_RANGE_PAGES];
        struct pagemap_scan_argument argument = {
                .size = sizeof(argument),
                .start = region->region.hva + page * PAGE_BYTES,
                .end = region->region.hva + (page + n_pages) * PAGE_BYTES,
                .vec = (uintptr_t)found,
                .vec_len = PRESENT_RANGE_PAGES,
                .category_anyof_mask = categories,
                .return_mask = categories | PAGEMAP_SCAN_HUGE,
        };
        long n_found = ioctl(ram->pagemap_fd, PAGEMAP_SCAN_IOCTL, &argument);

        if (n_found < 0)
                return -errno;
        for (long i = 0; i < n_found; i++)
                ret_runs[i] = (struct present_run){
                        .page = (found[i].start - region->region.hva) >> PAGE_SHIFT,
                        .n_pages = (uint32_t)((found[i].end - found[i].start) >> PAGE_SHIFT),
                        .state = state_of_categories(found[i].categories),
                        .huge = found[i].categories & PAGEMAP_SCAN_HUGE,
                };
        *ret_n_runs = (size_t)n_found;
        return 0;
}

static void add_page(struct present_run *runs, size_t *n_runs, uint64_t page, enum present_state state)
{
        struct present_run *last = *n_runs > 0 ? &runs[*n_runs - 1] : NULL;

        if (last && last->state == state && last->page + last->n_pages == page)
                last->n_pages++;
        else
                runs[(*n_runs)++] = (struct present_run){.page = page, .n_pages = 1, .state = state};
}

/* The kernel's zero page is not told apart here: it is read like any page, which does no harm. */
static int find_by_pagemap(const struct guest_ram *ram, const struct guest_region *region, uint64_t page,
                           size_t n_pages, struct present_run *ret_runs, size_t *ret_n_runs)
{
        uint64_t entries[PRESENT_RANGE_PAGES];
        size_t n_runs = 0;
        int r = pagemap_read(ram->pagemap_fd, region->region.hva + page * PAGE_BYTES, entries, n_pages);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n_pages; i++) {
                if (entries[i] & PAGEMAP_SWAPPED)
                        add_page(ret_runs, &n_runs, page + i, PRESENT_STATE_SWAPPED);
                else if (entries[i] & PAGEMAP_PRESENT)
                        add_page(ret_runs, &n_runs, page + i, PRESENT_STATE_DATA);
        }
        *ret_n_runs = n_runs;
        return 0;
}

/*
 * Marks which of @n_pages pages of the RAM file are in memory. cachestat(2) counts a range, so a range that is
 * neither all in memory nor all on swap is halved; before Linux 6.5 mincore(2) answers, which takes a page
 * that is on swap and still cached for one in memory.
 */
static void find_resident(const struct guest_region *region, uint64_t page, size_t n_pages,
                          unsigned char *ret_resident)
{
        struct cachestat_range range = {
                .offset = region->region.file_offset + page * PAGE_BYTES,
                .length = n_pages * PAGE_BYTES,
        };
        struct cachestat_counts counts = {0};

        if (syscall(SYSCALL_CACHESTAT, region->file_fd, &range, &counts, 0) < 0) {
                if (mincore((void *)(region->window + page * PAGE_BYTES), n_pages * PAGE_BYTES,
                            ret_resident) < 0)
                        memset(ret_resident, 1, n_pages);
        } else if (counts.n_cached == 0 || counts.n_cached >= n_pages) {
                memset(ret_resident, counts.n_cached > 0, n_pages);
        } else {
                const size_t half = n_pages / 2;

                find_resident(region, page, half, ret_resident);
                find_resident(region, page + half, n_pages - half, ret_resident + half);
        }
}

/* Tells the pages of a run that are on swap from those in memory; touches neither. */
static void split_swapped(const struct guest_region *region, const struct present_run *run,
                          struct present_run *ret_runs, size_t *n_runs)
{
        unsigned char resident[PRESENT_RANGE_PAGES];

        find_resident(region, run->page, run->n_pages, resident);
        for (size_t i = 0; i < run->n_pages; i++)
                add_page(ret_runs, n_runs, run->page + i,
                         resident[i] & 1 ? PRESENT_STATE_DATA : PRESENT_STATE_SWAPPED);
}

static int find_by_extents(const struct guest_ram *ram, const struct guest_region *region, uint64_t page,
                           size_t n_pages, struct present_run *ret_runs, size_t *ret_n_runs)
{
        const off_t base = (off_t)region->region.file_offset;
        const off_t end = base + (off_t)((page + n_pages) * PAGE_BYTES);
        off_t position = base + (off_t)(page * PAGE_BYTES);
        size_t n_runs = 0;

        while (position < end) {
                off_t data = lseek(region->file_fd, position, SEEK_DATA);
                off_t hole = 0;
                struct present_run extent = {0};

                if (data < 0 && errno == ENXIO)
                        break; /* nothing but a hole up to the end of the file */
                if (data < 0)
                        return -errno;
                if (data >= end)
                        break;
                hole = lseek(region->file_fd, data, SEEK_HOLE);
                if (hole < 0)
                        return -errno;
                hole = hole < end ? hole : end;
                extent = (struct present_run){
                        .page = (uint64_t)(data - base) >> PAGE_SHIFT,
                        .n_pages = (uint32_t)((uint64_t)(hole - data) >> PAGE_SHIFT),
                        .state = PRESENT_STATE_DATA,
                };
                if (ram->host_has_swap && region->window)
                        split_swapped(region, &extent, ret_runs, &n_runs);
                else
                        ret_runs[n_runs++] = extent;
                position = hole;
        }
        *ret_n_runs = n_runs;
        return 0;
}

int present_find(const struct guest_ram *ram, const struct guest_region *region, uint64_t page,
                 size_t n_pages, struct present_run *ret_runs, size_t *ret_n_runs)
{
        if (region->is_tmpfs)
                return find_by_extents(ram, region, page, n_pages, ret_runs, ret_n_runs);
        if (ram->has_pagemap_scan)
                return find_by_pagemap_scan(ram, region, page, n_pages, ret_runs, ret_n_runs);
        return find_by_pagemap(ram, region, page, n_pages, ret_runs, ret_n_runs);
}
