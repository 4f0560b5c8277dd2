/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/spelling.h"

#include <stdint.h>
#include <string.h>

static size_t least(size_t a, size_t b)
{
        return a < b ? a : b;
}

/* Levenshtein's distance, a row of its matrix at a time. */
size_t spelling_distance(const char *a, const char *b)
{
        const size_t length_a = strlen(a);
        const size_t length_b = strlen(b);
        size_t row[SPELLING_MAX_BYTES + 1];

        if (length_a > SPELLING_MAX_BYTES || length_b > SPELLING_MAX_BYTES)
                return SIZE_MAX;
        for (size_t j = 0; j <= length_b; j++)
                row[j] = j;
        for (size_t i = 0; i < length_a; i++) {
                size_t corner = row[0];

                row[0] = i + 1;
                for (size_t j = 0; j < length_b; j++) {
                        const size_t replaced = corner + (a[i] != b[j]);

                        corner = row[j + 1];
                        row[j + 1] = least(replaced, least(row[j], row[j + 1]) + 1);
                }
        }
        return row[length_b];
}

bool spelling_is_close(size_t distance, const char *word)
{
        return distance <= strlen(word) / 3;
}
