/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `samepage reclaim` prints. */
#pragma once

#include "daemon/reclaim/reclaim_job.h"

#include <json-c/json.h>
#include <stdio.h>

/* As samepage.reclaim.v1; the caller owns it. */
struct json_object *reclaim_to_json(const struct reclaim_result *result);

void reclaim_print(const struct reclaim_result *result, FILE *out);

/* Prints what failed and what was left as it is, one sentence a line. */
void reclaim_print_complaints(const struct reclaim_result *result, FILE *out);
