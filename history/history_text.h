/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The history for a person. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

/**
 * history_print() - print a line for each scan, then minimum, average and maximum of each figure
 * @history: an answer of schema "samepage.history.v1", from any source: anything malformed appears as "-" or
 * not at all. Times are local time.
 */
void history_print(struct json_object *history, FILE *out);
