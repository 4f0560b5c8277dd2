/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * process_vm_readv(2) copies a whole range at the speed of memory. /proc/PID/mem copies page by page through
 * a page of its own, at less than half that speed. But process_vm_readv pins what it reads, and pinning a
 * page that KSM merged silently un-merges it: the kernel first gives the process a copy of its own. So the
 * frames are looked up first:
 *
 *   merged pages    are read from /proc/PID/mem, and only one page for each frame. The kernel write-protects
 *                   merged frames, so two pages of one frame are equal at that moment. A second lookup of the
 *                   frames afterwards makes sure that it was one moment: a page that has another frame by
 *                   then is read itself.
 *   all others      are read by process_vm_readv. Pages that QEMU has mapped by a huge page, and mappings
 *                   that KSM may not merge, cannot be merged and are not looked up.
 *
 * Some kernels do not tell ordinary anonymous pages from KSM's pages with a single user
 * (scanner/kpageflags.c). There all of them count as merged here, though in no figure. To pin a page for
 * reading the kernel un-shares it unless it is marked PageAnonExclusive (gup_must_unshare()). KSM's pages
 * never are, however few use them, so process_vm_readv would un-merge those as well. The price is the slower
 * way for all mergeable memory without huge pages.
 *
 * ksmd may merge a page between the lookup and the reading. The reading then un-merges it at once: the page
 * is as it was before the scan, and ksmd finds it again. PAGE_READER_PROC_MEM avoids even that (samepage scan
 * --careful).
 */
#include "scanner/copy.h"

#include "base/fileio.h"
#include "base/pidfd.h"
#include "pages/page.h"
#include "scanner/frames.h"
#include "scanner/mapping.h"
#include "scanner/pagemap.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

/* Frame words of pages that process_vm_readv must not read. */
#define SPARED (FRAME_KSM | FRAME_MAYBE_KSM)

/* The state of one call of copy_span_fast(). */
struct copying {
        struct page_span span;
        const struct mapping *mapping;
        struct page_buffer *buffer;
        uint64_t frames[PAGE_SPAN_MAX];
        struct iovec remote[PAGE_SPAN_MAX];
        uint16_t readers[PAGE_SPAN_MAX];
};

int copy_pages(const struct page_span *span, void *to)
{
        const struct mapping *mapping = mapping_of_reader(span->reader);
        const uint64_t offset = span->first * PAGE_BYTES;
        const enum page_reader_kind kind = span->reader->kind;
        int r = 0;

        if (kind == PAGE_READER_MAPPED || kind == PAGE_READER_PREAD)
                return fileio_pread_full(mapping->file_fd, to, span->n * PAGE_BYTES,
                                         mapping->file_offset + offset);
        r = fileio_pread_full(mapping->process->mem_fd, to, span->n * PAGE_BYTES, mapping->hva + offset);
        /* The address space of a dead process reads as an empty file. */
        return r == -ENODATA ? -ESRCH : r;
}

/* Copies pages of @span to the next slots. */
static int copy_run(const struct page_span *span, const struct page_run *run, struct page_buffer *buffer)
{
        const struct page_span part = {span->reader, run->page, run->n_pages};
        const int r = copy_pages(&part, page_buffer_next(buffer));

        for (size_t i = 0; i < run->n_pages; i++)
                buffer->slots[run->page - span->first + i] = (uint16_t)buffer->n_slots++;
        return r;
}

int copy_span(const struct page_span *span, const struct page_run *runs, size_t n_runs,
              struct page_buffer *buffer)
{
        int r = 0;

        page_buffer_clear(buffer);
        for (size_t i = 0; i < n_runs && r == 0; i++)
                if (runs[i].state == PAGE_STATE_DATA)
                        r = copy_run(span, &runs[i], buffer);
        return r;
}

/*
 * Looks up the frames of pages that KSM may have merged. Returns false when they are not known. Afterwards
 * the frame word of a merged page has a bit of SPARED. Any other word means only that the page is not merged.
 */
static bool find_merged(struct copying *copying, const struct page_run *runs, size_t n_runs)
{
        memset(copying->frames, 0, sizeof(copying->frames));
        for (size_t i = 0; i < n_runs; i++) {
                const struct page_run *run = &runs[i];
                const struct page_span part = {copying->span.reader, run->page, run->n_pages};

                if (run->state != PAGE_STATE_DATA || run->huge || !copying->mapping->mergeable)
                        continue;
                if (copying->mapping->process->kpageflags_fd < 0 ||
                    frames_find(&part, copying->frames + (run->page - copying->span.first)) < 0)
                        return false;
        }
        return true;
}

/* Appends the pages of @run that are not merged to the list of @remote to read, and gives them slots. */
static size_t list_run(struct copying *copying, const struct page_run *run, size_t n_remote)
{
        const size_t first = run->page - copying->span.first;
        bool joined = false;

        for (size_t i = first; i < first + run->n_pages; i++) {
                if (copying->frames[i] & SPARED) {
                        joined = false;
                        continue;
                }
                if (!joined)
                        copying->remote[n_remote++] = (struct iovec){
                                .iov_base = (void *)(uintptr_t)(copying->mapping->hva +
                                                                (copying->span.first + i) * PAGE_BYTES),
                        };
                copying->remote[n_remote - 1].iov_len += PAGE_BYTES;
                copying->buffer->slots[i] = (uint16_t)copying->buffer->n_slots++;
                joined = true;
        }
        return n_remote;
}

/*
 * process_vm_readv(2) knows the process by its number alone, which may belong to another process once it has
 * ended. /proc/PID/mem stays the right process's, and the caller falls back to it.
 */
static bool read_process(const struct guest_process *process, const struct iovec *local,
                         const struct iovec *remote, size_t n_remote)
{
        return pidfd_is_alive(process->pidfd) &&
               process_vm_readv(process->pid, local, 1, remote, n_remote, 0) == (ssize_t)local->iov_len &&
               pidfd_is_alive(process->pidfd);
}

/* Reads all pages that are not merged, in one call. Returns false when that failed. */
static bool read_not_merged(struct copying *copying, const struct page_run *runs, size_t n_runs)
{
        struct iovec local = {.iov_base = copying->buffer->room};
        size_t n_remote = 0;

        for (size_t i = 0; i < n_runs; i++)
                if (runs[i].state == PAGE_STATE_DATA)
                        n_remote = list_run(copying, &runs[i], n_remote);
        local.iov_len = copying->buffer->n_slots * PAGE_BYTES;
        return n_remote == 0 || read_process(copying->mapping->process, &local, copying->remote, n_remote);
}

static int read_merged_page(struct copying *copying, size_t index)
{
        const struct page_span page = {copying->span.reader, copying->span.first + index, 1};
        const int r = copy_pages(&page, page_buffer_next(copying->buffer));

        copying->readers[index] = (uint16_t)index;
        copying->buffer->slots[index] = (uint16_t)copying->buffer->n_slots++;
        return r;
}

/*
 * Entries of a table of the last pages read, by the low bits of their frames. A collision only costs a
 * reading.
 */
#define LAST_READ 1024

static int read_each_frame_once(struct copying *copying, bool *ret_shared)
{
        uint16_t last_read[LAST_READ];
        int r = 0;

        memset(last_read, 0xff, sizeof(last_read));
        for (size_t i = 0; i < copying->span.n && r == 0; i++) {
                uint16_t *last = &last_read[copying->frames[i] % LAST_READ];

                if (!(copying->frames[i] & SPARED))
                        continue;
                if (*last != UINT16_MAX && copying->frames[*last] == copying->frames[i]) {
                        copying->readers[i] = *last;
                        copying->buffer->slots[i] = copying->buffer->slots[*last];
                        *ret_shared = true;
                        continue;
                }
                r = read_merged_page(copying, i);
                *last = (uint16_t)i;
        }
        return r;
}

/* Whether every merged page still has the frame that it had before. */
static bool still_has_its_frames(const struct copying *copying)
{
        const uint64_t *frames = copying->frames;
        uint64_t entries[PAGE_SPAN_MAX];

        if (pagemap_read(copying->mapping->process->pagemap_fd,
                         copying->mapping->hva + copying->span.first * PAGE_BYTES, entries,
                         copying->span.n) < 0)
                return false;
        for (size_t i = 0; i < copying->span.n; i++)
                if (frames[i] & SPARED && (frames[i] & FRAME_PFN) != (entries[i] & PAGEMAP_PFN))
                        return false;
        return true;
}

static int read_merged(struct copying *copying)
{
        bool shared = false;
        int r = read_each_frame_once(copying, &shared);

        if (r < 0 || !shared || still_has_its_frames(copying))
                return r;
        for (size_t i = 0; i < copying->span.n && r == 0; i++)
                if (copying->frames[i] & SPARED && copying->readers[i] != i)
                        r = read_merged_page(copying, i);
        return r;
}

int copy_span_fast(const struct page_span *span, const struct page_run *runs, size_t n_runs,
                   struct page_buffer *buffer)
{
        struct copying copying;

        copying.span = *span;
        copying.mapping = mapping_of_reader(span->reader);
        copying.buffer = buffer;
        page_buffer_clear(buffer);
        if (find_merged(&copying, runs, n_runs) && read_not_merged(&copying, runs, n_runs))
                return read_merged(&copying);
        return copy_span(span, runs, n_runs, buffer); /* a page went away, or it is not permitted */
}
