/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two steps, each bound by memory and not by what is in it:
 *
 *   1. Partition. The arrays of fingerprints are cut into segments. For each segment the pages are counted by the
 *      leading bits of their fingerprints; that gives each segment a place of its own in every partition, into
 *      which it then writes its pages. No two threads write to the same place.
 *   2. Group. A partition is small enough for a core's cache. There a hash table leads from each fingerprint to the
 *      pages that have it.
 *
 * Fingerprints are keyed hashes, uniform in every bit, so partitions are of nearly equal size and the table hardly
 * ever collides, whatever guests write into their memory. Only equal pages can make a partition large.
 *
 * Contents that are present once are passed over. Groups of two and more are written back to the partition's
 * beginning, so that keeping them takes no further memory.
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

/* 512 KiB to 1 MiB of pages, and about as much to group them with: that stays in the cache of a core. */
#define PARTITION_PAGES 32768
/* Beyond this, the places being written to no longer fit the cache and the page table's. */
#define PARTITION_BITS_MAX 13
#define SEGMENT_PAGES      (UINT64_C(1) << 20)
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

/* What one thread groups a partition with. */
struct grouper {
        struct grouping_page *scratch;
        uint32_t *table;    /* a hash table of pages: index + 1, 0 where there is none */
        uint32_t *earlier;  /* by page: index + 1 of the one before of equal content, 0 for the first */
        uint32_t *repeated; /* slots of the table whose content is there more than once */
        size_t capacity;
};

static void grouper_deinit(struct grouper *grouper)
{
        free(grouper->scratch);
        free(grouper->table);
        free(grouper->earlier);
        free(grouper->repeated);
        *grouper = (struct grouper){0};
}

struct work {
        struct grouping *grouping;
        const struct guest_block *const *blocks;
        struct segment *segments;
        size_t n_segments;
        uint64_t *places;
        struct grouper *groupers; /* by worker */
        unsigned int bits;        /* of the fingerprint, that tell the partition */
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

static size_t group_length(const struct grouping_page *pages, size_t n)
{
        size_t length = 1;

        while (length < n && pages[length].fingerprint == pages[0].fingerprint)
                length++;
        return length;
}

static unsigned int log2_floor(uint64_t n)
{
        return n < 2 ? 0 : 63U - (unsigned int)__builtin_clzll(n);
}

static int reserve(struct grouper *grouper, size_t n)
{
        const size_t n_slots = (size_t)1 << (log2_floor(n) + 2);

        if (n <= grouper->capacity)
                return 0;
        grouper_deinit(grouper);
        grouper->scratch = calloc(n, sizeof(*grouper->scratch));
        grouper->earlier = calloc(n, sizeof(*grouper->earlier));
        grouper->repeated = calloc(n, sizeof(*grouper->repeated));
        grouper->table = calloc(n_slots, sizeof(*grouper->table));
        if (!grouper->scratch || !grouper->earlier || !grouper->repeated || !grouper->table)
                return -ENOMEM;
        grouper->capacity = n;
        return 0;
}

/*
 * Chains pages of equal fingerprint: the table leads to the last one, and each to the one before it. Returns how many
 * contents are there more than once; their slots are in grouper->repeated.
 */
static size_t chain_pages(const struct work *work, struct grouper *grouper, const struct grouping_page *pages,
                          size_t n)
{
        const unsigned int bits = log2_floor(n) + 2;
        const size_t mask = ((size_t)1 << bits) - 1;
        const unsigned int shift = 64 - work->bits - bits;
        uint32_t *table = grouper->table;
        size_t n_repeated = 0;

        memset(table, 0, (mask + 1) * sizeof(*table));
        for (size_t i = 0; i < n; i++) {
                const uint64_t fingerprint = pages[i].fingerprint;
                size_t slot = fingerprint >> shift & mask;

                while (table[slot] != 0 && pages[table[slot] - 1].fingerprint != fingerprint)
                        slot = (slot + 1) & mask;
                grouper->earlier[i] = table[slot];
                if (table[slot] != 0 && grouper->earlier[table[slot] - 1] == 0)
                        grouper->repeated[n_repeated++] = (uint32_t)slot;
                table[slot] = (uint32_t)i + 1;
        }
        return n_repeated;
}

static bool group_partition(void *context, unsigned int worker, size_t item)
{
        struct work *work = context;
        struct grouping_partition *partition = &work->grouping->partitions[item];
        struct grouping_page *pages = work->grouping->pages + partition->first;
        struct grouper *grouper = &work->groupers[worker];
        size_t n_repeated = 0;

        if (partition->n_pages < 2)
                return true;
        if (partition->n_pages > UINT32_MAX - 1 || reserve(grouper, partition->n_pages) < 0) {
                atomic_store(&work->error, -ENOMEM);
                return false;
        }
        n_repeated = chain_pages(work, grouper, pages, partition->n_pages);
        for (size_t i = 0; i < n_repeated; i++) {
                struct grouping_page *group = grouper->scratch + partition->n_duplicates;
                size_t n = 0;

                for (uint32_t at = grouper->table[grouper->repeated[i]]; at != 0;
                     at = grouper->earlier[at - 1])
                        group[n++] = pages[at - 1];
                work->count(work->context, worker, group, n);
                partition->n_duplicates += n;
        }
        memcpy(pages, grouper->scratch, partition->n_duplicates * sizeof(*pages));
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
        work->groupers = calloc(n_workers, sizeof(*work->groupers));
        if (!grouping->counts || !grouping->partitions || !work->segments || !work->places || !work->groupers)
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
        for (unsigned int i = 0; work.groupers && i < pool_n_threads(pool); i++)
                grouper_deinit(&work.groupers[i]);
        free(work.groupers);
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
