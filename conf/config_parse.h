/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One file's text into the configuration. */
#pragma once

#include "conf/config.h"
#include "conf/problems.h"

/**
 * config_parse() - set what a text says
 * @options: what the files before left; where the text is wrong, what it had stays
 * @text: @length bytes, anything, and room for a NUL behind them; the parser cuts it to pieces
 * @problems: receives every problem; its path is the text's
 */
void config_parse(struct options *options, char *text, size_t length, struct problems *problems);
