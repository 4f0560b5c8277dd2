/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pages/pins.h"

#include "pages/page.h"

#include <errno.h>
#include <stdlib.h>

int pins_add(struct pins *pins, uint64_t begin, uint64_t length)
{
        struct pin_range *larger = NULL;
        uint64_t end = 0;

        if (length == 0 || __builtin_add_overflow(begin, length, &end) || pins->n_ranges == PINS_MAX_RANGES)
                return 0;
        /* Grows at powers of two. */
        if ((pins->n_ranges & (pins->n_ranges - 1)) == 0) {
                const size_t capacity = pins->n_ranges ? 2 * pins->n_ranges : 1;

                larger = reallocarray(pins->ranges, capacity, sizeof(*larger));
                if (!larger)
                        return -ENOMEM;
                pins->ranges = larger;
        }
        /* A page that is pinned in part is pinned. */
        pins->ranges[pins->n_ranges++] = (struct pin_range){
                .begin = begin & ~(PAGE_BYTES - 1),
                .end = end > UINT64_MAX - PAGE_BYTES ? UINT64_MAX
                                                     : (end + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1),
        };
        return 0;
}

static int compare_ranges(const void *a, const void *b)
{
        const struct pin_range *x = a;
        const struct pin_range *y = b;

        return x->begin < y->begin ? -1 : x->begin > y->begin;
}

void pins_arrange(struct pins *pins)
{
        size_t n = 0;

        if (pins->n_ranges == 0)
                return;
        qsort(pins->ranges, pins->n_ranges, sizeof(*pins->ranges), compare_ranges);
        for (size_t i = 1; i < pins->n_ranges; i++) {
                struct pin_range *last = &pins->ranges[n];

                if (pins->ranges[i].begin > last->end)
                        pins->ranges[++n] = pins->ranges[i];
                else if (pins->ranges[i].end > last->end)
                        last->end = pins->ranges[i].end;
        }
        pins->n_ranges = n + 1;
}

void pins_deinit(struct pins *pins)
{
        free(pins->ranges);
        *pins = (struct pins){0};
}

bool pins_hold(const struct pins *pins, uint64_t hva)
{
        size_t low = 0;
        size_t high = pins->n_ranges;

        if (pins->all)
                return true;
        /* The first range that ends behind the address. */
        while (low < high) {
                const size_t middle = low + (high - low) / 2;

                if (pins->ranges[middle].end <= hva)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < pins->n_ranges && pins->ranges[low].begin <= hva;
}
