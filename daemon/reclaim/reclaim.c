/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * This gives back what KSM cannot touch: pages of RAM files. A page of zeros and a hole in the file read the
 * same, and the hole costs nothing. fallocate(2) with PUNCH_HOLE turns the page into the hole. There are two
 * kinds of such pages, and each has its own reason why nothing is lost:
 *
 *   zero     QEMU has the file mapped shared (share=on): the page is the guest's memory. What the guest
 *            writes to it after it was found to be zero and before it is punched would be lost. So the guest
 *            has to be paused from before the page is read until after it is punched. This file neither
 *            pauses nor asks QEMU: before each single punch it asks its permit whether that is still so, and
 *            how old the look at the page is. The caller that gives the permit holds an exclusive pause
 *            (qmp/pause/lease.h): if this process is stopped in the few instructions between the permit's
 *            answer and the punch, the guard ends it before the guest runs.
 *
 *   shadow     QEMU maps the file private (memfd share=off, -mem-path): the kernel copies a page that the
 *              guest writes to, and the copy is the guest's memory. The kernel first allocates the page of
 *              the file, so behind nearly every copy lies a page of zeros that nobody reads. The guest
 *              cannot write to the file, so a page of it that is zero stays zero. After the punch it still
 *              reads as zero for every process that maps it too, so no pause is needed. Punching leaves the
 *              copies alone (the kernel unmaps pages of the file only). Nobody may write to the file by
 *              another way: daemon/reclaim/reclaim_guest.c refuses files that another process maps or has
 *              open, and repeats this check. Pages that are not zero are the content of a template, and stay.
 *
 * Candidates are found first, while the guest runs, so that a pause is spent on them alone. Only pages that
 * exist in memory are read (scanner/present.c), so reading fills no hole and brings no swapped page back. The
 * kernel goes on swapping, so presence is checked again before the second read.
 *
 * The memory gained is the change in what the file takes on the host, not the number of punched pages: a part
 * of a huge page may stay, and a page may have gone before.
 *
 * Under the pause a batch is read by pread(2), which reads a hole as zeros and leaves it a hole, and is then
 * punched in runs of zero pages. When a run is part of a huge page of tmpfs, the kernel splits the huge page,
 * or zeroes that part if the split fails: then the content is right and less memory comes back.
 */
#include "daemon/reclaim/reclaim.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fileio.h"
#include "pages/page.h"
#include "scanner/copy.h"
#include "scanner/map_file.h"
#include "scanner/reader.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>

#define WORD_BITS 64
/* As often as a scan tells of its progress for its ranges of 2 MiB. */
#define TICK_PAGES (UINT64_C(64) * PAGE_SPAN_MAX)
/* A batch whose look has become old is read again; a host that is always so busy gets nothing back. */
#define STALE_MAX 100

const char *reclaim_kind_to_string(enum reclaim_kind kind)
{
        static const char *const names[] = {
                [RECLAIM_KIND_NONE] = "none",
                [RECLAIM_KIND_ZERO] = "zero",
                [RECLAIM_KIND_SHADOW] = "shadow",
        };

        static_assert(ARRAY_SIZE(names) == RECLAIM_KIND_MAX_, "every kind has a name");
        return names[kind];
}

enum reclaim_kind reclaim_kind_of(const struct mapping *mapping)
{
        if (mapping->shared)
                return RECLAIM_KIND_ZERO;
        return mapping->file_inode ? RECLAIM_KIND_SHADOW : RECLAIM_KIND_NONE;
}

int reclaim_open(int proc_fd, const struct mapping *mapping, struct reclaim_file *ret_file,
                 struct failure *failure)
{
        struct reclaim_file file = {
                .kind = reclaim_kind_of(mapping),
                .view = *mapping,
                .n_pages = mapping->size_bytes >> PAGE_SHIFT,
        };
        int r = 0;

        file.view.reader = reader_of_kind(PAGE_READER_PREAD);
        file.view.file_fd = -1;
        file.view.window = NULL;
        r = map_file_open(proc_fd, mapping, &file.view.file_fd, &file.view.is_tmpfs, failure);

        if (r == 0)
                r = reader_map(&file.view, failure);
        file.candidates = calloc(file.n_pages / WORD_BITS + 1, sizeof(*file.candidates));
        if (r == 0 && !file.candidates)
                r = failure_set(failure, -ENOMEM, "out of memory");
        if (r < 0)
                reclaim_close(&file);
        else
                *ret_file = file;
        return r;
}

int reclaim_open_to_change(struct reclaim_file *file, struct failure *failure)
{
        CLEANUP_CLOSE int fd = -1;
        char name[64] = "";

        if (file->is_writable)
                return 0;
        /* This opens the file itself, whatever became of its name. */
        (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", file->view.file_fd);
        fd = open(name, O_RDWR | O_CLOEXEC);
        if (fd < 0)
                return failure_errno(failure, -errno, "cannot open its RAM file to give pages back");
        close_fd(&file->view.file_fd);
        file->view.file_fd = TAKE_FD(fd);
        file->is_writable = true;
        return 0;
}

void reclaim_close(struct reclaim_file *file)
{
        reader_unmap(&file->view);
        close_fd(&file->view.file_fd);
        free(file->candidates);
        file->candidates = NULL;
}

int reclaim_file_bytes(const struct reclaim_file *file, uint64_t *ret_bytes)
{
        struct stat status = {0};

        if (fstat(file->view.file_fd, &status) < 0)
                return -errno;
        *ret_bytes = (uint64_t)status.st_blocks * 512;
        return 0;
}

static uint64_t file_offset(const struct reclaim_file *file, uint64_t page)
{
        return file->view.file_offset + page * PAGE_BYTES;
}

static bool is_candidate(const struct reclaim_file *file, uint64_t page)
{
        return file->candidates[page / WORD_BITS] >> page % WORD_BITS & 1;
}

static bool is_zero(const unsigned char *page)
{
        static const unsigned char zeros[PAGE_BYTES];

        return memcmp(page, zeros, PAGE_BYTES) == 0;
}

/* Reads pages; a file that ends before them is no longer a RAM file. */
static int read_pages(const struct reclaim_file *file, uint64_t page, size_t n_pages, unsigned char *buffer,
                      struct failure *failure)
{
        const struct page_span span = {&file->view.reader, page, n_pages};
        int r = copy_pages(&span, buffer);

        return r < 0 ? failure_errno(failure, r, "cannot read its RAM file") : 0;
}

/* Finding */

static int look_at_run(struct reclaim_file *file, const struct page_run *run, unsigned char *buffer,
                       struct failure *failure)
{
        int r = read_pages(file, run->page, run->n_pages, buffer, failure);

        for (uint32_t i = 0; i < run->n_pages && r == 0; i++) {
                const uint64_t page = run->page + i;

                if (!is_zero(buffer + i * PAGE_BYTES)) {
                        file->kept_pages++;
                        continue;
                }
                file->candidates[page / WORD_BITS] |= UINT64_C(1) << page % WORD_BITS;
                file->zero_pages++;
        }
        return r;
}

static int look_at_range(struct reclaim_file *file, uint64_t page, unsigned char *buffer,
                         struct failure *failure)
{
        const uint64_t n_left = file->n_pages - page;
        struct page_run runs[PAGE_SPAN_MAX];
        size_t n_runs = 0;
        const struct page_span span = {&file->view.reader, page,
                                       n_left < PAGE_SPAN_MAX ? n_left : PAGE_SPAN_MAX};
        int r = span.reader->find(&span, runs, &n_runs);

        if (r < 0)
                return failure_errno(failure, r, "cannot tell which pages of its RAM file are in memory");
        for (size_t i = 0; i < n_runs && r == 0; i++)
                if (runs[i].state == PAGE_STATE_DATA)
                        r = look_at_run(file, &runs[i], buffer, failure);
        return r;
}

int reclaim_find(struct reclaim_file *file, void (*tick)(void *context, uint64_t n_pages), void *context,
                 struct failure *failure)
{
        CLEANUP_FREE unsigned char *buffer = malloc(PAGE_SPAN_MAX * PAGE_BYTES);
        int r = 0;

        assert(file->view.is_tmpfs);
        if (!buffer)
                return failure_set(failure, -ENOMEM, "out of memory");
        for (uint64_t page = 0; page < file->n_pages && r == 0; page += PAGE_SPAN_MAX) {
                if (tick && page % TICK_PAGES == 0)
                        tick(context, page);
                r = look_at_range(file, page, buffer, failure);
        }
        file->resident_end = file->n_pages;
        return r;
}

/* Giving back */

/* The next candidate from @page on; n_pages without one. */
static uint64_t next_candidate(const struct reclaim_file *file, uint64_t page)
{
        while (page < file->n_pages && !is_candidate(file, page)) {
                if (page % WORD_BITS == 0 && !file->candidates[page / WORD_BITS])
                        page += WORD_BITS;
                else
                        page++;
        }
        return page < file->n_pages ? page : file->n_pages;
}

static size_t count_candidates(const struct reclaim_file *file, uint64_t page, size_t n_pages)
{
        size_t n = 0;

        for (size_t i = 0; i < n_pages; i++)
                n += is_candidate(file, page + i);
        return n;
}

/* A page that is swapped out is kept; a page that is a hole by now has nothing to give. */
static void drop_candidate(struct reclaim_file *file, uint64_t page, bool is_swapped)
{
        if (!is_candidate(file, page))
                return;
        file->candidates[page / WORD_BITS] &= ~(UINT64_C(1) << page % WORD_BITS);
        file->zero_pages--;
        file->kept_pages += is_swapped;
}

/* Drops the candidates of a range that none of the @runs says are in memory. */
static void drop_absent(struct reclaim_file *file, uint64_t page, uint64_t end, const struct page_run *runs,
                        size_t n_runs)
{
        for (size_t i = 0; i < n_runs; i++) {
                const bool is_swapped = runs[i].state == PAGE_STATE_SWAPPED;

                for (; page < runs[i].page; page++)
                        drop_candidate(file, page, false);
                for (uint32_t n = 0; n < runs[i].n_pages; n++, page++)
                        if (is_swapped)
                                drop_candidate(file, page, true);
        }
        for (; page < end; page++)
                drop_candidate(file, page, false);
}

int reclaim_look_for_resident(struct reclaim_file *file, struct failure *failure)
{
        struct page_run runs[PAGE_SPAN_MAX];
        uint64_t page = file->next;

        for (uint64_t n_seen = 0; page < file->n_pages && n_seen < RECLAIM_RESIDENT_PAGES;) {
                const uint64_t n_left = file->n_pages - page;
                const size_t n_pages = n_left < PAGE_SPAN_MAX ? n_left : PAGE_SPAN_MAX;
                const struct page_span span = {&file->view.reader, page, n_pages};
                const bool has_any = count_candidates(file, page, n_pages) > 0;
                size_t n_runs = 0;
                int r = has_any ? span.reader->find(&span, runs, &n_runs) : 0;

                if (r < 0)
                        return failure_errno(failure, r,
                                             "cannot tell which pages of its RAM file are in memory");
                if (has_any)
                        drop_absent(file, page, page + n_pages, runs, n_runs);
                n_seen += count_candidates(file, page, n_pages);
                page += n_pages;
        }
        file->resident_end = page;
        file->next = next_candidate(file, file->next);
        return 0;
}

struct batch {
        unsigned char pages[RECLAIM_BATCH_PAGES][PAGE_BYTES];
        bool zero[RECLAIM_BATCH_PAGES];
        uint64_t first;
        size_t n_pages;
        uint64_t read_usec; /* when reading it began */
};

/* The run of candidates at @first, up to the size of a batch. */
static void choose_batch(const struct reclaim_file *file, uint64_t first, struct batch *batch)
{
        batch->first = first;
        batch->n_pages = 1;
        while (batch->n_pages < RECLAIM_BATCH_PAGES && first + batch->n_pages < file->resident_end &&
               is_candidate(file, first + batch->n_pages))
                batch->n_pages++;
}

static int read_batch_again(const struct reclaim_file *file, struct batch *batch, struct failure *failure)
{
        int r = 0;

        batch->read_usec = clock_now_usec();
        r = read_pages(file, batch->first, batch->n_pages, batch->pages[0], failure);
        for (size_t i = 0; i < batch->n_pages && r == 0; i++)
                batch->zero[i] = is_zero(batch->pages[i]);
        return r;
}

/* Makes a hole and counts by how much it shrank the file. Pages that the guest gets anew meanwhile do not
 * make the count negative. */
static int make_hole(struct reclaim_file *file, uint64_t page, size_t n_pages, struct failure *failure)
{
        uint64_t before = 0;
        uint64_t after = 0;
        int r = reclaim_file_bytes(file, &before);

        if (r == 0 && fallocate(file->view.file_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                (off_t)file_offset(file, page), (off_t)(n_pages * PAGE_BYTES)) < 0)
                r = errno == EAGAIN ? -EIO : -errno;
        if (r == 0)
                r = reclaim_file_bytes(file, &after);
        if (r < 0)
                return failure_errno(failure, r, "cannot give pages of its RAM file back");
        file->punched_pages += n_pages;
        file->given_bytes += before > after ? before - after : 0;
        return 0;
}

/* Punches the zero pages from @i on, the first of which is zero; *@ret_n_pages is their number. */
static int punch_run(struct reclaim_file *file, const struct batch *batch, size_t i,
                     const struct reclaim_permit *permit, size_t *ret_n_pages, struct failure *failure)
{
        size_t n_pages = 0;

        while (i + n_pages < batch->n_pages && batch->zero[i + n_pages])
                n_pages++;
        *ret_n_pages = n_pages;
        if (!permit->holds(permit->context))
                return RECLAIM_E_MORE;
        if (clock_now_usec() - batch->read_usec > permit->fresh_usec)
                return -EAGAIN;
        return make_hole(file, batch->first + i, n_pages, failure);
}

/* Reads the run of candidates at @file->next once and punches; moves next behind the pages it has handled. */
static int punch_batch(struct reclaim_file *file, struct batch *batch, const struct reclaim_permit *permit,
                       struct failure *failure)
{
        int r = 0;

        choose_batch(file, file->next, batch);
        r = read_batch_again(file, batch, failure);
        for (size_t i = 0; i < batch->n_pages && r == 0;) {
                size_t n_pages = 1;

                if (batch->zero[i])
                        r = punch_run(file, batch, i, permit, &n_pages, failure);
                if (r == 0) {
                        i += n_pages;
                        file->next = batch->first + i;
                }
        }
        return r;
}

int reclaim_punch(struct reclaim_file *file, const struct reclaim_permit *permit, struct failure *failure)
{
        CLEANUP_FREE struct batch *batch = malloc(sizeof(*batch));
        unsigned int n_stale = 0;
        int r = 0;

        assert(file->is_writable);
        if (!batch)
                return failure_set(failure, -ENOMEM, "out of memory");
        while (r == 0) {
                file->next = next_candidate(file, file->next);
                if (file->next == file->n_pages)
                        return 0;
                if (file->next >= file->resident_end || !permit->holds(permit->context))
                        return RECLAIM_E_MORE;
                r = punch_batch(file, batch, permit, failure);
                if (r == -EAGAIN)
                        r = ++n_stale < STALE_MAX ? 0 : RECLAIM_E_MORE;
        }
        return r;
}
