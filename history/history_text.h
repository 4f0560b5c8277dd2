/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The history for a person. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

/**
 * history_print() - a line for each scan, then least, average and most of each figure
 * @history: an answer of schema "samepage.history.v1", from whomever: what is not as it should be is shown as
 * "-" or left out. Times are printed in local time.
 */
void history_print(struct json_object *history, FILE *out);
