/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KSM merges two pages of zeros of a huge page by splitting it. The split gives back all of its pages of
 * zeros, including those two (Linux 6.12 maps them to the kernel's zero page). Then KSM has no page left to
 * merge the next huge page's with, so each huge page takes a pass. With use_zero_pages = 1 it would not, but
 * that choice belongs to the operator. A page of zeros that is not in a huge page, and stays, has the same
 * effect.
 *
 * It causes no sharing that would not happen anyway: KSM merges guests' zeros with zeros in any case.
 */
#include "merge/ksm/anchor.h"

#include "pages/page.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Two are merged. The others are spare: KSM does not merge a page that it finds locked. */
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
        /* The write gives each page a frame of its own. */
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
