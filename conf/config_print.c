/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/config.h"

#include <string.h>

/* "DURATION|never": what may stand behind the '='. */
static void print_argument(FILE *file, const struct option_row *row)
{
        (void)fprintf(file, "%s%s%s", row->type->argument, row->off ? "|" : "", row->off ? row->off : "");
}

static const char *key_name(const struct option_row *row)
{
        return row->key ? row->key : "NAME";
}

/* "from 1ms to 1min", or nothing. */
static void print_range(FILE *file, const char *before, const struct option_row *row)
{
        char range[OPTION_RANGE_BYTES] = "";

        if (!row->type->range)
                return;
        row->type->range(row, range);
        (void)fprintf(file, "%sfrom %s", before, range);
}

void config_print_options(FILE *file)
{
        const char *section = "";

        for (const struct option_row *row = options_table; row->type; row++) {
                if (!row->section)
                        continue;
                if (strcmp(row->section, section) != 0)
                        (void)fprintf(file, "%s[%s]\n", section[0] ? "\n" : "", row->section);
                section = row->section;
                (void)fprintf(file, "  %s = ", key_name(row));
                print_argument(file, row);
                (void)fprintf(file, "\n      %s (default: %s", row->help,
                              row->default_text[0] ? row->default_text : "empty");
                print_range(file, "; ", row);
                (void)fprintf(file, ")\n");
        }
}

void config_print_sample(FILE *file)
{
        const char *section = "";

        (void)fprintf(
                file,
                "# Configuration of samepaged, with every default commented out; see samepaged.conf(5).\n"
                "# What is to be changed goes into " CONFIG_DEFAULT_PATH ",\n"
                "# or into a file of its own in " CONFIG_DEFAULT_PATH ".d/ whose name ends in .conf.\n");
        for (const struct option_row *row = options_table; row->type; row++) {
                if (!row->section)
                        continue;
                if (strcmp(row->section, section) != 0)
                        (void)fprintf(file, "\n[%s]", row->section);
                section = row->section;
                (void)fprintf(file, "\n# %s\n# ", row->help);
                print_argument(file, row);
                print_range(file, ", ", row);
                (void)fprintf(file, "\n#%s =%s%s\n", key_name(row), row->default_text[0] ? " " : "",
                              row->default_text);
        }
}
