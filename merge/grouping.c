/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A radix sort in two steps, each bound by memory and not by what is in it:
 *
 *   1. Partition. The arrays of fingerprints are cut into segments. For each segment the pages are counted by the
 *      leading bits of their fingerprints; that gives each segment a place of its own in every partition, into which
 *      it then writes its pages. No two threads write to the same place, and nothing is sorted in between.
 *   2. Sort. A partition is small enough for a core's cache. There its pages are put into buckets by the next bits,
 *      of which so many are taken that a bucket holds two, and what is left is done by insertion.
 *
 * Fingerprints are keyed hashes, uniform in every bit, so partitions and buckets are of nearly equal size whatever
 * guests write into their memory: only equal pages can make one large, and equal pages are quickly sorted.
 *
 * A sorted partition is walked once. Contents that are present once are passed over; groups of two and more are written
 * back to the partition's beginning, so that keeping them takes no further memory.
 */
#include "merge/grouping.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "scanner/page.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* 512 KiB of pages, as much again for where they are sorted to: that stays in the cache of a core. */
#define PARTITION_PAGES 32768
/* Beyond this, the places being written to no longer fit the cache and the page table's. */
#define PARTITION_BITS_MAX 13
#define BUCKET_BITS_MAX    17
#define SEGMENT_PAGES      (UINT64_C(1) << 20)
/* Up to this many are sorted by insertion. */
#define INSERTION_MAX 32

struct grouping_partition {
        uint64_t first;
        uint64_t n_pages;
        uint64_t n_duplicates; /* pages in groups of two and more, which lie at its beginning */
};

/* A part of one block's array. */
struct segment {
        uint32_t block;
        uint64_t first_page;
        uint64_t n_pages;
        struct grouping_counts counts;
        uint64_t *places; /* by partition: how many pages go there, then where the next one goes */
};

struct sorter {
        struct grouping_page *scratch;
        size_t capacity;
        uint32_t ends[(1U << BUCKET_BITS_MAX) + 1];
};

struct work {
        struct grouping *grouping;
        const struct guest_block *const *blocks;
        struct segment *segments;
        size_t n_segments;
        uint64_t *places;
        struct sorter *sorters; /* by worker */
        unsigned int bits;      /* of the fingerprint, that tell the partition */
        grouping_count_fn *count;
        void *context;
        atomic_int error;
};

static inline size_t partition_of(const struct work *work, uint64_t fingerprint)
{
        return (size_t)(fingerprint >> 1 >> (63 - work->bits));
}

static bool count_segment(void *context, unsigned int worker, size_t item)
{
        struct work *work = context;
        struct segment *segment = &work->segments[item];
        const uint64_t *fingerprints = work->blocks[segment->block]->fingerprints + segment->first_page;
        uint64_t n_special[PAGE_FIRST_HASH] = {0};

        (void)worker;
        for (uint64_t i = 0; i < segment->n_pages; i++) {
                if (fingerprints[i] < PAGE_FIRST_HASH)
                        n_special[fingerprints[i]]++;
                else
                        segment->places[partition_of(work, fingerprints[i])]++;
        }
        segment->counts = (struct grouping_counts){
                .absent = n_special[PAGE_ABSENT],
                .swapped = n_special[PAGE_SWAPPED],
                .zero = n_special[PAGE_ZERO],
                .other = segment->n_pages - n_special[PAGE_ABSENT] - n_special[PAGE_SWAPPED] -
                         n_special[PAGE_ZERO],
        };
        return true;
}

static bool fill_partitions(void *context, unsigned int worker, size_t item)
{
        struct work *work = context;
        struct segment *segment = &work->segments[item];
        const uint64_t *fingerprints = work->blocks[segment->block]->fingerprints + segment->first_page;
        struct grouping_page *pages = work->grouping->pages;

        (void)worker;
        for (uint64_t i = 0; i < segment->n_pages; i++) {
                if (fingerprints[i] < PAGE_FIRST_HASH)
                        continue;
                pages[segment->places[partition_of(work, fingerprints[i])]++] = (struct grouping_page){
                        .fingerprint = fingerprints[i],
                        .block = segment->block,
                        .page = (uint32_t)(segment->first_page + i),
                };
        }
        return true;
}

/* From how many pages each segment has for each partition to where they go. */
static void assign_places(struct work *work)
{
        struct grouping *grouping = work->grouping;
        uint64_t next = 0;

        for (size_t p = 0; p < grouping->n_partitions; p++) {
                grouping->partitions[p].first = next;
                for (size_t s = 0; s < work->n_segments; s++) {
                        const uint64_t n = work->segments[s].places[p];

                        work->segments[s].places[p] = next;
                        next += n;
                }
                grouping->partitions[p].n_pages = next - grouping->partitions[p].first;
        }
        grouping->n_pages = next;
}

static void sort_by_insertion(struct grouping_page *pages, size_t n)
{
        for (size_t i = 1; i < n; i++) {
                struct grouping_page page = pages[i];
                size_t j = i;

                for (; j > 0 && pages[j - 1].fingerprint > page.fingerprint; j--)
                        pages[j] = pages[j - 1];
                pages[j] = page;
        }
}

static int compare_pages(const void *a, const void *b)
{
        const struct grouping_page *x = a;
        const struct grouping_page *y = b;

        return x->fingerprint < y->fingerprint ? -1 : x->fingerprint > y->fingerprint;
}

/* Most buckets hold one or two pages; one with a content that is there many times is large, and rare. */
static void sort_bucket(struct grouping_page *pages, size_t n)
{
        if (n <= INSERTION_MAX)
                sort_by_insertion(pages, n);
        else
                qsort(pages, n, sizeof(*pages), compare_pages);
}

static int reserve_scratch(struct sorter *sorter, size_t n)
{
        if (n <= sorter->capacity)
                return 0;
        free(sorter->scratch);
        sorter->capacity = 0;
        sorter->scratch = calloc(n, sizeof(*sorter->scratch));
        if (!sorter->scratch)
                return -ENOMEM;
        sorter->capacity = n;
        return 0;
}

static unsigned int log2_floor(uint64_t n)
{
        return n < 2 ? 0 : 63U - (unsigned int)__builtin_clzll(n);
}

/* Sorts the pages of a partition into the scratch memory. */
static void sort_partition(const struct work *work, struct sorter *sorter, const struct grouping_page *pages,
                           size_t n)
{
        const unsigned int wanted = log2_floor(n / 2);
        const unsigned int bits = wanted > BUCKET_BITS_MAX ? BUCKET_BITS_MAX : wanted;
        const uint64_t mask = (UINT64_C(1) << bits) - 1;
        const unsigned int shift = 64 - work->bits - bits;
        uint32_t *ends = sorter->ends;
        uint32_t next = 0;

        memset(ends, 0, (mask + 1) * sizeof(*ends));
        for (size_t i = 0; i < n; i++)
                ends[pages[i].fingerprint >> shift & mask]++;
        for (uint64_t bucket = 0; bucket <= mask; bucket++) {
                const uint32_t count = ends[bucket];

                ends[bucket] = next;
                next += count;
        }
        for (size_t i = 0; i < n; i++)
                sorter->scratch[ends[pages[i].fingerprint >> shift & mask]++] = pages[i];
        next = 0;
        for (uint64_t bucket = 0; bucket <= mask; next = ends[bucket++])
                if (ends[bucket] - next > 1)
                        sort_bucket(sorter->scratch + next, ends[bucket] - next);
}

static size_t group_length(const struct grouping_page *pages, size_t n)
{
        size_t length = 1;

        while (length < n && pages[length].fingerprint == pages[0].fingerprint)
                length++;
        return length;
}

static bool group_partition(void *context, unsigned int worker, size_t item)
{
        struct work *work = context;
        struct grouping_partition *partition = &work->grouping->partitions[item];
        struct grouping_page *pages = work->grouping->pages + partition->first;
        struct sorter *sorter = &work->sorters[worker];
        size_t n = 0;

        if (reserve_scratch(sorter, partition->n_pages) < 0) {
                atomic_store(&work->error, -ENOMEM);
                return false;
        }
        sort_partition(work, sorter, pages, partition->n_pages);
        for (size_t i = 0; i < partition->n_pages; i += n) {
                const struct grouping_page *group = sorter->scratch + i;

                n = group_length(group, partition->n_pages - i);
                if (n < 2)
                        continue;
                work->count(work->context, worker, group, n);
                memcpy(pages + partition->n_duplicates, group, n * sizeof(*group));
                partition->n_duplicates += n;
        }
        return true;
}

static uint64_t count_segments(const struct guest_block *const *blocks, size_t n_blocks,
                               uint64_t *ret_n_pages)
{
        uint64_t n_segments = 0;

        *ret_n_pages = 0;
        for (size_t b = 0; b < n_blocks; b++) {
                n_segments += (blocks[b]->n_pages + SEGMENT_PAGES - 1) / SEGMENT_PAGES;
                *ret_n_pages += blocks[b]->n_pages;
        }
        return n_segments;
}

static void cut_segments(struct work *work, size_t n_blocks)
{
        struct segment *segment = work->segments;

        for (uint32_t b = 0; b < n_blocks; b++) {
                const uint64_t n_pages = work->blocks[b]->n_pages;

                for (uint64_t first = 0; first < n_pages; first += SEGMENT_PAGES, segment++)
                        *segment = (struct segment){
                                .block = b,
                                .first_page = first,
                                .n_pages = n_pages - first < SEGMENT_PAGES ? n_pages - first : SEGMENT_PAGES,
                                .places = work->places +
                                          (size_t)(segment - work->segments) * work->grouping->n_partitions,
                        };
        }
}

static int prepare(struct work *work, size_t n_blocks, unsigned int n_workers)
{
        struct grouping *grouping = work->grouping;
        uint64_t n_pages = 0;

        work->n_segments = count_segments(work->blocks, n_blocks, &n_pages);
        work->bits = log2_floor(n_pages / PARTITION_PAGES);
        work->bits = work->bits > PARTITION_BITS_MAX ? PARTITION_BITS_MAX : work->bits;
        grouping->n_partitions = (size_t)1 << work->bits;
        grouping->counts = calloc(n_blocks + 1, sizeof(*grouping->counts));
        grouping->partitions = calloc(grouping->n_partitions, sizeof(*grouping->partitions));
        work->segments = calloc(work->n_segments + 1, sizeof(*work->segments));
        work->places = calloc(work->n_segments * grouping->n_partitions + 1, sizeof(*work->places));
        work->sorters = calloc(n_workers, sizeof(*work->sorters));
        if (!grouping->counts || !grouping->partitions || !work->segments || !work->places || !work->sorters)
                return -ENOMEM;
        cut_segments(work, n_blocks);
        return 0;
}

/* Room for all pages: huge pages where there are some, since every page of it is written to in turn. */
static int reserve_pages(struct grouping *grouping)
{
        void *pages = NULL;

        grouping->pages_bytes = (grouping->n_pages + 1) * sizeof(*grouping->pages);
        pages = mmap(NULL, grouping->pages_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED)
                return -ENOMEM;
        (void)madvise(pages, grouping->pages_bytes, MADV_HUGEPAGE);
        (void)madvise(pages, grouping->pages_bytes, MADV_DONTDUMP);
        grouping->pages = pages;
        return 0;
}

static void run_job(struct pool *pool, size_t n_items, pool_work_fn *function, struct work *work)
{
        pool_start(pool, n_items, function, work);
        while (!pool_wait(pool, USEC_INFINITY))
                ;
}

static void add_counts(struct work *work)
{
        for (size_t s = 0; s < work->n_segments; s++) {
                const struct grouping_counts *counts = &work->segments[s].counts;
                struct grouping_counts *sum = &work->grouping->counts[work->segments[s].block];

                sum->absent += counts->absent;
                sum->swapped += counts->swapped;
                sum->zero += counts->zero;
                sum->other += counts->other;
        }
}

static int run(struct work *work, struct pool *pool, size_t n_blocks)
{
        int r = prepare(work, n_blocks, pool_n_threads(pool));

        if (r < 0)
                return r;
        run_job(pool, work->n_segments, count_segment, work);
        add_counts(work);
        assign_places(work);
        r = reserve_pages(work->grouping);
        if (r < 0)
                return r;
        run_job(pool, work->n_segments, fill_partitions, work);
        run_job(pool, work->grouping->n_partitions, group_partition, work);
        return atomic_load(&work->error);
}

int grouping_new(struct pool *pool, const struct guest_block *const *blocks, size_t n_blocks,
                 grouping_count_fn *count, void *context, struct grouping **ret)
{
        struct grouping *grouping = calloc(1, sizeof(*grouping));
        struct work work = {.grouping = grouping, .blocks = blocks, .count = count, .context = context};
        int r = 0;

        if (!grouping)
                return -ENOMEM;
        for (size_t b = 0; b < n_blocks; b++)
                if (blocks[b]->n_pages > UINT32_MAX)
                        r = -EFBIG;
        if (r == 0)
                r = run(&work, pool, n_blocks);
        for (unsigned int i = 0; work.sorters && i < pool_n_threads(pool); i++)
                free(work.sorters[i].scratch);
        free(work.sorters);
        free(work.segments);
        free(work.places);
        if (r < 0) {
                grouping_free(grouping);
                return r;
        }
        *ret = grouping;
        return 0;
}

struct grouping *grouping_free(struct grouping *grouping)
{
        if (!grouping)
                return NULL;
        if (grouping->pages)
                (void)munmap(grouping->pages, grouping->pages_bytes);
        free(grouping->partitions);
        free(grouping->counts);
        free(grouping);
        return NULL;
}

void grouping_for_each_duplicate(const struct grouping *grouping,
                                 void (*visit)(void *context, const struct grouping_page *pages,
                                               size_t n_pages),
                                 void *context)
{
        for (size_t p = 0; p < grouping->n_partitions; p++) {
                const struct grouping_partition *partition = &grouping->partitions[p];
                const struct grouping_page *pages = grouping->pages + partition->first;
                size_t n = 0;

                for (size_t i = 0; i < partition->n_duplicates; i += n) {
                        n = group_length(pages + i, partition->n_duplicates - i);
                        visit(context, pages + i, n);
                }
        }
}
