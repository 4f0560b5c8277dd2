/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the bytes of pages are read. */
#pragma once

enum page_reader_kind {
        PAGE_READER_MAPPED,     /* our own mapping of the RAM file */
        PAGE_READER_PREAD,      /* pread(2) of the RAM file */
        PAGE_READER_PROCESS_VM, /* process_vm_readv(2); what KSM merged by /proc/PID/mem */
        PAGE_READER_PROC_MEM,   /* /proc/PID/mem */
        PAGE_READER_MAX_,
};

/* Name of a reader as the reports print it. */
const char *page_reader_to_string(enum page_reader_kind kind);

/**
 * struct page_reader - what reads the pages of one mapping; part of whatever it reads them from
 */
struct page_reader {
        enum page_reader_kind kind;
};
