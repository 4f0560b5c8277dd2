/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an unknown section or key was probably meant to be. */
#pragma once

#include "conf/config.h"

/* The section whose name is closest to @name; NULL when none is close. */
const char *config_suggest_section(const char *name);

/**
 * config_suggest_option() - the option that was probably meant by @key in @section
 *
 * Return: one of another section if its key is just @key, else the closest of @section; NULL when none is.
 */
const struct config_option *config_suggest_option(const char *section, const char *key);
