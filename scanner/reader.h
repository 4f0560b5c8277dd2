/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ways to the bytes of present pages that change nothing on the host. */
#pragma once

#include "base/failure.h"
#include "scanner/guest_ram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The fastest reader that changes nothing for pages of this mapping, while the guest is paused. */
enum page_reader_kind reader_choose(const struct mapping *mapping);

/**
 * reader_map() - map the file behind a shared mapping
 *
 * Touches nothing: a mapping of 1 TiB costs as little as one of a page. Does nothing for RAM that is not in
 * tmpfs.
 *
 * Return: 0, or a negative errno with @failure.
 */
int reader_map(struct mapping *mapping, struct failure *failure);

/**
 * reader_populate() - fault pages of our mapping in, before the guest is paused
 * @page: first page, counted from the mapping's start
 * @n_pages: pages that hold data at this moment
 *
 * Does nothing where the mapping is not what they are going to be read by.
 */
void reader_populate(const struct mapping *mapping, uint64_t page, size_t n_pages);

/* Takes our mapping away again; harmless when there is none. */
void reader_unmap(struct mapping *mapping);
