/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/command/command_line.h"

#include "base/cleanup.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#define MAX_OPTIONS 64

/* Values of getopt_long() for options that are not in the table; those are their index. */
enum { OPTION_HELP = 1000, OPTION_VERSION };

/* Old names of options, each with its present name. They still work; no text mentions them. */
static const char *const old_names[][2] = {{"zero-pages", "use-zero-pages"}};

static void add_long_option(const struct option_row *row, const char *name, struct option *long_options,
                            size_t *n)
{
        if (*n + 1 < MAX_OPTIONS)
                long_options[(*n)++] = (struct option){name, row->word ? required_argument : no_argument,
                                                       NULL, (int)(row - options_table)};
}

static void fill_long_options(unsigned int takes, struct option *long_options)
{
        size_t n = 0;

        long_options[n++] = (struct option){"help", no_argument, NULL, OPTION_HELP};
        long_options[n++] = (struct option){"version", no_argument, NULL, OPTION_VERSION};
        for (const struct option_row *row = options_table; row->type; row++) {
                if (!(row->commands & takes))
                        continue;
                add_long_option(row, row->name, long_options, &n);
                for (size_t i = 0; i < ARRAY_SIZE(old_names); i++)
                        if (strcmp(row->name, old_names[i][1]) == 0)
                                add_long_option(row, old_names[i][0], long_options, &n);
        }
        long_options[n] = (struct option){0};
}

static const char *name_for(const struct option_row *row, const void *takes)
{
        return row->commands & *(const unsigned int *)takes && row->help ? row->name : NULL;
}

/* @word as typed: "--jsno", "--jsno=yes". */
static int refuse_unknown(const char *word, unsigned int takes, struct failure *failure)
{
        CLEANUP_FREE char *name = strdup(word + strspn(word, "-"));
        const char *closest = NULL;

        if (name) {
                name[strcspn(name, "=")] = '\0';
                closest = options_closest(name, name_for, &takes);
        }
        return failure_set(failure, -EINVAL, "unknown option %s%s%s%s", word,
                           closest ? "; did you mean \"--" : "", closest ? closest : "",
                           closest ? "\"?" : "");
}

static int apply_option(const struct option_row *row, struct options *options, struct failure *failure)
{
        struct failure reason = {0};
        int r = options_set_argument(options, row, optarg, &reason);

        return r < 0 ? failure_set(failure, -EINVAL, "--%s: %s", row->name, reason.text) : 0;
}

/* Parses the options after a command, or before one, where only --help and --version are known. */
static int parse_options(int argc, char **argv, unsigned int takes, struct options *options,
                         struct failure *failure)
{
        struct option long_options[MAX_OPTIONS];
        int result = COMMAND_LINE_RUN;
        int option = 0;

        fill_long_options(takes, long_options);
        opterr = 0;
        optind = 1;
        while ((option = getopt_long(argc, argv, "+:h", long_options, NULL)) != -1) {
                const char *word = argv[optind - 1];

                if (option == ':')
                        return failure_set(failure, -EINVAL, "%s needs an argument", word);
                if (option == '?')
                        return refuse_unknown(word, takes, failure);
                if (option == OPTION_VERSION)
                        result = COMMAND_LINE_VERSION;
                else if (option == OPTION_HELP || option == 'h')
                        result = COMMAND_LINE_HELP;
                else if (apply_option(&options_table[option], options, failure) < 0)
                        return -EINVAL;
        }
        return result;
}

static const struct command *find_command(const struct command *commands, const char *name)
{
        for (; commands->name; commands++)
                if (strcmp(commands->name, name) == 0)
                        return commands;
        return NULL;
}

int command_line_parse(const struct command_line *line, struct options *options,
                       const struct command **ret_command, struct failure *failure)
{
        const struct command *command = NULL;
        int first = 0;
        int r = parse_options(line->argc, line->argv, 0, options, failure);

        *ret_command = NULL;
        if (r != COMMAND_LINE_RUN)
                return r;
        if (optind == line->argc)
                return failure_set(failure, -EINVAL, "no command given; \"samepage --help\" lists them");
        command = find_command(line->commands, line->argv[optind]);
        if (!command)
                return failure_set(failure, -EINVAL, "unknown command \"%s\"; \"samepage --help\" lists them",
                                   line->argv[optind]);
        *ret_command = command;
        first = optind;
        r = parse_options(line->argc - first, line->argv + first, command->takes, options, failure);
        if (r == COMMAND_LINE_RUN && first + optind < line->argc)
                return failure_set(failure, -EINVAL, "unexpected argument \"%s\"",
                                   line->argv[first + optind]);
        return r;
}

static void print_option(const struct option_row *row, FILE *out)
{
        const char *default_text = options_command_default(row);
        const bool has_default = row->word && default_text[0] && !(row->flags & OPTION_SERVICE_DEFAULT);
        char name[64] = "";

        (void)snprintf(name, sizeof(name), "--%s%s%s", row->name, row->word ? " " : "",
                       row->word ? row->word : "");
        (void)fprintf(out, "  %-24s %s%s%s%s\n", name, row->command_help ? row->command_help : row->help,
                      has_default ? " (default " : "", has_default ? default_text : "",
                      has_default ? ")" : "");
}

static void print_program_help(const struct command *commands, FILE *out)
{
        (void)fputs("Usage: samepage COMMAND [OPTION]...\n\n"
                    "How much memory the guests of this host could share, how much KSM merged, and why\n"
                    "the two differ.\n\n"
                    "Commands:\n",
                    out);
        for (; commands->name; commands++)
                (void)fprintf(out, "  %-10s %s\n", commands->name, commands->summary);
        (void)fputs("\nOptions:\n"
                    "  --help     this text, or that of a command: samepage COMMAND --help\n"
                    "  --version  the version\n\n"
                    "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but some guest could not be\n"
                    "scanned. Manual: samepage(1).\n",
                    out);
}

void command_line_print_help(const struct command *commands, const struct command *command, FILE *out)
{
        if (!command) {
                print_program_help(commands, out);
                return;
        }
        (void)fprintf(out, "Usage: samepage %s [OPTION]...\n\nTo %s.\n\nOptions:\n", command->name,
                      command->summary);
        for (const struct option_row *row = options_table; row->type; row++)
                if (row->commands & command->takes && row->help)
                        print_option(row, out);
        (void)fprintf(out, "  %-24s %s\n", "--help", "this text");
}
