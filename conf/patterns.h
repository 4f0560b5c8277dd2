/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of shell patterns for names: words between blanks, "in double quotes" where they hold blanks. */
#pragma once

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

/* Words in one list. */
#define PATTERNS_MAX 1024

/* Initialise with {0}: an empty list, which matches nothing. */
struct patterns {
        char **words;
        size_t n;
};

/**
 * patterns_parse() - split a text into its words
 * @text: words between blanks, tabs and line ends; a backslash stays as it is, it belongs to fnmatch(3)
 * @ret: replaces what was there on success
 *
 * Return: 0; -EINVAL or -E2BIG with a sentence in @failure; -ENOMEM.
 */
int patterns_parse(const char *text, struct patterns *ret, struct failure *failure);

/* Appends one word as it is, blanks and all. Return: 0; -EINVAL, -E2BIG, -ENOMEM with a sentence. */
int patterns_add(struct patterns *patterns, const char *word, struct failure *failure);

/**
 * patterns_match() - whether one of the words matches @name or is equal to it
 *
 * The equality is what lets a guest be written down whose name holds '*', '?', '[' or '\'.
 */
bool patterns_match(const struct patterns *patterns, const char *name);

/* A text that patterns_parse() reads as the same list; the caller frees it. NULL when out of memory. */
char *patterns_format(const struct patterns *patterns);

void patterns_deinit(struct patterns *patterns);
