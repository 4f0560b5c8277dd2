/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which format a scraper wants. */
#pragma once

#include "metrics/metrics_text.h"

/**
 * metrics_accept_choose() - the format for an Accept header (RFC 9110, 12.5.1)
 * @header: its value; NULL when there is none
 *
 * OpenMetrics for who prefers it, or names it and likes both the same; text for everybody else, whoever accepts
 * neither included. Parts that cannot be understood are passed over.
 */
enum metrics_format metrics_accept_choose(const char *header);
