/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One look at a page cannot show whether its content stays. The second look, some seconds later, reads only
 * the pages that somebody asked about, in guests that run. It compares fingerprints, so it must use the key
 * of the first look.
 *
 *      another content, or gone    CHANGED    KSM would have found it changed as well, or soon
 *      same content, KSM's frame   MERGED     KSM was on its way when we first looked
 *      same content                KEPT
 *
 * A page that was changed and changed back looks as if it had been kept. A page that changes while it is read
 * counts as changed. Pages on swap, and pages that cannot be read, get no mark.
 *
 * The frame is looked up before the content is read. If KSM merges the page in between, the page is KEPT,
 * which it was at the lookup.
 */
#include "scanner/recheck.h"

#include "base/cleanup.h"
#include "pages/page.h"
#include "scanner/copy.h"
#include "scanner/mapping.h"
#include "scanner/pagemap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Pages that are read at once. */
#define BATCH_PAGES 64
#define BATCH_BYTES (BATCH_PAGES * PAGE_BYTES)

struct stretch {
        struct page_span span;
        struct pages_block *block;
        uint64_t first_page; /* of the span, in the block */
};

struct rechecking {
        const struct fingerprint_key *key;
        const struct stretch *stretches;
        unsigned char *buffers; /* of each worker */
};

static uint8_t *marks_of(const struct stretch *stretch)
{
        return stretch->block->marks + stretch->first_page;
}

/*
 * Lists the stretches of at most PAGE_SPAN_MAX that have a wanted page; only counts them while @ret is NULL.
 */
static size_t list_stretches(const struct pages *pages, struct stretch *ret)
{
        size_t n = 0;

        for (size_t b = 0; b < pages->n_blocks; b++)
                for (size_t r = 0; pages->blocks[b].marks && r < pages->blocks[b].n_ranges; r++) {
                        const struct pages_range *range = &pages->blocks[b].ranges[r];
                        const bool is_readable = range->reader && range->reader->frames;
                        struct stretch stretch = {.span = {.reader = range->reader},
                                                  .block = &pages->blocks[b]};

                        for (; is_readable && stretch.span.first < range->n_pages;
                             stretch.span.first += stretch.span.n) {
                                const uint64_t left = range->n_pages - stretch.span.first;

                                stretch.span.n = left < PAGE_SPAN_MAX ? left : PAGE_SPAN_MAX;
                                stretch.first_page = range->first_page + stretch.span.first;
                                if (!memchr(marks_of(&stretch), PAGE_MARK_WANTED, stretch.span.n))
                                        continue;
                                if (ret)
                                        ret[n] = stretch;
                                n++;
                        }
                }
        return n;
}

/* Pages of a stretch that are looked at together. */
struct batch {
        struct page_span span;
        const uint64_t *fingerprints;
        uint8_t *marks;
        uint64_t frames[BATCH_PAGES];
};

/* Marks wanted pages that have gone. */
static void mark_absent(const struct batch *batch)
{
        const struct mapping *mapping = mapping_of_reader(batch->span.reader);
        uint64_t entries[BATCH_PAGES];

        if (pagemap_read(mapping->process->pagemap_fd, mapping->hva + batch->span.first * PAGE_BYTES, entries,
                         batch->span.n) < 0)
                return;
        for (size_t i = 0; i < batch->span.n; i++)
                if (batch->marks[i] == PAGE_MARK_WANTED && batch->frames[i] == FRAME_OWN &&
                    !(entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)))
                        batch->marks[i] |= PAGE_MARK_CHANGED;
}

/*
 * Reads and judges @n wanted pages of the batch from number @first on. False when one of them cannot be read.
 */
static bool judge_pages(const struct rechecking *rechecking, const struct batch *batch, unsigned char *buffer,
                        size_t first, size_t n)
{
        const struct page_span span = {batch->span.reader, batch->span.first + first, n};
        const uint64_t *before = batch->fingerprints + first;
        const uint64_t *frames = batch->frames + first;
        uint8_t *marks = batch->marks + first;
        uint64_t now[BATCH_PAGES];

        if (copy_pages(&span, buffer) < 0)
                return false;
        fingerprint_pages(rechecking->key, buffer, n, now);
        for (size_t i = 0; i < n; i++)
                marks[i] |= now[i] != before[i]     ? PAGE_MARK_CHANGED
                            : frames[i] & FRAME_KSM ? PAGE_MARK_MERGED
                                                    : PAGE_MARK_KEPT;
        return true;
}

/* How many pages of the batch from number @i on are wanted and have a frame. */
static size_t measure_wanted_run(const struct batch *batch, size_t i)
{
        size_t n = 0;

        while (i + n < batch->span.n && batch->marks[i + n] == PAGE_MARK_WANTED &&
               batch->frames[i + n] != FRAME_OWN)
                n++;
        return n;
}

/* Looks up the frames right before it reads the pages: reading a page that has gone would create it anew. */
static void work_on_batch(const struct rechecking *rechecking, struct batch *batch, unsigned char *buffer)
{
        if (!memchr(batch->marks, PAGE_MARK_WANTED, batch->span.n) ||
            batch->span.reader->frames(&batch->span, batch->frames) < 0)
                return;
        mark_absent(batch);
        for (size_t i = 0; i < batch->span.n;) {
                const size_t n = measure_wanted_run(batch, i);

                /* If a page cannot be read, a poisoned one say, only that page is lost. */
                if (n > 0 && !judge_pages(rechecking, batch, buffer, i, n))
                        for (size_t page = i; page < i + n; page++)
                                (void)judge_pages(rechecking, batch, buffer, page, 1);
                i += n > 0 ? n : 1;
        }
}

static bool work_on_stretch(void *context, unsigned int worker, size_t item)
{
        const struct rechecking *rechecking = context;
        const struct stretch *stretch = &rechecking->stretches[item];
        unsigned char *buffer = rechecking->buffers + worker * BATCH_BYTES;

        for (size_t i = 0; i < stretch->span.n; i += BATCH_PAGES) {
                const size_t left = stretch->span.n - i;
                struct batch batch = {
                        .span = {stretch->span.reader, stretch->span.first + i,
                                 left < BATCH_PAGES ? left : BATCH_PAGES},
                        .fingerprints = stretch->block->fingerprints + stretch->first_page + i,
                        .marks = marks_of(stretch) + i,
                };

                work_on_batch(rechecking, &batch, buffer);
        }
        return true;
}

int recheck_run(struct pool *pool, const struct fingerprint_key *key, struct pages *const *guests,
                size_t n_guests)
{
        const size_t buffer_bytes = pool_n_threads(pool) * BATCH_BYTES;
        CLEANUP_FREE unsigned char *buffers = malloc(buffer_bytes);
        CLEANUP_FREE struct stretch *stretches = NULL;
        struct rechecking rechecking = {.key = key, .buffers = buffers};
        size_t n_listed = 0;
        size_t n = 0;

        for (size_t i = 0; i < n_guests; i++)
                n += list_stretches(guests[i], NULL);
        stretches = calloc(n + 1, sizeof(*stretches));
        if (!buffers || !stretches)
                return -ENOMEM;
        rechecking.stretches = stretches;
        for (size_t i = 0; i < n_guests; i++)
                n_listed += list_stretches(guests[i], stretches + n_listed);
        pool_run(pool, n, work_on_stretch, &rechecking);
        explicit_bzero(buffers, buffer_bytes);
        return 0;
}
