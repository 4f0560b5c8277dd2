/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One look at a page cannot tell whether its content stays. The second one, some seconds later, reads only the pages that
 * somebody wants to know more of, in guests that run. It compares fingerprints, so it must use the key of the first look.
 *
 *      another content, or gone    CHANGED    KSM would have found it changed as well, or soon
 *      same content, KSM's frame   MERGED     KSM was on its way when we first looked
 *      same content                KEPT
 *
 * A page that was changed and changed back looks as if it had been kept; one that changes while it is read has changed.
 * Pages on swap, and all that cannot be read, get no mark.
 *
 * The frame is looked at before the content is read: KSM may merge the page in between, and then it is KEPT, as it was.
 */
#include "scanner/recheck.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "pages/page.h"
#include "scanner/frames.h"
#include "scanner/pagemap.h"
#include "scanner/present.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Pages that are read at once. */
#define BATCH_PAGES 64
#define BATCH_BYTES (BATCH_PAGES * PAGE_BYTES)

/* Neighbouring pages of a mapping. */
struct stretch {
        const struct guest_ram *ram;
        struct pages_block *block;
        const struct mapping *mapping;
        uint64_t page; /* in the mapping */
        size_t n_pages;
};

struct rechecking {
        const struct fingerprint_key *key;
        struct stretch *stretches;
        size_t n_stretches;
        unsigned char *buffers; /* of each worker */
        int kpageflags_fd;
};

static uint8_t *marks_of(const struct stretch *stretch)
{
        return stretch->block->marks + stretch->mapping->first_page + stretch->page;
}

/* Whether any page of it is wanted. */
static bool is_wanted(const struct stretch *stretch)
{
        return memchr(marks_of(stretch), PAGE_MARK_WANTED, stretch->n_pages) != NULL;
}

/* Calls @take for every stretch of at most PRESENT_RANGE_PAGES that has a wanted page. */
static void for_each_stretch(struct pages *const *guests, size_t n_guests,
                             void (*take)(void *context, const struct stretch *stretch), void *context)
{
        for (size_t g = 0; g < n_guests; g++)
                for (size_t b = 0; b < guests[g]->n_blocks; b++) {
                        struct pages_block *block = &guests[g]->blocks[b];

                        for (size_t r = 0; block->marks && r < block->n_ranges; r++) {
                                if (!block->ranges[r].reader)
                                        continue;
                                const struct mapping *mapping = mapping_of_reader(block->ranges[r].reader);
                                struct stretch stretch = {mapping->ram, block, mapping, 0, 0};
                                const uint64_t n = stretch.mapping->size_bytes >> PAGE_SHIFT;

                                for (; stretch.page < n; stretch.page += stretch.n_pages) {
                                        stretch.n_pages = n - stretch.page < PRESENT_RANGE_PAGES
                                                                  ? n - stretch.page
                                                                  : PRESENT_RANGE_PAGES;
                                        if (is_wanted(&stretch))
                                                take(context, &stretch);
                                }
                        }
                }
}

static void count_stretch(void *context, const struct stretch *stretch)
{
        (void)stretch;
        ++*(size_t *)context;
}

static void list_stretch(void *context, const struct stretch *stretch)
{
        struct rechecking *rechecking = context;

        rechecking->stretches[rechecking->n_stretches++] = *stretch;
}

/* Pages of a stretch that are looked at together: so many from number @first on. */
struct batch {
        const struct stretch *stretch;
        size_t first;
        size_t n;
        uint64_t frames[BATCH_PAGES];
};

static uint8_t *marks_of_batch(const struct batch *batch)
{
        return marks_of(batch->stretch) + batch->first;
}

/* The address of its page number @i in QEMU. */
static uint64_t address_of(const struct batch *batch, size_t i)
{
        return batch->stretch->mapping->hva + (batch->stretch->page + batch->first + i) * PAGE_BYTES;
}

/* What became of wanted pages that have no frame. */
static void mark_absent(const struct batch *batch)
{
        uint8_t *marks = marks_of_batch(batch);
        uint64_t entries[BATCH_PAGES];

        if (pagemap_read(batch->stretch->ram->pagemap_fd, address_of(batch, 0), entries, batch->n) < 0)
                return;
        for (size_t i = 0; i < batch->n; i++)
                if (marks[i] == PAGE_MARK_WANTED && batch->frames[i] == FRAME_OWN &&
                    !(entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)))
                        marks[i] |= PAGE_MARK_CHANGED;
}

/* Reads and judges @n wanted pages of it from number @first on. False when one of them cannot be read. */
static bool judge(const struct rechecking *rechecking, const struct batch *batch, unsigned char *buffer,
                  size_t first, size_t n)
{
        const struct stretch *stretch = batch->stretch;
        const uint64_t *before = stretch->block->fingerprints + stretch->mapping->first_page + stretch->page +
                                 batch->first + first;
        const uint64_t *frames = batch->frames + first;
        uint8_t *marks = marks_of_batch(batch) + first;
        uint64_t now[BATCH_PAGES];

        if (fileio_pread_full(stretch->ram->mem_fd, buffer, n * PAGE_BYTES, address_of(batch, first)) < 0)
                return false;
        fingerprint_pages(rechecking->key, buffer, n, now);
        for (size_t i = 0; i < n; i++)
                marks[i] |= now[i] != before[i]     ? PAGE_MARK_CHANGED
                            : frames[i] & FRAME_KSM ? PAGE_MARK_MERGED
                                                    : PAGE_MARK_KEPT;
        return true;
}

/* How many of its pages from number @i on are wanted and have a frame. */
static size_t measure_run(const struct batch *batch, size_t i)
{
        const uint8_t *marks = marks_of_batch(batch);
        size_t n = 0;

        while (i + n < batch->n && marks[i + n] == PAGE_MARK_WANTED && batch->frames[i + n] != FRAME_OWN)
                n++;
        return n;
}

/* The frames are asked for right before the pages are read: to read one that is not there any more would make it anew. */
static void work_on_batch(const struct rechecking *rechecking, struct batch *batch, unsigned char *buffer)
{
        if (!memchr(marks_of_batch(batch), PAGE_MARK_WANTED, batch->n) ||
            frames_find(batch->stretch->ram, batch->stretch->mapping, batch->stretch->page + batch->first,
                        batch->n, rechecking->kpageflags_fd, batch->frames) < 0)
                return;
        mark_absent(batch);
        for (size_t i = 0; i < batch->n;) {
                const size_t n = measure_run(batch, i);

                /* A page that cannot be read, a poisoned one say, loses only itself. */
                if (n > 0 && !judge(rechecking, batch, buffer, i, n))
                        for (size_t page = i; page < i + n; page++)
                                (void)judge(rechecking, batch, buffer, page, 1);
                i += n > 0 ? n : 1;
        }
}

static bool work_on_stretch(void *context, unsigned int worker, size_t item)
{
        const struct rechecking *rechecking = context;
        const struct stretch *stretch = &rechecking->stretches[item];
        unsigned char *buffer = rechecking->buffers + worker * BATCH_BYTES;
        struct batch batch = {.stretch = stretch};

        for (; batch.first < stretch->n_pages; batch.first += batch.n) {
                batch.n = stretch->n_pages - batch.first < BATCH_PAGES ? stretch->n_pages - batch.first
                                                                       : BATCH_PAGES;
                work_on_batch(rechecking, &batch, buffer);
        }
        return true;
}

int recheck_run(struct pool *pool, const struct fingerprint_key *key, struct pages *const *guests,
                size_t n_guests, int kpageflags_fd)
{
        const size_t buffer_bytes = pool_n_threads(pool) * BATCH_BYTES;
        CLEANUP_FREE unsigned char *buffers = malloc(buffer_bytes);
        CLEANUP_FREE struct stretch *stretches = NULL;
        struct rechecking rechecking = {.key = key, .buffers = buffers, .kpageflags_fd = kpageflags_fd};
        size_t n = 0;

        for_each_stretch(guests, n_guests, count_stretch, &n);
        stretches = calloc(n + 1, sizeof(*stretches));
        if (!buffers || !stretches)
                return -ENOMEM;
        rechecking.stretches = stretches;
        for_each_stretch(guests, n_guests, list_stretch, &rechecking);
        pool_run(pool, n, work_on_stretch, &rechecking);
        explicit_bzero(buffers, buffer_bytes);
        return 0;
}
