/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of pages that are not mapped here, copied without changing anything on the host. */
#pragma once

#include "pages/page_reader.h"

#include <stddef.h>

/**
 * copy_pages() - copy a span's pages through a file: the RAM file, or /proc/PID/mem
 * @span: of a mapping's reader, whose kind says which file
 * @to: room for them, one behind the other
 *
 * For pages that exist. Un-merges nothing, and leaves a hole of a file a hole.
 *
 * Return: as copy_span().
 */
int copy_pages(const struct page_span *span, void *to);

/**
 * copy_span() - copy the pages of a span that have to be read, as copy_pages() does
 * @span: of a mapping's reader
 * @runs: @n_runs runs of it, from present_find()
 * @buffer: with room
 *
 * Return: 0; -ESRCH when the process is gone; -EIO for a poisoned page; -ENODATA when the file was truncated;
 * another negative errno.
 */
int copy_span(const struct page_span *span, const struct page_run *runs, size_t n_runs,
              struct page_buffer *buffer);

/* The same for private memory, by process_vm_readv(2) for pages that KSM is known not to have merged. */
int copy_span_fast(const struct page_span *span, const struct page_run *runs, size_t n_runs,
                   struct page_buffer *buffer);
