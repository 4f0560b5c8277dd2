/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages of a mapping exist on the host, found without touching one. */
#pragma once

#include "scanner/guest_ram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the kernel has PAGEMAP_SCAN for this pagemap file. */
bool present_has_pagemap_scan(int pagemap_fd);

/**
 * present_find() - the pages of a span that exist
 * @span: of a mapping's reader
 * @ret_runs: room for PAGE_SPAN_MAX runs; receives them in page order
 *
 * Return: 0, or a negative errno; -ESRCH when the process is gone.
 */
int present_find(const struct page_span *span, struct page_run *ret_runs, size_t *ret_n_runs);
