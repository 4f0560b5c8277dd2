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
#include "scanner/frames.h"
#include "scanner/page.h"
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
        struct guest_block *block;
        const struct guest_region *region;
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

int recheck_reserve(struct guest_ram *const *guests, size_t n_guests)
{
        for (size_t g = 0; g < n_guests; g++)
                for (size_t b = 0; b < guests[g]->n_blocks; b++) {
                        struct guest_block *block = &guests[g]->blocks[b];

                        free(block->marks);
                        block->marks = calloc(block->n_pages + 1, sizeof(*block->marks));
                        if (!block->marks)
                                return -ENOMEM;
                }
        return 0;
}

static uint8_t *marks_of(const struct stretch *stretch)
{
        return stretch->block->marks + stretch->region->region.first_page + stretch->page;
}

/* Whether any page of it is wanted. */
static bool is_wanted(const struct stretch *stretch)
{
        return memchr(marks_of(stretch), RECHECK_WANTED, stretch->n_pages) != NULL;
}

/* Calls @take for every stretch of at most PRESENT_RANGE_PAGES that has a wanted page. */
static void for_each_stretch(struct guest_ram *const *guests, size_t n_guests,
                             void (*take)(void *context, const struct stretch *stretch), void *context)
{
        for (size_t g = 0; g < n_guests; g++)
                for (size_t b = 0; b < guests[g]->n_blocks; b++) {
                        struct guest_block *block = &guests[g]->blocks[b];

                        for (size_t r = 0; block->marks && r < block->n_regions; r++) {
                                struct stretch stretch = {guests[g], block, &block->regions[r], 0, 0};
                                const uint64_t n = stretch.region->region.size_bytes >> PAGE_SHIFT;

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

static void count_pages(void *context, const struct stretch *stretch)
{
        uint64_t *n = context;

        for (size_t i = 0; i < stretch->n_pages; i++)
                *n += marks_of(stretch)[i] == RECHECK_WANTED;
}

uint64_t recheck_count(struct guest_ram *const *guests, size_t n_guests)
{
        uint64_t n = 0;

        for_each_stretch(guests, n_guests, count_pages, &n);
        return n;
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

/* What became of wanted pages that have no frame. */
static void mark_absent(const struct stretch *stretch, uint64_t *frames, uint64_t *entries)
{
        if (pagemap_read(stretch->ram->pagemap_fd, stretch->region->region.hva + stretch->page * PAGE_BYTES,
                         entries, stretch->n_pages) < 0)
                return;
        for (size_t i = 0; i < stretch->n_pages; i++)
                if (marks_of(stretch)[i] == RECHECK_WANTED && frames[i] == FRAME_OWN &&
                    !(entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)))
                        marks_of(stretch)[i] |= RECHECK_CHANGED;
}

/* Reads and judges @n wanted pages from number @first of the stretch on. */
static void judge(const struct rechecking *rechecking, const struct stretch *stretch, unsigned char *buffer,
                  const uint64_t *frames, size_t first, size_t n)
{
        const uint64_t page = stretch->page + first;
        const uint64_t *before = stretch->block->fingerprints + stretch->region->region.first_page + page;
        uint64_t now[BATCH_PAGES];

        if (fileio_pread_full(stretch->ram->mem_fd, buffer, n * PAGE_BYTES,
                              stretch->region->region.hva + page * PAGE_BYTES) < 0)
                return;
        fingerprint_pages(rechecking->key, buffer, n, now);
        for (size_t i = 0; i < n; i++)
                marks_of(stretch)[first + i] |= now[i] != before[i]             ? RECHECK_CHANGED
                                                : frames[first + i] & FRAME_KSM ? RECHECK_MERGED
                                                                                : RECHECK_KEPT;
}

static bool work_on_stretch(void *context, unsigned int worker, size_t item)
{
        const struct rechecking *rechecking = context;
        const struct stretch *stretch = &rechecking->stretches[item];
        unsigned char *buffer = rechecking->buffers + worker * BATCH_BYTES;
        uint64_t frames[PRESENT_RANGE_PAGES];
        uint64_t entries[PRESENT_RANGE_PAGES];
        const uint8_t *marks = marks_of(stretch);

        if (frames_find(stretch->ram, stretch->region, stretch->page, stretch->n_pages,
                        rechecking->kpageflags_fd, frames) < 0)
                return true;
        mark_absent(stretch, frames, entries);
        for (size_t i = 0, n = 0; i<stretch->n_pages; i += n> 0 ? n : 1) {
                for (n = 0; n < BATCH_PAGES && i + n < stretch->n_pages; n++)
                        if (marks[i + n] != RECHECK_WANTED || frames[i + n] == FRAME_OWN)
                                break;
                if (n > 0)
                        judge(rechecking, stretch, buffer, frames, i, n);
        }
        return true;
}

int recheck_run(struct pool *pool, const struct fingerprint_key *key, struct guest_ram *const *guests,
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
