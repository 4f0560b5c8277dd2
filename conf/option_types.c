/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/option_types.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "conf/address.h"
#include "conf/cpu_list.h"
#include "conf/duration.h"
#include "conf/moment.h"
#include "conf/option_row.h"
#include "conf/quiet_hours.h"
#include "conf/wishes.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- One of some words ---- */

int option_words_find(const char *words, const char *text)
{
        const size_t length = strlen(text);

        for (int i = 0;; i++) {
                const size_t word_length = strcspn(words, "|");

                if (word_length == length && strncmp(words, text, length) == 0)
                        return i;
                if (words[word_length] == '\0')
                        return -EINVAL;
                words += word_length + 1;
        }
}

static int set_bool(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        static const char *const words[] = {"no|yes", "false|true", "off|on", "0|1"};

        (void)row;
        (void)failure;
        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
                const int value = option_words_find(words[i], text);

                if (value < 0)
                        continue;
                *(bool *)member = value == 1;
                return 0;
        }
        return -EINVAL;
}

static int print_bool(const struct option_row *row, const void *member, size_t i, FILE *out)
{
        (void)row;
        (void)fputs(*(const bool *)member ? "yes" : "no", out);
        return i == 0;
}

const struct option_type option_type_bool = {
        .argument = "yes|no",
        .description = "yes or no",
        .set = set_bool,
        .print = print_bool,
};

/* An enum without negative values is an unsigned int. The type's argument has its words in its order. */
static int set_word(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        const int word = option_words_find(row->type->argument, text);

        (void)failure;
        if (word >= 0)
                *(unsigned int *)member = (unsigned int)word;
        return word < 0 ? word : 0;
}

static int print_word(const struct option_row *row, const void *member, size_t i, FILE *out)
{
        const char *word = row->type->argument;

        for (unsigned int n = *(const unsigned int *)member; n > 0; n--)
                word += strcspn(word, "|") + 1;
        (void)fprintf(out, "%.*s", (int)strcspn(word, "|"), word);
        return i == 0;
}

#define OF_WORDS .set = set_word, .print = print_word

const struct option_type option_type_policy = {
        .argument = "off|observe|advise|act",
        .description = "a policy: off, observe, advise or act",
        OF_WORDS,
};

const struct option_type option_type_tristate = {
        .argument = "keep|no|yes",
        .description = "keep, no or yes",
        OF_WORDS,
};

const struct option_type option_type_mode = {
        .argument = "snapshot|sliced|live",
        .description = "a mode: snapshot, sliced or live",
        OF_WORDS,
};

/* ---- Numbers ---- */

static int parse_option_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret)
{
        char *end = NULL;

        if (!isdigit((unsigned char)*text))
                return -EINVAL;
        errno = 0;
        *ret = strtoull(text, &end, 10);
        return errno || *end || *ret < least || *ret > most ? -EINVAL : 0;
}

static int set_number(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        uint64_t value = 0;
        int r = parse_option_number(text, row->least, row->most, &value);

        (void)failure;
        if (r == 0)
                *(unsigned int *)member = (unsigned int)value;
        return r;
}

static int print_number(const struct option_row *row, const void *member, size_t i, FILE *out)
{
        (void)row;
        (void)fprintf(out, "%u", *(const unsigned int *)member);
        return i == 0;
}

static void number_range(const struct option_row *row, char text[OPTION_RANGE_BYTES])
{
        (void)snprintf(text, OPTION_RANGE_BYTES, "%" PRIu64 " to %" PRIu64, row->least, row->most);
}

const struct option_type option_type_number = {
        .argument = "NUMBER",
        .description = "a whole number",
        .set = set_number,
        .print = print_number,
        .range = number_range,
};

/* Nobody but the process that started this one can be named. */
static int set_parent(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        uint64_t pid = 0;
        int r = parse_option_number(text, 1, INT32_MAX, &pid);

        (void)row;
        if (r < 0)
                return r;
        if ((pid_t)pid != getppid())
                return failure_set(failure, -EINVAL, "process %" PRIu64 " did not start this one", pid);
        *(pid_t *)member = (pid_t)pid;
        return 0;
}

static int print_parent(const struct option_row *row, const void *member, size_t i, FILE *out)
{
        const pid_t pid = *(const pid_t *)member;

        (void)row;
        (void)fprintf(out, "%d", (int)pid);
        return i == 0 && pid > 0;
}

const struct option_type option_type_parent = {
        .argument = "PID",
        .description = "the number of a process",
        .set = set_parent,
        .print = print_parent,
};

static bool lacks_unit(const struct option_row *row, const char *text)
{
        return row->flags & OPTION_BARE_MSEC && *text && text[strspn(text, "0123456789")] == '\0' &&
               strspn(text, "0") < strlen(text);
}

static int set_duration(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        uint64_t usec = 0;

        if (lacks_unit(row, text))
                return failure_set(failure, -EINVAL, "\"%s\" has no unit: write %sms, or %ss", text, text,
                                   text);
        if (duration_parse(text, &usec) < 0 || usec < row->least || usec > row->most)
                return -EINVAL;
        *(uint64_t *)member = usec;
        return 0;
}

static int add_duration(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        CLEANUP_FREE char *with_unit = NULL;

        if (!lacks_unit(row, text))
                return set_duration(row, text, member, failure);
        if (asprintf(&with_unit, "%sms", text) < 0) {
                with_unit = NULL;
                return -ENOMEM;
        }
        return set_duration(row, with_unit, member, failure);
}

static int print_duration(const struct option_row *row, const void *member, size_t i, FILE *out)
{
        char text[DURATION_TEXT_BYTES] = "";

        (void)row;
        duration_to_text(*(const uint64_t *)member, text);
        (void)fputs(text, out);
        return i == 0;
}

static const uint64_t no_duration = USEC_INFINITY;

static void duration_range(const struct option_row *row, char text[OPTION_RANGE_BYTES])
{
        char least[DURATION_TEXT_BYTES] = "";
        char most[DURATION_TEXT_BYTES] = "";

        duration_to_text(row->least, least);
        duration_to_text(row->most, most);
        (void)snprintf(text, OPTION_RANGE_BYTES, "%s to %s", least, most);
}

const struct option_type option_type_duration = {
        .argument = "DURATION",
        .description = "a number with one of the units " DURATION_UNITS,
        .set = set_duration,
        .add = add_duration,
        .print = print_duration,
        .off = &no_duration,
        .size = sizeof(no_duration),
        .range = duration_range,
};

static int set_moment(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        (void)row;
        return moment_parse(text, member, failure);
}

const struct option_type option_type_moment = {
        .argument = "WHEN",
        .description = "a point in time",
        .set = set_moment,
};

/* ---- Texts ---- */

static int add_string(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        char *copy = NULL;

        (void)row;
        if (strlen(text) > OPTION_TEXT_MAX_BYTES)
                return failure_set(failure, -EINVAL, "longer than %d bytes", OPTION_TEXT_MAX_BYTES);
        copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        cleanup_free(member);
        *(char **)member = copy;
        return 0;
}

/* Quotes are nowhere needed here; they would become part of the value. */
static int set_string(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        return strchr(text, '"') ? -EINVAL : add_string(row, text, member, failure);
}

static int set_path(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        return *text == '/' ? add_string(row, text, member, failure) : -EINVAL;
}

static int set_socket(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        const size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

        if (strlen(text) > most)
                return failure_set(failure, -EINVAL, "the path of a socket has at most %zu bytes", most);
        return set_path(row, text, member, failure);
}

static int print_string(const struct option_row *row, const void *member, size_t i, FILE *out)
{
        const char *text = *(char *const *)member;

        (void)row;
        (void)fputs(text ? text : "", out);
        return i == 0 && text;
}

static char *const no_string = NULL;

#define OF_STRINGS                                                                              \
        .add = add_string, .print = print_string, .off = &no_string, .size = sizeof(no_string), \
        .free = cleanup_free

const struct option_type option_type_string = {
        .argument = "STRING",
        .description = "a text without quotes",
        .set = set_string,
        OF_STRINGS,
};

const struct option_type option_type_path = {
        .argument = "PATH",
        .description = "a path that begins with \"/\"",
        .set = set_path,
        OF_STRINGS,
};

const struct option_type option_type_socket = {
        .argument = "PATH",
        .description = "a path that begins with \"/\"",
        .set = set_socket,
        OF_STRINGS,
};

/* ---- CPUs and addresses ---- */

static int set_cpus(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        struct cpu_choice cpus = {.chosen = *text != '\0'};
        int r = 0;

        (void)row;
        if (cpus.chosen)
                r = cpu_list_parse(text, CPU_LIST_NODE_DIR, &cpus.set, failure);
        if (r < 0)
                return r;
        *(struct cpu_choice *)member = cpus;
        return 0;
}

/* Numbers, one by one. */
static int print_cpus(const struct option_row *row, const void *member, size_t i, FILE *out)
{
        const struct cpu_choice *cpus = member;
        const char *comma = "";

        (void)row;
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
                if (!CPU_ISSET(cpu, &cpus->set))
                        continue;
                (void)fprintf(out, "%s%d", comma, cpu);
                comma = ",";
        }
        return i == 0 && cpus->chosen;
}

const struct option_type option_type_cpus = {
        .argument = "LIST",
        .description = "a list of CPUs like 0-3,8 or node1",
        .set = set_cpus,
        .print = print_cpus,
};

static int set_address(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        (void)row;
        (void)failure;
        return address_parse(text, member);
}

static const struct address no_address;

const struct option_type option_type_address = {
        .argument = "ADDRESS:PORT",
        .description = "an IP address and a port like 127.0.0.1:9747 or [::1]:9747",
        .set = set_address,
        .off = &no_address,
        .size = sizeof(no_address),
};

/* ---- Lists ---- */

static int set_patterns(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        (void)row;
        return patterns_parse(text, member, failure);
}

static int add_pattern(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        (void)row;
        return patterns_add(member, text, failure);
}

static int print_pattern(const struct option_row *row, const void *member, size_t i, FILE *out)
{
        const struct patterns *patterns = member;

        (void)row;
        if (i < patterns->n)
                (void)fputs(patterns->words[i], out);
        return i < patterns->n;
}

static void free_patterns(void *member)
{
        patterns_deinit(member);
}

#define OF_PATTERNS .print = print_pattern, .free = free_patterns, .is_list = true

const struct option_type option_type_patterns = {
        .argument = "PATTERN...",
        .description = "a list of patterns",
        .set = set_patterns,
        .add = add_pattern,
        OF_PATTERNS,
};

static int add_name(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        const struct patterns *names = member;

        for (size_t i = 0; i < names->n; i++)
                if (strcmp(names->words[i], text) == 0)
                        return failure_set(failure, -EINVAL, "\"%s\" is named twice", text);
        return add_pattern(row, text, member, failure);
}

const struct option_type option_type_names = {
        .argument = "NAME",
        .description = "a name",
        .set = set_patterns,
        .add = add_name,
        OF_PATTERNS,
};

static int set_globs(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        CLEANUP(patterns_deinit) struct patterns globs = {0};
        int r = patterns_parse(text, &globs, failure);

        (void)row;
        for (size_t i = 0; i < globs.n; i++)
                if (globs.words[i][0] != '/')
                        return failure_set(failure, -EINVAL, "\"%s\" does not begin with \"/\"",
                                           globs.words[i]);
        return r < 0 ? r : patterns_parse(text, member, failure);
}

const struct option_type option_type_globs = {
        .argument = "GLOB...",
        .description = "a list of patterns of paths",
        .set = set_globs,
        .add = add_pattern,
        OF_PATTERNS,
};

static int add_group(const struct option_row *row, const char *text, void *member, struct failure *failure)
{
        const char *equals = strchr(text, '=');
        CLEANUP_FREE char *name = equals ? strndup(text, (size_t)(equals - text)) : NULL;

        (void)row;
        if (!equals)
                return failure_set(failure, -EINVAL, "\"%s\" is no NAME=PATTERNS, like 'acme=web* db1'",
                                   text);
        return name ? groups_set(member, name, equals + 1, failure) : -ENOMEM;
}

static int print_group(const struct option_row *row, const void *member, size_t i, FILE *out)
{
        const struct groups *groups = member;
        CLEANUP_FREE char *patterns = i < groups->n ? patterns_format(&groups->groups[i].members) : NULL;

        (void)row;
        if (patterns)
                (void)fprintf(out, "%s=%s", groups->groups[i].name, patterns);
        return i >= groups->n ? 0 : patterns ? 1 : -ENOMEM;
}

static void free_groups(void *member)
{
        groups_deinit(member);
}

const struct option_type option_type_groups = {
        .argument = "PATTERN...",
        .description = "a list of patterns",
        .add = add_group,
        .print = print_group,
        .free = free_groups,
        .is_list = true,
};

static int set_quiet_hours(const struct option_row *row, const char *text, void *member,
                           struct failure *failure)
{
        (void)row;
        return quiet_hours_parse(text, member, failure);
}

static void free_quiet_hours(void *member)
{
        quiet_hours_deinit(member);
}

const struct option_type option_type_quiet_hours = {
        .argument = "[DAYS] HH:MM-HH:MM...",
        .description = "a list of times of the week",
        .set = set_quiet_hours,
        .free = free_quiet_hours,
        .is_list = true,
};
