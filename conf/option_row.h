/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One row of the table of options (conf/options.c). */
#pragma once

#include "conf/option_types.h"

#include <stddef.h>
#include <stdint.h>

/* Which commands take an option. */
#define OPTION_FOR_GUESTS  (1U << 0)
#define OPTION_FOR_SCAN    (1U << 1)
#define OPTION_FOR_RESUME  (1U << 2)
#define OPTION_FOR_HISTORY (1U << 3)
#define OPTION_FOR_WATCH   (1U << 4)
#define OPTION_FOR_TUNE    (1U << 5)
#define OPTION_FOR_RECLAIM (1U << 6)

#define OPTION_MAY_BE_EMPTY (1U << 0) /* no value is a value */
#define OPTION_BARE_MSEC \
        (1U << 1) /* a number without a unit: milliseconds as an argument, and not in a file */
#define OPTION_SERVICE_DEFAULT (1U << 2) /* the default is the service's; for commands it is nothing */
#define OPTION_ON_REQUEST      (1U << 3) /* a request at the control socket may have it, by its key */
#define OPTION_SERVICE_DECIDES (1U << 4) /* a command that asks the service may not have it */

/**
 * struct option_row - one option
 * @section: of the file; NULL for one that no file has
 * @key: in the section; NULL in the one section whose keys are names of the operator's
 * @name: as typed after "--"; NULL for one that no command has
 * @word: what stands for its argument in help texts; NULL for a switch
 * @commands: OPTION_FOR_…
 * @flags: OPTION_…
 * @type: of the value
 * @offset: of the member in struct options
 * @least: of a number or a duration, in microseconds
 * @most: likewise
 * @default_text: as it would stand in a file
 * @off: words for "not at all" with '|' between them; NULL when there is none
 * @help: one line, without a full stop; NULL: only the service gives this option, and no text tells of it
 * @command_help: of commands, where a line of its own says it better
 */
struct option_row {
        const char *section;
        const char *key;
        const char *name;
        const char *word;
        unsigned int commands;
        unsigned int flags;
        const struct option_type *type;
        size_t offset;
        uint64_t least;
        uint64_t most;
        const char *default_text;
        const char *off;
        const char *help;
        const char *command_help;
};
