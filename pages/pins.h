/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which memory of a process is pinned, so that KSM leaves it alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most ranges that are kept; pins beyond them are not known. */
#define PINS_MAX_RANGES 65536

struct pin_range {
        uint64_t begin;
        uint64_t end;
};

/**
 * struct pins - what is known to be pinned
 * @all: all guest RAM is, for a device that was passed through
 * @ranges: in address order, none touching another; owned
 */
struct pins {
        bool all;
        struct pin_range *ranges;
        size_t n_ranges;
};

/**
 * pins_add() - add a range, in any order
 * @length: 0, or beyond the last address: there is nothing to add
 *
 * pins_arrange() has to follow before pins_hold() is asked.
 *
 * Return: 0 or -ENOMEM.
 */
int pins_add(struct pins *pins, uint64_t begin, uint64_t length);

/* Sorts the ranges, and joins those that touch. */
void pins_arrange(struct pins *pins);

void pins_deinit(struct pins *pins);

/* Whether the page at this address of the process is known to be pinned. */
bool pins_hold(const struct pins *pins, uint64_t hva);
