/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One file's text into the configuration. */
#pragma once

#include "conf/config.h"
#include "conf/problems.h"

/**
 * config_parse() - set what a text says
 * @options: what the files before left; where the text is wrong, what it had stays
 * @path: for messages, borrowed
 * @text: @length bytes, anything
 * @problems: receives every problem
 */
void config_parse(struct options *options, const char *path, const char *text, size_t length,
                  struct problems *problems);
