/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text: somebody else's on its way to a person's terminal; text that may be missing. */
#pragma once

#include <stdbool.h>

/**
 * text_make_printable() - make foreign text harmless for a terminal, in place
 * @text: any bytes, NUL-terminated
 *
 * Control characters (C0, DEL, and C1 in their UTF-8 form) and bytes that are not UTF-8 become '?';
 * everything else, other scripts included, stays.
 */
void text_make_printable(char *text);

/**
 * text_columns() - how many columns a terminal needs for @text
 *
 * Counts code points of printable UTF-8; wide characters count as one.
 */
unsigned int text_columns(const char *text);

/* Whether both are the same text, or both NULL. */
bool text_is_same(const char *a, const char *b);
