/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the service scans by itself. */
#pragma once

#include "conf/options.h"

#include <stdint.h>

/* How often the service checks for the end of quiet hours while they last. */
#define SCHEDULE_QUIET_USEC UINT64_C(60000000)

/**
 * schedule_first_usec() - when the first scan after a start is due, in microseconds from now
 * @random: any number, for the jitter
 *
 * It is due soon, as nothing is known yet. The jitter spreads it, as the hosts of a rack start together.
 *
 * Return: USEC_INFINITY where the service never scans by itself.
 */
uint64_t schedule_first_usec(const struct options *config, uint64_t random);

/**
 * schedule_next_usec() - when the next scan is due after a scan, in microseconds from then
 *
 * The interval, plus or minus up to the jitter.
 */
uint64_t schedule_next_usec(const struct options *config, uint64_t random);
