/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two pages really share memory when they have the same frame. The kernel's KSM counters cannot show this.
 * They are host-wide, lag behind un-merging, and miss zero pages that were remapped when a huge page was
 * split.
 *
 * Frames are read one guest after the other, when the guests already run again. Meanwhile the kernel may take
 * a frame from one guest and give it to another, which must not look like sharing. So pages count as sharing
 * a frame only when their content is equal too.
 */
#include "merge/actual.h"

#include "base/cleanup.h"
#include "pages/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Numbers in a set of figures. */
#define N_SUMS (sizeof(struct actual_figures) / sizeof(uint64_t))

static size_t same_frame_length(const struct census_copy *copies, size_t n)
{
        size_t length = 1;

        /* A page of which nothing is known counts as having a frame of its own. */
        while (copies->frame != FRAME_OWN && length < n && copies[length].frame == copies->frame)
                length++;
        return length;
}

/* Counts all pages of one frame, sorted by guest. */
static void count_frame(struct actual_figures *guests, struct actual_figures *total,
                        const struct census_copy *copies, size_t n)
{
        const bool across = copies[0].guest != copies[n - 1].guest;

        for (size_t i = 0; i < n; i++) {
                struct actual_figures *guest = &guests[copies[i].guest];

                if (i > 0 && copies[i].guest == copies[i - 1].guest) {
                        guest->self++;
                        total->self++;
                        continue;
                }
                guest->inter += across;
                total->inter += i > 0;
        }
}

/* The sums: figures of each guest, then those of all together. */
static void count_shared_content(void *context, uint64_t *scratch, uint64_t *sums,
                                 const struct census_copy *copies, size_t n_copies)
{
        const size_t n_guests = *(const size_t *)context;
        struct actual_figures *guests = (struct actual_figures *)(void *)sums;

        (void)scratch;
        for (size_t i = 0, n = 0; i < n_copies; i += n) {
                n = same_frame_length(copies + i, n_copies - i);
                count_frame(guests, &guests[n_guests], copies + i, n);
        }
}

static int compare_frames(const void *a, const void *b)
{
        const uint64_t x = *(const uint64_t *)a;
        const uint64_t y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

static size_t count_distinct(uint64_t *frames, size_t n)
{
        size_t n_distinct = 0;

        qsort(frames, n, sizeof(*frames), compare_frames);
        for (size_t i = 0; i < n; i++)
                n_distinct += i == 0 || frames[i] != frames[i - 1];
        return n_distinct;
}

/* Walks one block: counts its KSM pages, and writes the frames of its zero pages to @frames. */
static size_t walk_block(const struct pages_block *block, uint64_t *frames, struct actual_figures *figures,
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

                for (size_t b = 0; b < census->pages[g]->n_blocks; b++)
                        n_frames += walk_block(&census->pages[g]->blocks[b], frames + n_frames,
                                               &actual->guests[g], &n_guest_unknown);
                actual->guests[g].zero = census->guests[g].zero - n_guest_unknown -
                                         count_distinct(frames + first, n_frames - first);
                actual->total.ksm += actual->guests[g].ksm;
                n_unknown += n_guest_unknown;
        }
        actual->total.zero = census->total.zero - n_unknown - count_distinct(frames, n_frames);
        return 0;
}

static struct actual *make_actual(size_t n_guests)
{
        struct actual *actual = calloc(1, sizeof(*actual));

        if (!actual)
                return NULL;
        actual->guests = calloc(n_guests + 1, sizeof(*actual->guests));
        return actual->guests ? actual : actual_free(actual);
}

static int count_shared_frames(struct actual *actual, const struct census *census, struct pool *pool)
{
        size_t n_guests = census->n_guests;
        CLEANUP_FREE struct actual_figures *sums = calloc(n_guests + 1, sizeof(*sums));
        const struct census_counter counter = {
                .count = count_shared_content,
                .context = &n_guests,
                .n_sums = (n_guests + 1) * N_SUMS,
        };
        int r = sums ? census_count_duplicates(census, pool, &counter, (uint64_t *)(void *)sums) : -ENOMEM;

        if (r < 0)
                return r;
        memcpy(actual->guests, sums, n_guests * sizeof(*sums));
        actual->total = sums[n_guests];
        return 0;
}

int actual_new(const struct census *census, struct pool *pool, struct actual **ret)
{
        struct actual *actual = make_actual(census->n_guests);
        int r = 0;

        if (!actual)
                return -ENOMEM;
        actual->known = true;
        for (size_t g = 0; g < census->n_guests; g++)
                actual->known = actual->known && census->pages[g]->frames_known;
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
