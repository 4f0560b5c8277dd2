/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands share when they write to a person or a pipe. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

/* Prints @object, which is taken, on standard output. Return: whether all of it could be written. */
bool print_json(struct json_object *object);

/* Flushes standard output. Return: whether all of it could be written; if not, a sentence says why. */
bool print_finish(void);
