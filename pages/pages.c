/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pages/pages.h"

#include "pages/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Arrays as large as the block may be mostly holes: fresh anonymous memory is not accounted until touched. */
static uint64_t *map_words(uint64_t n)
{
        void *words = NULL;
        size_t bytes = 0;

        if (__builtin_mul_overflow(n, sizeof(uint64_t), &bytes))
                return NULL;
        words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (words == MAP_FAILED)
                return NULL;
        /* Fingerprints confirm content: they stay out of core dumps. */
        (void)madvise(words, bytes, MADV_DONTDUMP);
        return words;
}

static void unmap_words(uint64_t *words, uint64_t n)
{
        if (words)
                (void)munmap(words, n * sizeof(uint64_t));
}

static void free_block(struct pages_block *block)
{
        unmap_words(block->fingerprints, block->n_pages);
        unmap_words(block->frames, block->n_pages);
        free(block->marks);
        free(block->ranges);
        free(block->id);
}

int pages_add_block(struct pages *pages, const char *id, uint64_t n_pages, size_t n_ranges,
                    struct pages_block **ret)
{
        struct pages_block *larger = reallocarray(pages->blocks, pages->n_blocks + 1, sizeof(*larger));
        struct pages_block block = {
                .id = strdup(id),
                .n_pages = n_pages,
                .ranges = calloc(n_ranges, sizeof(*block.ranges)),
                .n_ranges = n_ranges,
                .fingerprints = map_words(n_pages),
                .frames = map_words(n_pages),
        };

        if (larger)
                pages->blocks = larger;
        if (!larger || !block.id || !block.ranges || !block.fingerprints || !block.frames) {
                free_block(&block);
                return -ENOMEM;
        }
        *ret = &pages->blocks[pages->n_blocks++];
        **ret = block;
        return 0;
}

void pages_deinit(struct pages *pages)
{
        for (size_t i = 0; i < pages->n_blocks; i++)
                free_block(&pages->blocks[i]);
        free(pages->blocks);
        *pages = (struct pages){0};
}

int pages_add_marks(struct pages *pages)
{
        for (size_t i = 0; i < pages->n_blocks; i++) {
                struct pages_block *block = &pages->blocks[i];

                free(block->marks);
                block->marks = calloc(block->n_pages + 1, sizeof(*block->marks));
                if (!block->marks)
                        return -ENOMEM;
        }
        return 0;
}

uint64_t pages_count_wanted(const struct pages *pages)
{
        uint64_t n = 0;

        for (size_t b = 0; b < pages->n_blocks; b++)
                for (uint64_t i = 0; pages->blocks[b].marks && i < pages->blocks[b].n_pages; i++)
                        n += pages->blocks[b].marks[i] == PAGE_MARK_WANTED;
        return n;
}

const struct pages_range *pages_range_of(const struct pages_block *block, uint64_t page)
{
        size_t low = 0;
        size_t high = block->n_ranges - 1;

        while (low < high) {
                size_t middle = (low + high + 1) / 2;

                if (block->ranges[middle].first_page <= page)
                        low = middle;
                else
                        high = middle - 1;
        }
        return &block->ranges[low];
}
