/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The actual: how much memory the guests really share, told by the physical frames behind their pages. */
#pragma once

#include "merge/census.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * struct actual_figures - what a guest, or all guests together, really save; in pages
 * @self: non-zero pages of one guest that share a frame within it
 * @inter: non-zero pages that share a frame across guests. Of one guest the marginal figure: frames that
 * another guest of the census uses too
 * @zero: zero pages without a frame of their own (the kernel's zero page, or merged)
 * @ksm: present pages whose frame KSM made
 *
 * Saved is self + inter + zero; for all guests together it is present pages less frames in use.
 */
struct actual_figures {
        uint64_t self;
        uint64_t inter;
        uint64_t zero;
        uint64_t ksm;
};

/**
 * struct actual - the actual sharing of a census
 * @guests: figures of each guest; meaningless for guests whose frames are not known
 * @total: of all guests together
 * @known: the frames of every guest are known; otherwise @total means nothing
 */
struct actual {
        struct actual_figures *guests;
        struct actual_figures total;
        bool known;
};

/**
 * actual_new() - count frames
 * @census: borrowed for the call
 *
 * Return: 0 or -ENOMEM.
 */
int actual_new(const struct census *census, struct pool *pool, struct actual **ret);

struct actual *actual_free(struct actual *actual);

/* Pages saved: self + inter + zero. */
uint64_t actual_saved(const struct actual_figures *figures);
