/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random access is slow in memory and fast in a cache, and a branch that cannot be predicted costs as much as
 * a cache miss. So pages are grouped in three steps:
 *
 *   1. Partition. The arrays of fingerprints are cut into segments. Each segment counts its pages by the
 *      leading bits of their fingerprints. The counts give every segment a place of its own in every
 *      partition, and the segment then writes its pages there. No two threads write to the same place. Each
 *      thread first gathers a cache line for each partition. Whole lines are written past the cache, so
 *      memory is not read for them.
 *   2. Sort. A partition fits a core's cache. Its pages are counted and placed by as many further bits as
 *      leave about one page to each value. Only neighbours can be out of order after that.
 *   3. Group. Equal pages are now neighbours. Contents that are present only once are skipped.
 *
 * Fingerprints are keyed hashes, uniform in every bit, whatever guests write into their memory. Only equal
 * pages can make a partition large, or give many pages the same value.
 *
 * A partition lists its pages segment by segment. So a page needs only its place in the segment: 4 bytes
 * beside the 8 bytes of its fingerprint. Groups of two and more overwrite the fingerprints, which are no
 * longer needed then.
 */
#include "merge/duplicates.h"

#include "base/cleanup.h"
#include "pages/page.h"

#include <emmintrin.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Pages of a partition while there are few. */
#define PARTITION_PAGES 16384
/* The lines that a thread gathers for all partitions must fit the cache of a core. */
#define PARTITION_BITS_MAX 11
/* A page that moves further than this shows that insertion sort is too slow here. */
#define MOVE_MAX      32
#define SEGMENT_PAGES (UINT64_C(1) << 20)
/* Pages whose fingerprints take a cache line. */
#define LINE_PAGES 8
#define LINE_BYTES 64

struct duplicates_partition {
        uint64_t first;
        uint64_t n_pages;
        uint64_t n_duplicates; /* pages in groups of two and more, which lie at its beginning */
};

/* A part of one block's array. */
struct segment {
        uint32_t block;
        uint64_t first_page;
        uint64_t n_pages;
        struct duplicates_counts counts;
        uint64_t *places; /* by partition: how many pages go there, then where the first one goes */
};

/* What one thread gathers for a partition before it writes a whole line. */
struct line {
        uint64_t fingerprints[LINE_PAGES];
        uint32_t offsets[LINE_PAGES];
        uint64_t next; /* where the next page goes */
        uint64_t unused[3];
};

/* A page while it is sorted. */
struct entry {
        uint64_t fingerprint;
        struct duplicates_page page;
};

/* One thread's memory. */
struct worker {
        struct line *lines;    /* by partition */
        struct entry *entries; /* of one partition */
        uint32_t *ends;        /* by value of the bits that it is sorted by */
        size_t capacity;
};

static void worker_deinit(struct worker *worker)
{
        free(worker->lines);
        free(worker->entries);
        free(worker->ends);
        *worker = (struct worker){0};
}

struct work {
        struct duplicates *duplicates;
        const struct pages_block *const *blocks;
        struct segment *segments;
        size_t n_segments;
        uint64_t *places;
        uint32_t *offsets; /* by page, in partitions: where it lies in its segment */
        struct worker *workers;
        unsigned int bits; /* leading bits of the fingerprint that select the partition */
        const struct duplicates_visitor *visitor;
        atomic_int error;
};

/* The @n bits of the fingerprint that follow the first @skip; n may be 0. */
static inline size_t bits_of(uint64_t fingerprint, unsigned int skip, unsigned int n)
{
        return (size_t)(fingerprint << skip >> 1 >> (63 - n));
}

static bool count_segment(void *context, unsigned int number, size_t item)
{
        struct work *work = context;
        struct segment *segment = &work->segments[item];
        const uint64_t *fingerprints = work->blocks[segment->block]->fingerprints + segment->first_page;
        uint64_t n_special[PAGE_FIRST_HASH] = {0};

        (void)number;
        for (uint64_t i = 0; i < segment->n_pages; i++) {
                if (fingerprints[i] < PAGE_FIRST_HASH)
                        n_special[fingerprints[i]]++;
                else
                        segment->places[bits_of(fingerprints[i], 0, work->bits)]++;
        }
        segment->counts = (struct duplicates_counts){
                .absent = n_special[PAGE_ABSENT],
                .swapped = n_special[PAGE_SWAPPED],
                .zero = n_special[PAGE_ZERO],
                .other = segment->n_pages - n_special[PAGE_ABSENT] - n_special[PAGE_SWAPPED] -
                         n_special[PAGE_ZERO],
        };
        return true;
}

/* Writes the line that ends before @end; @first is where the segment's own pages begin in this partition. */
static inline void write_line(const struct work *work, const struct line *line, uint64_t first, uint64_t end)
{
        const uint64_t start = (end - 1) / LINE_PAGES * LINE_PAGES;
        const uint64_t from = first > start ? first : start;
        const size_t skip = (size_t)(from - start);
        const size_t n = (size_t)(end - from);

        if (n == LINE_PAGES) {
                const __m128i *source = (const __m128i *)(const void *)line;
                __m128i *fingerprints = (__m128i *)(void *)(work->duplicates->words + start);
                __m128i *offsets = (__m128i *)(void *)(work->offsets + start);

                for (int i = 0; i < 4; i++)
                        _mm_stream_si128(fingerprints + i, _mm_load_si128(source + i));
                for (int i = 0; i < 2; i++)
                        _mm_stream_si128(offsets + i, _mm_load_si128(source + 4 + i));
                return;
        }
        memcpy(work->duplicates->words + from, line->fingerprints + skip, n * sizeof(*line->fingerprints));
        memcpy(work->offsets + from, line->offsets + skip, n * sizeof(*line->offsets));
}

static bool fill_partitions(void *context, unsigned int number, size_t item)
{
        struct work *work = context;
        const struct segment *segment = &work->segments[item];
        const uint64_t *fingerprints = work->blocks[segment->block]->fingerprints + segment->first_page;
        struct line *lines = work->workers[number].lines;

        for (size_t p = 0; p < work->duplicates->n_partitions; p++)
                lines[p].next = segment->places[p];
        for (uint64_t i = 0; i < segment->n_pages; i++) {
                size_t p = 0;
                size_t slot = 0;

                if (fingerprints[i] < PAGE_FIRST_HASH)
                        continue;
                p = bits_of(fingerprints[i], 0, work->bits);
                slot = lines[p].next++ % LINE_PAGES;
                lines[p].fingerprints[slot] = fingerprints[i];
                lines[p].offsets[slot] = (uint32_t)i;
                if (slot == LINE_PAGES - 1)
                        write_line(work, &lines[p], segment->places[p], lines[p].next);
        }
        for (size_t p = 0; p < work->duplicates->n_partitions; p++)
                if (lines[p].next > segment->places[p] && lines[p].next % LINE_PAGES != 0)
                        write_line(work, &lines[p], segment->places[p], lines[p].next);
        _mm_sfence(); /* makes what went past the cache visible to the other threads */
        return true;
}

/* Turns the number of pages that each segment has for each partition into where they go. */
static void assign_places(struct work *work)
{
        struct duplicates *duplicates = work->duplicates;
        uint64_t next = 0;

        for (size_t p = 0; p < duplicates->n_partitions; p++) {
                duplicates->partitions[p].first = next;
                for (size_t s = 0; s < work->n_segments; s++) {
                        const uint64_t n = work->segments[s].places[p];

                        work->segments[s].places[p] = next;
                        next += n;
                }
                duplicates->partitions[p].n_pages = next - duplicates->partitions[p].first;
        }
        duplicates->n_pages = next;
}

static unsigned int log2_floor(uint64_t n)
{
        return n < 2 ? 0 : 63U - (unsigned int)__builtin_clzll(n);
}

static int reserve_entries(struct worker *worker, size_t n)
{
        if (n <= worker->capacity)
                return 0;
        free(worker->entries);
        free(worker->ends);
        worker->capacity = 0;
        worker->entries = calloc(n, sizeof(*worker->entries));
        worker->ends = calloc(n, sizeof(*worker->ends));
        if (!worker->entries || !worker->ends)
                return -ENOMEM;
        worker->capacity = n;
        return 0;
}

/*
 * Counts pages by the @bits bits that follow the first @skip, and turns the counts into where each value
 * begins.
 */
static void place_values(const uint64_t *fingerprints, size_t n, unsigned int skip, unsigned int bits,
                         uint32_t *begins)
{
        uint32_t sum = 0;

        memset(begins, 0, sizeof(*begins) << bits);
        for (size_t i = 0; i < n; i++)
                begins[bits_of(fingerprints[i], skip, bits)]++;
        for (size_t value = 0; value < (size_t)1 << bits; value++) {
                const uint32_t n_pages = begins[value];

                begins[value] = sum;
                sum += n_pages;
        }
}

/* Copies the pages of a partition to the worker, ordered by those bits. */
static void place_pages(const struct work *work, struct worker *worker, size_t item, unsigned int bits)
{
        const struct duplicates_partition *partition = &work->duplicates->partitions[item];
        const uint64_t *words = work->duplicates->words;

        for (size_t s = 0; s < work->n_segments; s++) {
                const struct segment *segment = &work->segments[s];
                const uint64_t end = s + 1 < work->n_segments ? work->segments[s + 1].places[item]
                                                              : partition->first + partition->n_pages;

                for (uint64_t i = segment->places[item]; i < end; i++)
                        worker->entries[worker->ends[bits_of(words[i], work->bits, bits)]++] = (struct entry){
                                .fingerprint = words[i],
                                .page.block = segment->block,
                                .page.page = (uint32_t)segment->first_page + work->offsets[i],
                        };
        }
}

static int compare_entries(const void *a, const void *b)
{
        const uint64_t x = ((const struct entry *)a)->fingerprint;
        const uint64_t y = ((const struct entry *)b)->fingerprint;

        return x < y ? -1 : x > y;
}

/*
 * Insertion sort, since only neighbours are out of order; qsort() when a very frequent content proves
 * otherwise.
 */
static void sort_nearly_sorted(struct entry *entries, size_t n)
{
        for (size_t i = 1; i < n; i++) {
                const struct entry entry = entries[i];
                size_t at = i;

                if (entries[i - 1].fingerprint <= entry.fingerprint)
                        continue;
                for (; at > 0 && entries[at - 1].fingerprint > entry.fingerprint; at--)
                        entries[at] = entries[at - 1];
                entries[at] = entry;
                if (i - at > MOVE_MAX) {
                        qsort(entries, n, sizeof(*entries), compare_entries);
                        return;
                }
        }
}

/* Writes the pages that have an equal page to @groups, group by group, and returns their number. */
static size_t list_groups(const struct entry *entries, size_t n, struct duplicates_page *groups)
{
        size_t n_listed = 0;
        bool equals_last = false;

        for (size_t i = 0; i < n; i++) {
                const bool equals_next = i + 1 < n && entries[i].fingerprint == entries[i + 1].fingerprint;

                groups[n_listed] = entries[i].page;
                groups[n_listed].is_last = !equals_next;
                n_listed += equals_last | equals_next;
                equals_last = equals_next;
        }
        return n_listed;
}

/* Where the groups of a partition go: over its fingerprints. */
static struct duplicates_page *groups_of(const struct duplicates *duplicates,
                                         const struct duplicates_partition *partition)
{
        return (struct duplicates_page *)(void *)(duplicates->words + partition->first);
}

static void visit_groups(const struct duplicates *duplicates, size_t item,
                         const struct duplicates_visitor *visitor, unsigned int worker)
{
        const struct duplicates_partition *partition = &duplicates->partitions[item];
        const struct duplicates_page *pages = groups_of(duplicates, partition);

        for (size_t i = 0, n = 0; i < partition->n_duplicates; i += n) {
                n = 1;
                while (!pages[i + n - 1].is_last)
                        n++;
                visitor->visit(visitor->context, worker, pages + i, n);
        }
}

static bool group_partition(void *context, unsigned int number, size_t item)
{
        struct work *work = context;
        struct duplicates_partition *partition = &work->duplicates->partitions[item];
        struct duplicates_page *groups = groups_of(work->duplicates, partition);
        struct worker *worker = &work->workers[number];
        const unsigned int bits = log2_floor(partition->n_pages);

        if (partition->n_pages < 2)
                return true;
        if (partition->n_pages > UINT32_MAX || reserve_entries(worker, partition->n_pages) < 0) {
                atomic_store(&work->error, -ENOMEM);
                return false;
        }
        place_values(work->duplicates->words + partition->first, partition->n_pages, work->bits, bits,
                     worker->ends);
        place_pages(work, worker, item, bits);
        sort_nearly_sorted(worker->entries, partition->n_pages);
        partition->n_duplicates = list_groups(worker->entries, partition->n_pages, groups);
        visit_groups(work->duplicates, item, work->visitor, number);
        return true;
}

static uint64_t count_segments(const struct pages_block *const *blocks, size_t n_blocks,
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
                                          (size_t)(segment - work->segments) * work->duplicates->n_partitions,
                        };
        }
}

static int prepare_work(struct work *work, size_t n_blocks, unsigned int n_workers)
{
        struct duplicates *duplicates = work->duplicates;
        uint64_t n_pages = 0;

        work->n_segments = count_segments(work->blocks, n_blocks, &n_pages);
        work->bits = log2_floor(n_pages / PARTITION_PAGES);
        work->bits = work->bits > PARTITION_BITS_MAX ? PARTITION_BITS_MAX : work->bits;
        duplicates->n_partitions = (size_t)1 << work->bits;
        duplicates->counts = calloc(n_blocks + 1, sizeof(*duplicates->counts));
        duplicates->partitions = calloc(duplicates->n_partitions, sizeof(*duplicates->partitions));
        work->segments = calloc(work->n_segments + 1, sizeof(*work->segments));
        work->places = calloc(work->n_segments * duplicates->n_partitions + 1, sizeof(*work->places));
        work->workers = calloc(n_workers, sizeof(*work->workers));
        if (!duplicates->counts || !duplicates->partitions || !work->segments || !work->places ||
            !work->workers)
                return -ENOMEM;
        for (unsigned int i = 0; i < n_workers; i++) {
                work->workers[i].lines =
                        aligned_alloc(LINE_BYTES, duplicates->n_partitions * sizeof(struct line));
                if (!work->workers[i].lines)
                        return -ENOMEM;
        }
        cut_segments(work, n_blocks);
        return 0;
}

/* Uses huge pages where the kernel has some, since every page of the memory is written in turn. */
static void *map_memory(size_t bytes)
{
        void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
                return NULL;
        (void)madvise(memory, bytes, MADV_HUGEPAGE);
        (void)madvise(memory, bytes, MADV_DONTDUMP);
        return memory;
}

static void unmap_memory(void *memory, size_t bytes)
{
        if (memory)
                (void)munmap(memory, bytes);
}

static size_t words_bytes(const struct duplicates *duplicates)
{
        return (duplicates->n_pages + 1) * sizeof(*duplicates->words);
}

static size_t offsets_bytes(const struct work *work)
{
        return (work->duplicates->n_pages + 1) * sizeof(*work->offsets);
}

static void add_segment_counts(struct work *work)
{
        for (size_t s = 0; s < work->n_segments; s++) {
                const struct duplicates_counts *counts = &work->segments[s].counts;
                struct duplicates_counts *sum = &work->duplicates->counts[work->segments[s].block];

                sum->absent += counts->absent;
                sum->swapped += counts->swapped;
                sum->zero += counts->zero;
                sum->other += counts->other;
        }
}

static int run_work(struct work *work, struct pool *pool, size_t n_blocks)
{
        int r = prepare_work(work, n_blocks, pool_n_threads(pool));

        if (r < 0)
                return r;
        pool_run(pool, work->n_segments, count_segment, work);
        add_segment_counts(work);
        assign_places(work);
        work->duplicates->words = map_memory(words_bytes(work->duplicates));
        work->offsets = map_memory(offsets_bytes(work));
        if (!work->duplicates->words || !work->offsets)
                return -ENOMEM;
        pool_run(pool, work->n_segments, fill_partitions, work);
        pool_run(pool, work->duplicates->n_partitions, group_partition, work);
        return atomic_load(&work->error);
}

int duplicates_new(struct pool *pool, const struct pages_block *const *blocks, size_t n_blocks,
                   const struct duplicates_visitor *visitor, struct duplicates **ret)
{
        struct duplicates *duplicates = calloc(1, sizeof(*duplicates));
        struct work work = {.duplicates = duplicates, .blocks = blocks, .visitor = visitor};
        int r = 0;

        if (!duplicates)
                return -ENOMEM;
        for (size_t b = 0; b < n_blocks; b++)
                if (blocks[b]->n_pages > UINT32_MAX || b > DUPLICATES_BLOCKS_MAX)
                        r = -EFBIG;
        if (r == 0)
                r = run_work(&work, pool, n_blocks);
        for (unsigned int i = 0; work.workers && i < pool_n_threads(pool); i++)
                worker_deinit(&work.workers[i]);
        unmap_memory(work.offsets, offsets_bytes(&work));
        free(work.workers);
        free(work.segments);
        free(work.places);
        if (r < 0) {
                duplicates_free(duplicates);
                return r;
        }
        *ret = duplicates;
        return 0;
}

struct duplicates *duplicates_free(struct duplicates *duplicates)
{
        if (!duplicates)
                return NULL;
        unmap_memory(duplicates->words, words_bytes(duplicates));
        free(duplicates->partitions);
        free(duplicates->counts);
        free(duplicates);
        return NULL;
}

struct visiting {
        const struct duplicates *duplicates;
        const struct duplicates_visitor *visitor;
};

static bool visit_partition(void *context, unsigned int worker, size_t item)
{
        const struct visiting *visiting = context;

        visit_groups(visiting->duplicates, item, visiting->visitor, worker);
        return true;
}

void duplicates_for_each(const struct duplicates *duplicates, struct pool *pool,
                         const struct duplicates_visitor *visitor)
{
        pool_run(pool, duplicates->n_partitions, visit_partition, &(struct visiting){duplicates, visitor});
}
