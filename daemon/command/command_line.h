/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From argv to a command and its options; help texts. */
#pragma once

#include "base/failure.h"
#include "conf/options.h"
#include "daemon/command/command.h"

#include <stdio.h>

enum command_line_result {
        COMMAND_LINE_RUN,     /* run the command */
        COMMAND_LINE_HELP,    /* print the help text (of the command, if there is one) */
        COMMAND_LINE_VERSION, /* print the version */
};

/**
 * struct command_line - what was typed, and the commands that there are; all is borrowed
 * @commands: ended by one without a name
 */
struct command_line {
        int argc;
        char **argv;
        const struct command *commands;
};

/**
 * command_line_parse() - parse the command line
 * @options: initialised; receives what the options say
 * @ret_command: the command, or NULL when only --help or --version was given
 *
 * Return: an enum command_line_result, or -EINVAL with a sentence.
 */
int command_line_parse(const struct command_line *line, struct options *options,
                       const struct command **ret_command, struct failure *failure);

/* Prints the help text of one command, or of the program when @command is NULL. */
void command_line_print_help(const struct command *commands, const struct command *command, FILE *out);
