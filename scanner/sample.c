/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Some thousand pages are enough to estimate what share of a host's pages is merged or changes. With n pages
 * a share p has a standard error of sqrt(p (1 - p) / n), however large the guests are. So a look costs the
 * same for 4 GiB and for 4 TiB.
 *
 * The pages are chosen among all addresses, and not among the pages that exist. So a guest that fills its
 * memory shows as new pages in the sample.
 *
 * A page is read only where the page map shows one. Reading a hole would not allocate a page, but it would
 * grow page tables. A hole that appears in between reads as zeros and counts as changed, which it is.
 */
#include "scanner/sample.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "pages/page.h"
#include "scanner/copy.h"
#include "scanner/guest_ram.h"
#include "scanner/pagemap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/*
 * QEMU's blocks beside RAM (video memory, firmware) are smaller than this, and so are other programs' heaps.
 */
#define LEAST_BYTES (UINT64_C(1) << 20)

struct sample_page {
        uint64_t page; /* among all pages of all blocks */
        uint64_t fingerprint;
};

struct sample {
        const struct fingerprint_key *key;
        int kpageflags_fd;
        struct guest_ram **rams;
        size_t n_rams;
        uint64_t n_all;
        struct sample_page *pages;
        size_t n_pages;
        uint64_t seed;
};

int sample_new(const struct fingerprint_key *key, int kpageflags_fd, struct sample **ret)
{
        struct sample *sample = calloc(1, sizeof(*sample));

        if (!sample)
                return -ENOMEM;
        sample->key = key;
        sample->kpageflags_fd = kpageflags_fd;
        (void)!getrandom(&sample->seed, sizeof(sample->seed), 0);
        *ret = sample;
        return 0;
}

struct sample *sample_free(struct sample *sample)
{
        if (!sample)
                return NULL;
        for (size_t i = 0; i < sample->n_rams; i++)
                guest_ram_free(sample->rams[i]);
        free(sample->rams);
        free(sample->pages);
        free(sample);
        return NULL;
}

static int add_mergeable_blocks(struct guest_ram *ram, int proc_fd, uint64_t *n_pages)
{
        CLEANUP_FREE char *smaps = NULL;
        CLEANUP_FREE struct mapping *mappings = NULL;
        struct failure failure = {0};
        size_t n = 0;
        int r = fileio_read_text(proc_fd, "smaps", &smaps);

        if (r == 0)
                r = mapping_list_mergeable(smaps, LEAST_BYTES, &mappings, &n);
        for (size_t i = 0; r == 0 && i < n; i++) {
                char id[24] = "";

                (void)snprintf(id, sizeof(id), "%zu", i);
                r = guest_ram_add_block(
                        ram, proc_fd, smaps,
                        &(struct guest_ram_block){id, mappings[i].hva, mappings[i].size_bytes}, &failure);
                *n_pages += mappings[i].size_bytes / PAGE_BYTES;
        }
        return r == 0 && n == 0 ? -ENODATA : r;
}

int sample_add(struct sample *sample, pid_t pid, int proc_fd)
{
        struct guest_ram **larger =
                reallocarray(sample->rams, sample->n_rams + 1, sizeof(struct guest_ram *));
        struct guest_ram *ram = NULL;
        struct failure failure = {0};
        uint64_t n_pages = 0;
        int r = larger ? 0 : -ENOMEM;

        if (r == 0) {
                sample->rams = larger;
                r = guest_ram_new(pid, proc_fd, &ram, &failure);
        }
        if (r == 0) {
                ram->process.kpageflags_fd = sample->kpageflags_fd;
                r = add_mergeable_blocks(ram, proc_fd, &n_pages);
        }
        if (r < 0) {
                guest_ram_free(ram);
                return r;
        }
        sample->rams[sample->n_rams++] = ram;
        sample->n_all += n_pages;
        return 0;
}

/* xorshift64*: good enough, since nobody can prepare pages for it. */
static uint64_t draw_random(struct sample *sample)
{
        uint64_t x = sample->seed ? sample->seed : 1;

        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        sample->seed = x;
        return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* Finds a page among all pages. Returns whether it exists at this moment. */
static bool find_page(const struct sample *sample, uint64_t page, struct page_span *ret)
{
        uint64_t entry = 0;

        for (size_t i = 0; i < sample->n_rams; i++) {
                const struct guest_ram *ram = sample->rams[i];

                for (size_t b = 0; b < ram->pages.n_blocks; b++) {
                        const struct mapping *mapping = ram->mappings[b]; /* all of the block */

                        if (page < ram->pages.blocks[b].n_pages) {
                                *ret = (struct page_span){&mapping->reader, page, 1};
                                return pagemap_read(ram->process.pagemap_fd, mapping->hva + page * PAGE_BYTES,
                                                    &entry, 1) == 0 &&
                                       (entry & PAGEMAP_PRESENT);
                        }
                        page -= ram->pages.blocks[b].n_pages;
                }
        }
        return false;
}

/* The frame word of an existing page. */
static uint64_t frame_of(const struct page_span *page)
{
        uint64_t frame = FRAME_OWN;

        return page->reader->frames(page, &frame) < 0 ? FRAME_OWN : frame;
}

/* The fingerprint of a page; PAGE_ABSENT where it does not exist. */
static uint64_t read_page(const struct sample *sample, uint64_t number)
{
        unsigned char bytes[PAGE_BYTES];
        uint64_t fingerprint = PAGE_ABSENT;
        struct page_span page = {0};

        if (!find_page(sample, number, &page))
                return PAGE_ABSENT;
        if (frame_of(&page) & FRAME_ZERO)
                return PAGE_ZERO;
        if (copy_pages(&page, bytes) < 0)
                return PAGE_ABSENT;
        fingerprint_pages(sample->key, bytes, 1, &fingerprint);
        return fingerprint;
}

int sample_draw(struct sample *sample, size_t n_pages)
{
        const size_t most = n_pages * SAMPLE_SPARSE;
        struct sample_page *pages = calloc(most + 1, sizeof(*pages));
        size_t n_present = 0;
        size_t n = 0;

        if (!pages)
                return -ENOMEM;
        while (sample->n_all > 0 && (n < n_pages || (n < most && n_present < n_pages / SAMPLE_SPARSE))) {
                pages[n].page = draw_random(sample) % sample->n_all;
                pages[n].fingerprint = read_page(sample, pages[n].page);
                n_present += page_is_present(pages[n++].fingerprint);
        }
        free(sample->pages);
        sample->pages = pages;
        sample->n_pages = n;
        return 0;
}

void sample_look(struct sample *sample, struct sample_figures *figures)
{
        figures->present = 0;
        figures->merged = 0;
        for (size_t i = 0; i < sample->n_pages; i++) {
                struct page_span page = {0};

                if (!find_page(sample, sample->pages[i].page, &page))
                        continue;
                figures->present++;
                figures->merged += (frame_of(&page) & (FRAME_KSM | FRAME_ZERO)) != 0;
        }
}

void sample_read(struct sample *sample, struct sample_figures *figures)
{
        figures->read = 0;
        figures->changed = 0;
        for (size_t i = 0; i < sample->n_pages; i++) {
                const uint64_t now = read_page(sample, sample->pages[i].page);

                if (!page_is_present(now))
                        continue;
                figures->read++;
                figures->changed += now != sample->pages[i].fingerprint;
        }
}
