/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the service scans by itself. */
#pragma once

#include "conf/options.h"

#include <stdint.h>

/* While quiet hours last, how often their end is looked for. */
#define SCHEDULE_QUIET_USEC UINT64_C(60000000)

/**
 * schedule_first_usec() - when the first scan after a start is due, in microseconds from now
 * @random: any number, for the jitter
 *
 * Soon, as nothing is known yet; spread over the jitter, as hosts of a rack start together. Return: USEC_INFINITY
 * where it never scans by itself.
 */
uint64_t schedule_first_usec(const struct options *config, uint64_t random);

/**
 * schedule_next_usec() - when the next scan is due after one was, in microseconds from then
 *
 * The interval, and up to the jitter more or less.
 */
uint64_t schedule_next_usec(const struct options *config, uint64_t random);
