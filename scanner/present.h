/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages of a mapping exist on the host, found without touching one. */
#pragma once

#include "pages/page_reader.h"

#include <stddef.h>

/**
 * present_find() - the pages of a span that exist
 * @span: of a mapping's reader
 * @ret_runs: room for PAGE_SPAN_MAX runs; receives them in page order
 *
 * Return: 0, or a negative errno; -ESRCH when the process is gone.
 */
int present_find(const struct page_span *span, struct page_run *ret_runs, size_t *ret_n_runs);
