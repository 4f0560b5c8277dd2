/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Points in time as people write them. */
#pragma once

#include "base/failure.h"

#include <stdint.h>

/**
 * moment_parse() - read a point in time
 * @text: so long ago ("7d", "90min"), a day, or a day and a time of the day in local time
 *        ("2026-11-24", "2026-11-24 17:00", "2026-11-24T17:00:30"), or with a Z behind it in UTC
 * @ret: Unix seconds
 *
 * Return: 0, or -EINVAL with a sentence.
 */
int moment_parse(const char *text, uint64_t *ret, struct failure *failure);
