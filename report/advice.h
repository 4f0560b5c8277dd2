/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reasons of the gap in words, with what an operator can do about each. */
#pragma once

#include "merge/gap.h"
#include "merge/ksm/ksm.h"

#include <stddef.h>

/* A sentence about a guest to which this reason applies, without its name. @ksm gives the numbers in it. */
void advice_sentence(enum gap_reason reason, const struct ksm *ksm, char *text, size_t size);

/* Longer than every remedy, its NUL included. */
#define ADVICE_REMEDY_BYTES 256

/**
 * advice_remedy() - what to change or to type
 * @ksm: gives the numbers in it
 * @recheck_seconds: between the two looks; 0 when there was no second one
 *
 * Commands in it can be pasted into a shell as they are.
 */
void advice_remedy(enum gap_reason reason, const struct ksm *ksm, double recheck_seconds, char *text,
                   size_t size);
