/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ways to the bytes of present pages that change nothing on the host. */
#pragma once

#include "base/failure.h"
#include "scanner/mapping.h"

/* The reader of a mapping, as a part of which it has to stand. */
struct page_reader reader_of_kind(enum page_reader_kind kind);

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

/* Takes our mapping away again; harmless when there is none. */
void reader_unmap(struct mapping *mapping);
