/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What KSM would save, and what it would cost, before anything is switched on. */
#pragma once

#include "merge/census.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct forecast_figures - of a guest, a group or all guests, in pages; only pages that KSM can merge
 * @scanned: pages that KSM would look at; it keeps an item of KSM_ITEM_BYTES for each
 * @sharable: those of them, not zero, whose content another of them has
 * @self: saved within guests
 * @inter: saved across guests. Of one guest the marginal figure: what its group would save less without it
 * @zero: saved by zero pages, including those that already have no frame of their own
 * @zero_now: only the latter, which do not need KSM
 *
 * Saved is self + inter + zero. All under the KSM ceiling (docs/sharing-model.md): c copies take
 * ceil(c / max_page_sharing) frames.
 */
struct forecast_figures {
        uint64_t scanned;
        uint64_t sharable;
        uint64_t self;
        uint64_t inter;
        uint64_t zero;
        uint64_t zero_now;
};

/**
 * struct forecast_request - what the forecast assumes
 * @groups: by guest, the number of the group within which it may share, from 0
 * @n_groups: numbers of groups
 * @left_out: by guest: KSM does not merge it
 * @max_page_sharing: 0: no limit
 * @use_zero_pages: zero pages need no frame at all, else they are merged as any content
 */
struct forecast_request {
        const uint32_t *groups;
        size_t n_groups;
        const bool *left_out;
        uint64_t max_page_sharing;
        bool use_zero_pages;
};

/**
 * struct forecast - the figures
 * @across: if all guests could share with each other, whatever their group, and no guest was left out because
 *          of its costs
 * @groups: if the guests of one group could share with each other, and KSM had no others
 * @guests: in their group
 * @huge_pages: by guest, transparent huge pages that KSM would split
 */
struct forecast {
        struct forecast_figures across;
        struct forecast_figures *groups;
        struct forecast_figures *guests;
        uint64_t *huge_pages;
        size_t n_groups;
        size_t n_guests;
};

/**
 * forecast_new() - compute a forecast
 * @census: borrowed for the call. Where frames are not known, huge pages are not either.
 *
 * Return: 0 or -ENOMEM.
 */
int forecast_new(const struct census *census, struct pool *pool, const struct forecast_request *request,
                 struct forecast **ret);

struct forecast *forecast_free(struct forecast *forecast);

/* Bytes that KSM would save, less its bookkeeping; negative where merging is a net loss. */
int64_t forecast_net_bytes(const struct forecast_figures *figures);

/* Bytes that are saved: self + inter + zero. */
int64_t forecast_saved_bytes(const struct forecast_figures *figures);

/**
 * forecast_leave_out_losses() - find the guests whose merging is a net loss
 * @left_out: by guest; those that are marked stay so, more are added
 * @ret: the forecast without them
 *
 * What a guest adds to its group only shrinks when others leave it, so guests are left out until no one is
 * left whose merging costs more than it saves; the order does not matter.
 *
 * Return: 0 or -ENOMEM.
 */
int forecast_leave_out_losses(const struct census *census, struct pool *pool,
                              const struct forecast_request *request, bool *left_out, struct forecast **ret);
