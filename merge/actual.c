/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two pages really share memory when the same frame stands behind both. The kernel's KSM counters cannot tell
 * this: they are host-wide, lag behind un-merging, and do not know of zero pages that a huge-page split
 * remapped.
 *
 * Frames are read after the guests run again, one guest after the other. A frame that was freed by one guest
 * and given to another in between must not look like sharing: pages count as sharing a frame only when their
 * content is equal too.
 */
#include "merge/actual.h"

#include "base/cleanup.h"
#include "scanner/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t same_frame_length(const struct census_copy *copies, size_t n)
{
        size_t length = 1;

        /* Pages of which nothing is known have a frame of their own each. */
        while (copies->frame != FRAME_OWN && length < n && copies[length].frame == copies->frame)
                length++;
        return length;
}

/* All the pages behind which one frame stands, sorted by guest. */
static void count_frame(struct actual *actual, const struct census_copy *copies, size_t n)
{
        const bool across = copies[0].guest != copies[n - 1].guest;

        for (size_t i = 0; i < n; i++) {
                struct actual_figures *guest = &actual->guests[copies[i].guest];

                if (i > 0 && copies[i].guest == copies[i - 1].guest) {
                        guest->self++;
                        actual->total.self++;
                        continue;
                }
                guest->inter += across;
                actual->total.inter += i > 0;
        }
}

static void count_content(void *context, unsigned int worker, const struct census_copy *copies,
                          size_t n_copies)
{
        struct actual *actual = ((struct actual **)context)[worker];

        for (size_t i = 0, n = 0; i < n_copies; i += n) {
                n = same_frame_length(copies + i, n_copies - i);
                count_frame(actual, copies + i, n);
        }
}

static int compare_words(const void *a, const void *b)
{
        const uint64_t x = *(const uint64_t *)a;
        const uint64_t y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

static size_t count_distinct(uint64_t *frames, size_t n)
{
        size_t n_distinct = 0;

        qsort(frames, n, sizeof(*frames), compare_words);
        for (size_t i = 0; i < n; i++)
                n_distinct += i == 0 || frames[i] != frames[i - 1];
        return n_distinct;
}

/* Walks one block: KSM pages are counted, and the frames of its zero pages appended to @frames. */
static size_t walk_block(const struct guest_block *block, uint64_t *frames, struct actual_figures *figures,
                         uint64_t *n_unknown)
{
        size_t n = 0;

        for (uint64_t page = 0; page < block->n_pages; page++) {
                const uint64_t fingerprint = block->fingerprints[page];
                uint64_t frame = 0;

                if (!page_is_present(fingerprint))
                        continue;
                frame = block->frames[page];
                figures->ksm += (frame & FRAME_KSM) != 0;
                if (fingerprint != PAGE_ZERO || frame & FRAME_ZERO)
                        continue;
                if (frame == FRAME_OWN)
                        (*n_unknown)++;
                else
                        frames[n++] = frame & FRAME_PFN;
        }
        return n;
}

static int count_zero_pages(struct actual *actual, const struct census *census)
{
        CLEANUP_FREE uint64_t *frames = calloc(census->total.zero + 1, sizeof(*frames));
        size_t n_frames = 0;
        uint64_t n_unknown = 0;

        if (!frames)
                return -ENOMEM;
        for (size_t g = 0; g < census->n_guests; g++) {
                const size_t first = n_frames;
                uint64_t n_guest_unknown = 0;

                for (size_t b = 0; b < census->rams[g]->n_blocks; b++)
                        n_frames += walk_block(&census->rams[g]->blocks[b], frames + n_frames,
                                               &actual->guests[g], &n_guest_unknown);
                actual->guests[g].zero = census->guests[g].zero - n_guest_unknown -
                                         count_distinct(frames + first, n_frames - first);
                actual->total.ksm += actual->guests[g].ksm;
                n_unknown += n_guest_unknown;
        }
        actual->total.zero = census->total.zero - n_unknown - count_distinct(frames, n_frames);
        return 0;
}

static struct actual *make(size_t n_guests)
{
        struct actual *actual = calloc(1, sizeof(*actual));

        if (!actual)
                return NULL;
        actual->guests = calloc(n_guests + 1, sizeof(*actual->guests));
        return actual->guests ? actual : actual_free(actual);
}

/* What a worker counted: only pages that share a frame. */
static void add(struct actual *actual, const struct actual *part, size_t n_guests)
{
        for (size_t g = 0; g < n_guests; g++) {
                actual->guests[g].self += part->guests[g].self;
                actual->guests[g].inter += part->guests[g].inter;
        }
        actual->total.self += part->total.self;
        actual->total.inter += part->total.inter;
}

/* Each worker counts for itself, and the sums are put together. */
static int count_shared_frames(struct actual *actual, const struct census *census, struct pool *pool)
{
        const unsigned int n_workers = pool_n_threads(pool);
        CLEANUP_FREE struct actual **parts = calloc(n_workers, sizeof(struct actual *));
        int r = parts ? 0 : -ENOMEM;

        for (unsigned int i = 0; r == 0 && i < n_workers; i++) {
                parts[i] = make(census->n_guests);
                r = parts[i] ? 0 : -ENOMEM;
        }
        if (r == 0)
                r = census_for_each_duplicate(census, pool, count_content, parts);
        for (unsigned int i = 0; parts && i < n_workers; i++) {
                if (r == 0)
                        add(actual, parts[i], census->n_guests);
                actual_free(parts[i]);
        }
        return r;
}

int actual_new(const struct census *census, struct pool *pool, struct actual **ret)
{
        struct actual *actual = make(census->n_guests);
        int r = 0;

        if (!actual)
                return -ENOMEM;
        actual->known = true;
        for (size_t g = 0; g < census->n_guests; g++)
                actual->known = actual->known && census->rams[g]->frames_known;
        r = count_shared_frames(actual, census, pool);
        if (r == 0)
                r = count_zero_pages(actual, census);
        if (r < 0) {
                actual_free(actual);
                return r;
        }
        *ret = actual;
        return 0;
}

struct actual *actual_free(struct actual *actual)
{
        if (!actual)
                return NULL;
        free(actual->guests);
        free(actual);
        return NULL;
}

uint64_t actual_saved(const struct actual_figures *figures)
{
        return figures->self + figures->inter + figures->zero;
}
