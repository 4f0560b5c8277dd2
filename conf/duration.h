/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lengths of time as people write them: "500ms", "1h", "90d". */
#pragma once

#include <stdint.h>

#define DURATION_TEXT_BYTES 32
/* The units, for messages. A week is the largest: months and years have no fixed length. */
#define DURATION_UNITS "us, ms, s, min, h, d, w"

/**
 * duration_parse() - read a whole number with a unit, blanks between them or not
 * @text: without a unit, the number counts seconds
 *
 * Return: 0; -EINVAL when it is no duration, -ERANGE when it does not fit into 64 bits of microseconds.
 */
int duration_parse(const char *text, uint64_t *ret_usec);

/**
 * duration_to_text() - write it with the largest unit that it is a whole number of
 *
 * duration_parse() reads the text back as the same duration.
 */
void duration_to_text(uint64_t usec, char text[DURATION_TEXT_BYTES]);
