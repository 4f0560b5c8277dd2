/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linux 6.10 to 7.2-rc2 sets KPF_KSM for all anonymous memory: "proc: rewrite stable_page_flags()"
 * (dee3d0bef2b0) tests a mask of two bits, one of which every anonymous page has. 81401cebfc15 fixes it, and
 * goes to stable kernels too, so the kernel's version shows nothing. A page of our own does: it was never
 * marked for KSM, and cannot be merged.
 *
 * On such a kernel two other properties show a frame of KSM's:
 *
 *   no part of a huge page   KSM splits those before it merges a part. KPF_THP names large folios of any
 *                            size, but on some of these kernels those of 2 MiB alone, so compound pages are
 *                            left out too.
 *   mapped more than once    Bit 56 of a pagemap entry says that the page is mapped once
 *                            (pte_to_pagemap_entry() of the kernel: its map count is 1). Nothing but KSM maps
 *                            a guest's private page twice: QEMU keeps its children from guest memory
 *                            (MADV_DONTFORK).
 *
 * A frame of KSM's with a single user left cannot be recognised: it looks like any other. Such pages get
 * FRAME_MAYBE_KSM.
 */
#include "scanner/kpageflags.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "pages/page.h"
#include "scanner/pagemap.h"

#include <fcntl.h>
#include <sys/mman.h>

#define KPF_COMPOUND_HEAD (UINT64_C(1) << 15)
#define KPF_COMPOUND_TAIL (UINT64_C(1) << 16)
#define KPF_KSM           (UINT64_C(1) << 21)
#define KPF_THP           (UINT64_C(1) << 22)
#define KPF_ZERO_PAGE     (UINT64_C(1) << 24)

static enum { NOT_PROBED, BELIEVED, DOUBTED } ksm_flag;

bool kpageflags_is_wrong_of(int pagemap_fd, int kpageflags_fd, const void *page)
{
        uint64_t entry = 0;
        uint64_t flags = 0;

        return pagemap_read(pagemap_fd, (uintptr_t)page, &entry, 1) == 0 && (entry & PAGEMAP_PRESENT) &&
               (entry & PAGEMAP_PFN) != 0 &&
               fileio_pread_full(kpageflags_fd, &flags, sizeof(flags),
                                 (entry & PAGEMAP_PFN) * sizeof(flags)) == 0 &&
               (flags & KPF_KSM);
}

void kpageflags_probe(int proc_dir_fd, int kpageflags_fd)
{
        CLEANUP_CLOSE int pagemap_fd = -1;
        void *page = MAP_FAILED;

        if (ksm_flag != NOT_PROBED)
                return;
        pagemap_fd = openat(proc_dir_fd, "self/pagemap", O_RDONLY | O_CLOEXEC);
        page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
                return;
        /* The kernel marks all memory of a service that has MemoryKSM=. */
        (void)madvise(page, PAGE_BYTES, MADV_UNMERGEABLE);
        *(volatile unsigned char *)page = 1;
        (void)kpageflags_doubt_ksm(kpageflags_is_wrong_of(pagemap_fd, kpageflags_fd, page));
        (void)munmap(page, PAGE_BYTES);
}

bool kpageflags_doubt_ksm(bool doubt)
{
        const bool before = ksm_flag == DOUBTED;

        ksm_flag = doubt ? DOUBTED : BELIEVED;
        return before;
}

/* Whether the frame is one of KSM's, provided that it is mapped more than once. */
static bool may_be_ksm(uint64_t flags)
{
        return (flags & KPF_KSM) &&
               (ksm_flag != DOUBTED || !(flags & (KPF_THP | KPF_COMPOUND_HEAD | KPF_COMPOUND_TAIL)));
}

bool kpageflags_is_ksm(uint64_t flags, bool exclusive)
{
        return may_be_ksm(flags) && (ksm_flag != DOUBTED || !exclusive);
}

uint64_t kpageflags_frame_word(uint64_t entry, uint64_t flags)
{
        const uint64_t ksm = kpageflags_is_ksm(flags, entry & PAGEMAP_EXCLUSIVE) ? FRAME_KSM
                             : may_be_ksm(flags)                                 ? FRAME_MAYBE_KSM
                                                                                 : 0;

        return (entry & PAGEMAP_PFN) | ksm | (flags & KPF_ZERO_PAGE ? FRAME_ZERO : 0) |
               (flags & KPF_THP ? FRAME_HUGE : 0);
}
