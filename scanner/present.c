/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Touching a page to see whether it exists would create it. Reading a hole of a RAM file through a mapping
 * allocates it, and a page that a postcopy migration is about to deliver would be lost. So the kernel is
 * asked instead:
 *
 *   RAM file in tmpfs   lseek(SEEK_DATA) and mincore(2): the pages of the file, whoever filled them. On a
 *                       host with swap, cachestat(2) tells which of them are in memory.
 *   everything else     PAGEMAP_SCAN (kernel 6.7) on QEMU's page table, or before that its pagemap entries:
 *                       private memory; hugetlbfs, which answers SEEK_DATA with "all data"; files on disk,
 *                       whose extents say nothing about memory.
 */
#include "scanner/present.h"

#include "pages/page.h"
#include "scanner/mapping.h"
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
        uint64_t n_dirty;
        uint64_t n_writeback;
        uint64_t n_evicted; /* of a tmpfs file: on swap, cached or not */
        uint64_t n_recently_evicted;
};

static enum page_state state_of_categories(uint64_t categories)
{
        if (categories & PAGEMAP_SCAN_SWAPPED)
                return PAGE_STATE_SWAPPED;
        return categories & PAGEMAP_SCAN_ZERO ? PAGE_STATE_ZERO_MAPPED : PAGE_STATE_DATA;
}

static int find_by_pagemap_scan(const struct page_span *span, struct page_run *ret_runs, size_t *ret_n_runs)
{
        const struct mapping *mapping = mapping_of_reader(span->reader);
        const uint64_t categories = PAGEMAP_SCAN_PRESENT | PAGEMAP_SCAN_SWAPPED | PAGEMAP_SCAN_ZERO;
        struct pagemap_scan_region found[PAGE_SPAN_MAX] = {0};
        struct pagemap_scan_argument argument = {
                .size = sizeof(argument),
                .start = mapping->hva + span->first * PAGE_BYTES,
                .end = mapping->hva + (span->first + span->n) * PAGE_BYTES,
                .vec = (uintptr_t)found,
                .vec_len = PAGE_SPAN_MAX,
                .category_anyof_mask = categories,
                .return_mask = categories | PAGEMAP_SCAN_HUGE,
        };
        long n_found = ioctl(mapping->process->pagemap_fd, PAGEMAP_SCAN_IOCTL, &argument);

        if (n_found < 0)
                return -errno;
        for (long i = 0; i < n_found; i++)
                ret_runs[i] = (struct page_run){
                        .page = (found[i].start - mapping->hva) >> PAGE_SHIFT,
                        .n_pages = (uint32_t)((found[i].end - found[i].start) >> PAGE_SHIFT),
                        .state = state_of_categories(found[i].categories),
                        .huge = found[i].categories & PAGEMAP_SCAN_HUGE,
                };
        *ret_n_runs = (size_t)n_found;
        return 0;
}

static void add_page(struct page_run *runs, size_t *n_runs, uint64_t page, enum page_state state)
{
        struct page_run *last = *n_runs > 0 ? &runs[*n_runs - 1] : NULL;

        if (last && last->state == state && last->page + last->n_pages == page)
                last->n_pages++;
        else
                runs[(*n_runs)++] = (struct page_run){.page = page, .n_pages = 1, .state = state};
}

/* Pagemap entries do not show the kernel's zero page: it is read like any page, which does no harm. */
static int find_by_pagemap(const struct page_span *span, struct page_run *ret_runs, size_t *ret_n_runs)
{
        const struct mapping *mapping = mapping_of_reader(span->reader);
        uint64_t entries[PAGE_SPAN_MAX];
        size_t n_runs = 0;
        int r = pagemap_read(mapping->process->pagemap_fd, mapping->hva + span->first * PAGE_BYTES, entries,
                             span->n);

        if (r < 0)
                return r;
        for (size_t i = 0; i < span->n; i++) {
                if (entries[i] & PAGEMAP_SWAPPED)
                        add_page(ret_runs, &n_runs, span->first + i, PAGE_STATE_SWAPPED);
                else if (entries[i] & PAGEMAP_PRESENT)
                        add_page(ret_runs, &n_runs, span->first + i, PAGE_STATE_DATA);
        }
        *ret_n_runs = n_runs;
        return 0;
}

/* Whether some of these pages of the RAM file may be on swap. Before Linux 6.5 the kernel does not tell. */
static bool may_be_swapped(const struct mapping *mapping, uint64_t page, size_t n_pages,
                           uint64_t *ret_n_cached)
{
        struct cachestat_range range = {
                .offset = mapping->file_offset + page * PAGE_BYTES,
                .length = n_pages * PAGE_BYTES,
        };
        struct cachestat_counts counts = {0};

        if (syscall(SYSCALL_CACHESTAT, mapping->file_fd, &range, &counts, 0) < 0) {
                *ret_n_cached = UINT64_MAX;
                return true;
        }
        *ret_n_cached = counts.n_cached;
        return counts.n_evicted > 0;
}

/*
 * Unmarks pages that are on swap but still cached: mincore(2) calls them resident. cachestat(2) does not, but
 * it only counts pages. So a range of which it counts neither all nor none is halved.
 */
static void unmark_swapped(const struct mapping *mapping, uint64_t page, size_t n_pages,
                           unsigned char *resident)
{
        uint64_t n_cached = 0;

        if (!may_be_swapped(mapping, page, n_pages, &n_cached) || n_cached == UINT64_MAX)
                return;
        if (n_cached == 0) {
                memset(resident, 0, n_pages);
        } else if (n_pages > 1) {
                unmark_swapped(mapping, page, n_pages / 2, resident);
                unmark_swapped(mapping, page + n_pages / 2, n_pages - n_pages / 2, resident + n_pages / 2);
        }
}

/* The first page from @page on with data in the RAM file, in memory or on swap; @end if none comes before. */
static int find_data(const struct mapping *mapping, uint64_t page, uint64_t end, uint64_t *ret_page)
{
        const off_t base = (off_t)mapping->file_offset;
        const off_t data = lseek(mapping->file_fd, base + (off_t)(page * PAGE_BYTES), SEEK_DATA);

        *ret_page = end;
        if (data < 0)
                return errno == ENXIO ? 0 : -errno; /* ENXIO: nothing but a hole up to the end of the file */
        if ((uint64_t)(data - base) >> PAGE_SHIFT < end)
                *ret_page = (uint64_t)(data - base) >> PAGE_SHIFT;
        return 0;
}

/*
 * SEEK_DATA passes over holes at once. mincore(2) then checks what it finds, and walks the page table only
 * where our mapping is populated. SEEK_HOLE would walk to the end of the extent for every range again.
 */
static int find_in_file(const struct page_span *span, struct page_run *ret_runs, size_t *ret_n_runs)
{
        const struct mapping *mapping = mapping_of_reader(span->reader);
        const uint64_t end = span->first + span->n;
        unsigned char resident[PAGE_SPAN_MAX];
        uint64_t n_cached = 0;
        size_t n_runs = 0;
        uint64_t first = 0;
        int r = find_data(mapping, span->first, end, &first);

        *ret_n_runs = 0;
        if (r < 0 || first == end)
                return r;
        if (mincore((void *)(mapping->window + first * PAGE_BYTES), (end - first) * PAGE_BYTES, resident) < 0)
                return -errno;
        const bool swapped =
                mapping->process->host_has_swap && may_be_swapped(mapping, first, end - first, &n_cached);
        if (swapped)
                unmark_swapped(mapping, first, end - first, resident);
        for (uint64_t page = first; page < end; page++) {
                if (resident[page - first] & 1) {
                        add_page(ret_runs, &n_runs, page, PAGE_STATE_DATA);
                } else if (swapped) {
                        uint64_t data = 0;

                        r = find_data(mapping, page, end, &data);
                        if (r < 0)
                                return r;
                        if (data == page)
                                add_page(ret_runs, &n_runs, page, PAGE_STATE_SWAPPED);
                }
        }
        *ret_n_runs = n_runs;
        return 0;
}

int present_find(const struct page_span *span, struct page_run *ret_runs, size_t *ret_n_runs)
{
        const struct mapping *mapping = mapping_of_reader(span->reader);

        if (mapping->is_tmpfs)
                return find_in_file(span, ret_runs, ret_n_runs);
        if (mapping->process->has_pagemap_scan)
                return find_by_pagemap_scan(span, ret_runs, ret_n_runs);
        return find_by_pagemap(span, ret_runs, ret_n_runs);
}
