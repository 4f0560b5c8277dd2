/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/config.h"

#include <string.h>

/* "DURATION|never": what may stand behind the '='. */
static void print_argument(FILE *file, const struct config_option *option)
{
        (void)fprintf(file, "%s%s%s", option->type->argument, option->off ? "|" : "",
                      option->off ? option->off : "");
}

static const char *name_of(const struct config_option *option)
{
        return option->key ? option->key : "NAME";
}

static bool begins_section(const struct config_option *option)
{
        return option == config_options || strcmp(option[-1].section, option->section) != 0;
}

/* "from 1ms to 1min", or nothing. */
static void print_range(FILE *file, const char *before, const struct config_option *option)
{
        char range[CONFIG_TYPES_RANGE_BYTES] = "";

        if (!option->type->range)
                return;
        option->type->range(option, range);
        (void)fprintf(file, "%sfrom %s", before, range);
}

void config_print_options(FILE *file)
{
        for (const struct config_option *option = config_options; option->section; option++) {
                if (begins_section(option))
                        (void)fprintf(file, "%s[%s]\n", option == config_options ? "" : "\n",
                                      option->section);
                (void)fprintf(file, "  %s = ", name_of(option));
                print_argument(file, option);
                (void)fprintf(file, "\n      %s (default: %s", option->help,
                              option->default_text[0] ? option->default_text : "empty");
                print_range(file, "; ", option);
                (void)fprintf(file, ")\n");
        }
}

void config_print_sample(FILE *file)
{
        (void)fprintf(
                file,
                "# Configuration of samepaged, with every default commented out; see samepaged.conf(5).\n"
                "# What is to be changed goes into " CONFIG_DEFAULT_PATH ",\n"
                "# or into a file of its own in " CONFIG_DEFAULT_PATH ".d/ whose name ends in .conf.\n");
        for (const struct config_option *option = config_options; option->section; option++) {
                if (begins_section(option))
                        (void)fprintf(file, "\n[%s]\n", option->section);
                (void)fprintf(file, "%s# %s\n# ", begins_section(option) ? "" : "\n", option->help);
                print_argument(file, option);
                print_range(file, ", ", option);
                (void)fprintf(file, "\n#%s =%s%s\n", name_of(option), option->default_text[0] ? " " : "",
                              option->default_text);
        }
}
