/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reasons of the gap in words, with what an operator can do about each. */
#pragma once

#include "merge/gap.h"
#include "merge/ksm.h"

#include <stddef.h>

/* A sentence about a guest of whom this reason holds, without its name. @ksm gives the numbers in it. */
void advice_sentence(enum gap_reason reason, const struct ksm *ksm, char *text, size_t size);

/* What to change or to type; never NULL. */
const char *advice_remedy(enum gap_reason reason);
