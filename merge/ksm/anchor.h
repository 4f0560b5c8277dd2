/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A page of zeros that KSM always has. With it, KSM frees all huge pages of zeros in one pass. */
#pragma once

#include <stddef.h>

/**
 * struct anchor - some pages of this process
 *
 * Initialise with {0}.
 */
struct anchor {
        void *pages;
        size_t size_bytes;
};

/**
 * anchor_cast() - mark some pages of zeros for KSM
 *
 * They are equal, so KSM merges them into a page of its own as soon as it has met them twice. After that, a
 * guest's page of zeros finds a page to merge with. See docs/ksm.md, "Zero pages".
 *
 * Return: 0, also when they are already marked; -EINVAL when the kernel has no KSM; another negative errno.
 */
int anchor_cast(struct anchor *anchor);

void anchor_deinit(struct anchor *anchor);
