/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands have in common when they talk to a person or a pipe. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

/* Prints @object, which is taken, on standard output. Return: whether all of it could be written. */
bool print_json(struct json_object *object);

/* Flushes standard output. Return: whether all of it could be written; a sentence says why not. */
bool print_finish(void);
