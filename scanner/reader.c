/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For every kind of guest memory there is a fast way to read it that does damage, and a way that does not:
 *
 *   A shared RAM file can be mapped here too, and read at the speed of memory. But touching a hole through
 *   the mapping allocates it, and takes the place of a page that a postcopy migration is about to deliver. So
 *   only pages that hold data are touched, and they are faulted in before the guest is paused. While the
 *   guest runs, such a page could become a hole between the lookup and the touch. So live scans use pread(2),
 *   which reads a hole as zeros and leaves it a hole. pread(2) also reads hugetlbfs, where a touched hole
 *   takes a page from the pool, and files on disk, whose pages could leave memory meanwhile.
 *
 *   Private memory cannot be mapped from outside. process_vm_readv(2) is several times as fast as
 *   /proc/PID/mem, but un-merges the pages of KSM that it reads: scanner/copy.c tells them apart.
 *
 * Absent and swapped pages are never asked for (scanner/present.c).
 */
#include "scanner/reader.h"

#include "pages/page.h"
#include "scanner/copy.h"
#include "scanner/frames.h"
#include "scanner/present.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

/* Since Linux 5.14; not in the oldest headers. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/*
 * How many pages the kernel maps around one that is read, aligned to their number (its fault_around_bytes).
 */
#define FAULT_AROUND_PAGES UINT64_C(16)

/*
 * The guest still runs, so a page may have become a hole since it was found, and touching it would allocate
 * it. Only one page of each FAULT_AROUND_PAGES is touched: the kernel maps its neighbours too, but only those
 * that exist.
 */
static void populate_run(const struct page_reader *reader, const struct page_run *run)
{
        const struct mapping *mapping = mapping_of_reader(reader);
        const uint64_t first = ((uintptr_t)mapping->window >> PAGE_SHIFT) + run->page;

        if (!mapping->window)
                return;
        /* Before Linux 5.14 this fails, and the pages are faulted in when they are read. */
        for (uint64_t at = first; at < first + run->n_pages; at = (at | (FAULT_AROUND_PAGES - 1)) + 1)
                (void)madvise((void *)(uintptr_t)(at << PAGE_SHIFT), PAGE_BYTES, MADV_POPULATE_READ);
}

/* Nothing is copied: the bytes are read where our mapping has them. */
static int read_in_place(const struct page_span *span, const struct page_run *runs, size_t n_runs,
                         struct page_buffer *buffer)
{
        (void)runs;
        (void)n_runs;
        buffer->in_place = true;
        buffer->bytes = mapping_of_reader(span->reader)->window + span->first * PAGE_BYTES;
        return 0;
}

struct page_reader reader_of_kind(enum page_reader_kind kind)
{
        struct page_reader reader = {
                .kind = kind,
                .find = present_find,
                .read = copy_span,
                .frames = frames_find,
        };

        if (kind == PAGE_READER_MAPPED) {
                reader.prepare = populate_run;
                reader.read = read_in_place;
        }
        if (kind == PAGE_READER_PROCESS_VM)
                reader.read = copy_span_fast;
        return reader;
}

enum page_reader_kind reader_choose(const struct mapping *mapping)
{
        if (mapping->shared)
                return mapping->is_tmpfs ? PAGE_READER_MAPPED : PAGE_READER_PREAD;
        return PAGE_READER_PROCESS_VM;
}

/*
 * The kernel shows which pages of a file are in memory only to those who own it or may write to it. To others
 * mincore(2) calls all pages resident. A hole would pass for data, and reading it would allocate it. So this
 * asks about a page far behind the end of the file, which does not exist.
 */
static bool may_ask_for_pages(int file_fd)
{
        const off_t behind = (off_t)1 << 60;
        unsigned char resident = 1;
        void *page = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, file_fd, behind);

        if (page == MAP_FAILED)
                return false;
        if (mincore(page, PAGE_BYTES, &resident) < 0)
                resident = 1;
        (void)munmap(page, PAGE_BYTES);
        return !(resident & 1);
}

int reader_map(struct mapping *mapping, struct failure *failure)
{
        void *window = NULL;

        if (!mapping->is_tmpfs)
                return 0;
        if (!may_ask_for_pages(mapping->file_fd))
                return failure_set(
                        failure, -EPERM,
                        "may not ask which pages of its RAM file are in memory: this needs root, or "
                        "CAP_FOWNER");
        window = mmap(NULL, mapping->size_bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, mapping->file_fd,
                      (off_t)mapping->file_offset);
        if (window == MAP_FAILED)
                return failure_errno(failure, -errno, "cannot map its RAM file");
        (void)madvise(window, mapping->size_bytes, MADV_DONTDUMP);
        mapping->window = window;
        return 0;
}

void reader_unmap(struct mapping *mapping)
{
        if (mapping->window)
                (void)munmap((void *)mapping->window, mapping->size_bytes);
        mapping->window = NULL;
}
