/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which word somebody may have meant. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Longer words are like nothing. */
#define SPELLING_MAX_BYTES 64U

/**
 * spelling_distance() - how many letters to add, drop or replace to make one word of the other
 *
 * Return: the number, or SIZE_MAX for a word longer than SPELLING_MAX_BYTES.
 */
size_t spelling_distance(const char *a, const char *b);

/* Whether the distance is that of a slip in a word like @word: a third of its letters at most. */
bool spelling_is_close(size_t distance, const char *word);
