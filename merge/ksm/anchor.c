/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KSM merges two pages of zeros of a huge page by splitting it. The split gives back all of its pages that hold zeros, also those
 * two (Linux 6.12: they are mapped to the kernel's zero page), and KSM has none left that the next huge page's could be merged with:
 * so each takes a pass. With use_zero_pages = 1 it would not, but that is the operator's to choose. A page of zeros that is not
 * in a huge page, and stays, does the same.
 *
 * Nothing is shared by it that would not be: zeros are what they are merged with in any case.
 */
#include "merge/ksm/anchor.h"

#include "pages/page.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Two are merged; others are for when one is not, as KSM merges no page that it finds locked. */
#define ANCHOR_PAGES 4

int anchor_cast(struct anchor *anchor)
{
        const size_t size_bytes = ANCHOR_PAGES * PAGE_BYTES;
        void *pages = MAP_FAILED;

        if (anchor->pages)
                return 0;
        pages = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED)
                return -errno;
        *anchor = (struct anchor){pages, size_bytes};
        (void)madvise(pages, size_bytes, MADV_NOHUGEPAGE);
        /* Written, so that each has a frame of its own. */
        explicit_bzero(pages, size_bytes);
        if (madvise(pages, size_bytes, MADV_MERGEABLE) < 0) {
                const int r = -errno;

                anchor_deinit(anchor);
                return r;
        }
        return 0;
}

void anchor_deinit(struct anchor *anchor)
{
        if (anchor->pages)
                (void)munmap(anchor->pages, anchor->size_bytes);
        *anchor = (struct anchor){0};
}
