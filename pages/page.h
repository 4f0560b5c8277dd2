/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of one page: two 8-byte words. Everything that samepage reports is computed from two arrays
 * of these words, with one entry a page in page order. Together they take 4 MiB per GiB of present guest RAM.
 * Entries of absent pages are zero. The arrays are fresh anonymous memory, so long stretches of absent pages
 * cost nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PAGE_SHIFT 12
/* A page of the sharing model, whatever page size backs it. */
#define PAGE_BYTES (UINT64_C(1) << PAGE_SHIFT)

static inline int64_t page_bytes(uint64_t n_pages)
{
        return (int64_t)(n_pages * PAGE_BYTES);
}

/*
 * Fingerprint word: a keyed hash of the page's bytes, or one of the values below, which no hash ever takes.
 */
#define PAGE_ABSENT  UINT64_C(0) /* nothing on the host behind it, or not read yet */
#define PAGE_SWAPPED UINT64_C(1) /* on the host's swap: counted, never read */
#define PAGE_ZERO    UINT64_C(2) /* present, all bytes zero */
/* The smallest value that a hash can take. */
#define PAGE_FIRST_HASH UINT64_C(3)

static inline bool page_is_present(uint64_t fingerprint)
{
        return fingerprint >= PAGE_ZERO;
}

/*
 * Frame word: the physical frame's number and what the kernel says of the frame. With FRAME_OWN nothing is
 * known, and the page counts as having a frame of its own: QEMU itself has not mapped this page of a RAM
 * file, or the page went away.
 */
#define FRAME_OWN  UINT64_C(0)
#define FRAME_KSM  (UINT64_C(1) << 63) /* merged by KSM */
#define FRAME_ZERO (UINT64_C(1) << 62) /* the kernel's shared zero page */
#define FRAME_HUGE (UINT64_C(1) << 61) /* part of a transparent huge page */
/*
 * KSM's with a single user or not KSM's: the kernel does not tell (scanner/kpageflags.c). Not merged in
 * figures.
 */
#define FRAME_MAYBE_KSM (UINT64_C(1) << 60)
#define FRAME_PFN       ((UINT64_C(1) << 55) - 1)

/*
 * Mark: a second look at the page is wanted, or what that look saw. A page that it cannot read gets no
 * result.
 */
#define PAGE_MARK_WANTED  UINT8_C(1)
#define PAGE_MARK_CHANGED UINT8_C(2) /* it has another content, or went away */
#define PAGE_MARK_KEPT    UINT8_C(4) /* it has the same content, and KSM has not merged it */
#define PAGE_MARK_MERGED  UINT8_C(8) /* it has the same content, and KSM has merged it */
