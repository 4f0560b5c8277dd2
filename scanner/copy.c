/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * process_vm_readv(2) copies a whole range at memory's pace, /proc/PID/mem page by page through a page of its own, at
 * less than half of it. But process_vm_readv pins what it reads, and pinning a page that KSM merged silently un-merges it: the
 * kernel first gives the process a copy of its own. So the frames are looked at first:
 *
 *   merged pages    /proc/PID/mem, and only one page for each frame. The kernel write-protects merged frames, so two
 *                   pages behind which one stands are equal at that moment. That it was one moment is made sure of by
 *                   looking at the frames again afterwards: pages that have another one by then are read themselves.
 *   all others      process_vm_readv. Pages that QEMU has mapped by a huge page, and mappings that KSM may not merge,
 *                   cannot be merged and are not looked up.
 *
 * Where the kernel does not tell its anonymous pages from KSM's with a single user (scanner/kpageflags.c), all of them
 * are taken for merged here, though in no figure. To pin a page for reading the kernel un-shares it unless it is marked
 * PageAnonExclusive (gup_must_unshare()), and KSM's pages never are, however few use them: process_vm_readv would
 * un-merge those as well. The price is the longer way for all mergeable memory without huge pages.
 *
 * Between the look and the reading ksmd may merge a page, which is then un-merged at once: it is as it was before the
 * scan, and ksmd finds it again. Where that is too much there is PAGE_READER_PROC_MEM (samepage scan --careful).
 */
#include "scanner/copy.h"

#include "base/fileio.h"
#include "base/pidfd.h"
#include "pages/page.h"
#include "scanner/frames.h"
#include "scanner/pagemap.h"
#include "scanner/reader.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BUFFER_BYTES (PRESENT_RANGE_PAGES * PAGE_BYTES)

/* Pages that are not for process_vm_readv. */
#define SPARED (FRAME_KSM | FRAME_MAYBE_KSM)

/* What one call of copy_range() is about. */
struct range {
        struct copy *copy;
        const struct guest_ram *ram;
        const struct mapping *mapping;
        uint64_t page;
};

int copy_init(struct copy *copy)
{
        *copy = (struct copy){.buffer = aligned_alloc(BUFFER_BYTES, BUFFER_BYTES)};
        if (!copy->buffer)
                return -ENOMEM;
        (void)madvise(copy->buffer, BUFFER_BYTES, MADV_HUGEPAGE);
        (void)madvise(copy->buffer, BUFFER_BYTES, MADV_DONTDUMP);
        memset(copy->buffer, 0, BUFFER_BYTES);
        return 0;
}

void copy_deinit(struct copy *copy)
{
        if (copy->buffer)
                explicit_bzero(copy->buffer, BUFFER_BYTES);
        free(copy->buffer);
        *copy = (struct copy){0};
}

static unsigned char *slot_at(const struct copy *copy, size_t slot)
{
        return copy->buffer + slot * PAGE_BYTES;
}

/* Through a file: the RAM file, or the process's address space. */
static int read_pages(const struct range *range, size_t index, size_t n, void *to)
{
        const uint64_t offset = (range->page + index) * PAGE_BYTES;
        int r = 0;

        if (range->mapping->shared)
                return fileio_pread_full(range->mapping->file_fd, to, n * PAGE_BYTES,
                                         range->mapping->file_offset + offset);
        r = fileio_pread_full(range->ram->mem_fd, to, n * PAGE_BYTES, range->mapping->hva + offset);
        /* The address space of a dead process reads as an empty file. */
        return r == -ENODATA ? -ESRCH : r;
}

static int read_run(const struct range *range, const struct present_run *run)
{
        const size_t first = run->page - range->page;
        struct copy *copy = range->copy;
        const int r = read_pages(range, first, run->n_pages, slot_at(copy, copy->n_slots));

        for (size_t i = 0; i < run->n_pages; i++)
                copy->slots[first + i] = (uint16_t)copy->n_slots++;
        return r;
}

static int read_runs(const struct range *range, const struct present_run *runs, size_t n_runs)
{
        int r = 0;

        for (size_t i = 0; i < n_runs && r == 0; i++)
                if (runs[i].state == PRESENT_STATE_DATA)
                        r = read_run(range, &runs[i]);
        return r;
}

/*
 * Looks at the frames of pages that KSM may have merged. Returns false when that is not known. Afterwards the frame
 * word of a page has one of SPARED, or is without meaning and the page is not merged.
 */
static bool find_merged(const struct range *range, const struct present_run *runs, size_t n_runs,
                        int kpageflags_fd)
{
        uint64_t *frames = range->copy->frames;

        memset(frames, 0, sizeof(range->copy->frames));
        for (size_t i = 0; i < n_runs; i++) {
                const struct present_run *run = &runs[i];
                uint64_t *first = frames + (run->page - range->page);

                if (run->state != PRESENT_STATE_DATA || run->huge || !range->mapping->mergeable)
                        continue;
                if (kpageflags_fd < 0 || frames_find(range->ram, range->mapping, run->page, run->n_pages,
                                                     kpageflags_fd, first) < 0)
                        return false;
        }
        return true;
}

/* Has the pages of @run that are not merged read: appends them to @remote, and gives them slots. */
static size_t list_run(const struct range *range, const struct present_run *run, size_t n_remote)
{
        struct copy *copy = range->copy;
        const size_t first = run->page - range->page;
        bool joined = false;

        for (size_t i = first; i < first + run->n_pages; i++) {
                if (copy->frames[i] & SPARED) {
                        joined = false;
                        continue;
                }
                if (!joined)
                        copy->remote[n_remote++] = (struct iovec){
                                .iov_base = (void *)(uintptr_t)(range->mapping->hva +
                                                                (range->page + i) * PAGE_BYTES),
                        };
                copy->remote[n_remote - 1].iov_len += PAGE_BYTES;
                copy->slots[i] = (uint16_t)copy->n_slots++;
                joined = true;
        }
        return n_remote;
}

/*
 * process_vm_readv(2) goes by the number alone, which may be somebody else's once the process has ended.
 * /proc/PID/mem stays its own, and is what is left then.
 */
static bool read_process(const struct guest_ram *ram, const struct iovec *local, const struct iovec *remote,
                         size_t n_remote)
{
        return pidfd_is_alive(ram->pidfd) &&
               process_vm_readv(ram->pid, local, 1, remote, n_remote, 0) == (ssize_t)local->iov_len &&
               pidfd_is_alive(ram->pidfd);
}

/* All pages that are not merged, in one call. Returns false when they could not be read so. */
static bool read_not_merged(const struct range *range, const struct present_run *runs, size_t n_runs)
{
        struct copy *copy = range->copy;
        struct iovec local = {.iov_base = copy->buffer};
        size_t n_remote = 0;

        for (size_t i = 0; i < n_runs; i++)
                if (runs[i].state == PRESENT_STATE_DATA)
                        n_remote = list_run(range, &runs[i], n_remote);
        local.iov_len = copy->n_slots * PAGE_BYTES;
        return n_remote == 0 || read_process(range->ram, &local, copy->remote, n_remote);
}

static int read_merged_page(const struct range *range, size_t index)
{
        struct copy *copy = range->copy;
        const int r = read_pages(range, index, 1, slot_at(copy, copy->n_slots));

        copy->readers[index] = (uint16_t)index;
        copy->slots[index] = (uint16_t)copy->n_slots++;
        return r;
}

/* The last pages that were read, by the low bits of their frames; two that fall together only cost a reading. */
#define LAST_READ 1024

static int read_each_frame_once(const struct range *range, size_t n_pages, bool *ret_shared)
{
        struct copy *copy = range->copy;
        uint16_t last_read[LAST_READ];
        int r = 0;

        memset(last_read, 0xff, sizeof(last_read));
        for (size_t i = 0; i < n_pages && r == 0; i++) {
                uint16_t *last = &last_read[copy->frames[i] % LAST_READ];

                if (!(copy->frames[i] & SPARED))
                        continue;
                if (*last != UINT16_MAX && copy->frames[*last] == copy->frames[i]) {
                        copy->readers[i] = *last;
                        copy->slots[i] = copy->slots[*last];
                        *ret_shared = true;
                        continue;
                }
                r = read_merged_page(range, i);
                *last = (uint16_t)i;
        }
        return r;
}

/* Whether every merged page still has the frame that it had before. */
static bool still_has_its_frames(const struct range *range, size_t n_pages)
{
        const uint64_t *frames = range->copy->frames;
        uint64_t entries[PRESENT_RANGE_PAGES];

        if (pagemap_read(range->ram->pagemap_fd, range->mapping->hva + range->page * PAGE_BYTES, entries,
                         n_pages) < 0)
                return false;
        for (size_t i = 0; i < n_pages; i++)
                if (frames[i] & SPARED && (frames[i] & FRAME_PFN) != (entries[i] & PAGEMAP_PFN))
                        return false;
        return true;
}

static int read_merged(const struct range *range, size_t n_pages)
{
        struct copy *copy = range->copy;
        bool shared = false;
        int r = read_each_frame_once(range, n_pages, &shared);

        if (r < 0 || !shared || still_has_its_frames(range, n_pages))
                return r;
        for (size_t i = 0; i < n_pages && r == 0; i++)
                if (copy->frames[i] & SPARED && copy->readers[i] != i)
                        r = read_merged_page(range, i);
        return r;
}

static void forget_slots(struct copy *copy)
{
        copy->n_slots = 0;
        memset(copy->slots, 0xff, sizeof(copy->slots));
}

int copy_range(struct copy *copy, const struct guest_ram *ram, const struct mapping *mapping, uint64_t page,
               size_t n_pages, const struct present_run *runs, size_t n_runs, int kpageflags_fd)
{
        const struct range range = {.copy = copy, .ram = ram, .mapping = mapping, .page = page};

        assert(mapping->reader.kind != PAGE_READER_MAPPED && n_pages <= PRESENT_RANGE_PAGES);
        forget_slots(copy);
        if (mapping->reader.kind == PAGE_READER_PROCESS_VM &&
            find_merged(&range, runs, n_runs, kpageflags_fd)) {
                if (read_not_merged(&range, runs, n_runs))
                        return read_merged(&range, n_pages);
                forget_slots(copy); /* a page went away, or it is not permitted */
        }
        return read_runs(&range, runs, n_runs);
}
