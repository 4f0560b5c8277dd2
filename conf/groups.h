/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Trust groups: which guests belong together, by the patterns of their names. */
#pragma once

#include "conf/patterns.h"

#define GROUPS_MAX            256
#define GROUPS_NAME_MAX_BYTES 64

struct group {
        char *name;
        struct patterns members;
};

/* In the order in which they were first named. Initialise with {0}. */
struct groups {
        struct group *groups;
        size_t n;
};

/**
 * groups_set() - give a group its patterns
 * @text: for patterns_parse(); replaces the patterns of a group that is known, which keeps its place
 *
 * Return: 0; -EINVAL or -E2BIG with a sentence in @failure; -ENOMEM.
 */
int groups_set(struct groups *groups, const char *name, const char *text, struct failure *failure);

/* The name of the first group with a pattern for @guest_name, borrowed; NULL when there is none. */
const char *groups_find(const struct groups *groups, const char *guest_name);

void groups_deinit(struct groups *groups);
