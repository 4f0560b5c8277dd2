/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands have in common when they talk to a person or a pipe. */
#pragma once

#include "conf/settings.h"

#include <json-c/json.h>
#include <stdbool.h>

/* Whether any guest was named; otherwise says on standard error what to do. */
bool print_has_guests(const struct settings *settings);

/* Prints @object, which is taken, on standard output. Return: whether all of it could be written. */
bool print_json(struct json_object *object);

/* Flushes standard output. Return: whether all of it could be written; a sentence says why not. */
bool print_finish(void);
