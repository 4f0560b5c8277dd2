/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the bytes of pages come from. A page reader represents one stretch of memory, such as a mapping of a
 * running guest. It says which of its pages exist, what they contain and which frames they have. Its callers
 * do not know where the pages are.
 *
 * A caller asks about a span of up to 2 MiB, never about a single page: so the calls cost nothing beside the
 * reading.
 */
#pragma once

#include "pages/page_buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum page_reader_kind {
        PAGE_READER_MAPPED,     /* our own mapping of the RAM file */
        PAGE_READER_PREAD,      /* pread(2) of the RAM file */
        PAGE_READER_PROCESS_VM, /* process_vm_readv(2); what KSM merged by /proc/PID/mem */
        PAGE_READER_PROC_MEM,   /* /proc/PID/mem */
        PAGE_READER_COUNT_,
};

/* Name of a reader as the reports print it. */
const char *page_reader_to_string(enum page_reader_kind kind);

struct page_reader;

/**
 * struct page_span - neighbouring pages
 * @reader: whose
 * @first: number of the first one, counted from where the reader starts
 * @n: how many, at most PAGE_SPAN_MAX
 */
struct page_span {
        const struct page_reader *reader;
        uint64_t first;
        size_t n;
};

enum page_state {
        PAGE_STATE_DATA,        /* present: has to be read */
        PAGE_STATE_ZERO_MAPPED, /* present, mapped to the kernel's zero page: known without reading */
        PAGE_STATE_SWAPPED,     /* on swap: counted, not read */
};

/**
 * struct page_run - neighbouring pages of one state; what lies between runs is absent
 * @page: number of the first one, counted from where the reader starts
 * @huge: QEMU has them mapped by a huge page, so KSM cannot have merged them
 */
struct page_run {
        uint64_t page;
        uint32_t n_pages;
        enum page_state state;
        bool huge;
};

/**
 * struct page_reader - how to read; part of whatever the pages are read from
 * @find: the pages of a span that exist; @ret_runs has room for PAGE_SPAN_MAX runs, in page order
 * @prepare: what makes reading a run faster, before the guest is paused; NULL: nothing
 * @read: has @buffer point to the bytes of those pages of a span whose state is PAGE_STATE_DATA; @runs are
 *        from @find. The bytes stay until the buffer is used again
 * @frames: the frame words of a span's pages (pages/page.h); NULL: there are no frames
 *
 * They return 0 or a negative errno: -ESRCH when the process is gone; -EIO for a poisoned page; -ENODATA when
 * a file was truncated. A page of PAGE_READER_MAPPED that cannot be read raises SIGBUS where its bytes are
 * used.
 */
struct page_reader {
        enum page_reader_kind kind;
        int (*find)(const struct page_span *span, struct page_run *ret_runs, size_t *ret_n_runs);
        void (*prepare)(const struct page_reader *reader, const struct page_run *run);
        int (*read)(const struct page_span *span, const struct page_run *runs, size_t n_runs,
                    struct page_buffer *buffer);
        int (*frames)(const struct page_span *span, uint64_t *ret_frames);
};
