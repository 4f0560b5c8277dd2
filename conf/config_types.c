/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/config_types.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "conf/address.h"
#include "conf/config.h"
#include "conf/cpu_list.h"
#include "conf/duration.h"
#include "conf/groups.h"
#include "conf/patterns.h"
#include "conf/quiet_hours.h"
#include "conf/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static int set_bool(const struct config_option *option, const char *text, void *member,
                    struct failure *failure)
{
        static const char *const words[][2] = {{"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};

        (void)option;
        (void)failure;
        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                for (size_t value = 0; value < 2; value++)
                        if (strcmp(words[i][value], text) == 0) {
                                *(bool *)member = value == 1;
                                return 0;
                        }
        return -EINVAL;
}

const struct config_type config_types_bool = {
        .argument = "yes|no",
        .description = "yes or no",
        .set = set_bool,
};

/* The number of the word that @text is; -EINVAL when it is none of them. */
static int find_word(const char *text, const char *(*name_of)(int), int n)
{
        for (int i = 0; i < n; i++)
                if (strcmp(text, name_of(i)) == 0)
                        return i;
        return -EINVAL;
}

static const char *mode_name(int i)
{
        return scan_mode_to_string((enum scan_mode)i);
}

static int set_mode(const struct config_option *option, const char *text, void *member,
                    struct failure *failure)
{
        const int word = find_word(text, mode_name, SCAN_MODE_MAX_);

        (void)option;
        (void)failure;
        if (word >= 0)
                *(enum scan_mode *)member = (enum scan_mode)word;
        return word < 0 ? word : 0;
}

static const char *policy_name(int i)
{
        return merging_policy_to_string((enum merging_policy)i);
}

static int set_policy(const struct config_option *option, const char *text, void *member,
                      struct failure *failure)
{
        const int word = find_word(text, policy_name, MERGING_POLICY_MAX_);

        (void)option;
        (void)failure;
        if (word >= 0)
                *(enum merging_policy *)member = (enum merging_policy)word;
        return word < 0 ? word : 0;
}

const struct config_type config_types_policy = {
        .argument = "off|observe|advise|act",
        .description = "a policy: off, observe, advise or act",
        .set = set_policy,
};

static const char *switch_name(int i)
{
        return merging_switch_to_string((enum merging_switch)i);
}

static int set_switch(const struct config_option *option, const char *text, void *member,
                      struct failure *failure)
{
        const int word = find_word(text, switch_name, MERGING_SWITCH_MAX_);

        (void)option;
        (void)failure;
        if (word >= 0)
                *(enum merging_switch *)member = (enum merging_switch)word;
        return word < 0 ? word : 0;
}

const struct config_type config_types_switch = {
        .argument = "keep|no|yes",
        .description = "keep, no or yes",
        .set = set_switch,
};

const struct config_type config_types_mode = {
        .argument = "snapshot|sliced|live",
        .description = "a mode: snapshot, sliced or live",
        .set = set_mode,
};

static int set_number(const struct config_option *option, const char *text, void *member,
                      struct failure *failure)
{
        unsigned long value = 0;
        char *end = NULL;

        (void)failure;
        if (!isdigit((unsigned char)*text))
                return -EINVAL;
        errno = 0;
        value = strtoul(text, &end, 10);
        if (errno || *end || value < option->least || value > option->most)
                return -EINVAL;
        *(unsigned int *)member = (unsigned int)value;
        return 0;
}

static void number_range(const struct config_option *option, char text[CONFIG_TYPES_RANGE_BYTES])
{
        (void)snprintf(text, CONFIG_TYPES_RANGE_BYTES, "%u to %u", (unsigned int)option->least,
                       (unsigned int)option->most);
}

const struct config_type config_types_number = {
        .argument = "NUMBER",
        .description = "a whole number",
        .set = set_number,
        .range = number_range,
};

static int set_duration(const struct config_option *option, const char *text, void *member,
                        struct failure *failure)
{
        uint64_t usec = 0;

        (void)failure;
        if (duration_parse(text, &usec) < 0 || usec < option->least || usec > option->most)
                return -EINVAL;
        *(uint64_t *)member = usec;
        return 0;
}

static void duration_off(void *member)
{
        *(uint64_t *)member = USEC_INFINITY;
}

static void duration_range(const struct config_option *option, char text[CONFIG_TYPES_RANGE_BYTES])
{
        char least[DURATION_TEXT_BYTES] = "";
        char most[DURATION_TEXT_BYTES] = "";

        duration_to_text(option->least, least);
        duration_to_text(option->most, most);
        (void)snprintf(text, CONFIG_TYPES_RANGE_BYTES, "%s to %s", least, most);
}

const struct config_type config_types_duration = {
        .argument = "DURATION",
        .description = "a number with one of the units " DURATION_UNITS,
        .set = set_duration,
        .off = duration_off,
        .range = duration_range,
};

static int replace_string(const char *text, char **string)
{
        char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;
        free(*string);
        *string = copy;
        return 0;
}

static void free_string(void *member)
{
        cleanup_free(member);
        *(char **)member = NULL;
}

/* Quotes are nowhere needed here; they would become part of the value. */
static int set_string(const struct config_option *option, const char *text, void *member,
                      struct failure *failure)
{
        (void)option;
        (void)failure;
        return strchr(text, '"') ? -EINVAL : replace_string(text, member);
}

const struct config_type config_types_string = {
        .argument = "STRING",
        .description = "a text without quotes",
        .set = set_string,
        .off = free_string,
        .free = free_string,
};

static int set_path(const struct config_option *option, const char *text, void *member,
                    struct failure *failure)
{
        (void)option;
        (void)failure;
        return *text == '/' ? replace_string(text, member) : -EINVAL;
}

const struct config_type config_types_path = {
        .argument = "PATH",
        .description = "a path that begins with \"/\"",
        .set = set_path,
        .off = free_string,
        .free = free_string,
};

static int set_socket(const struct config_option *option, const char *text, void *member,
                      struct failure *failure)
{
        const size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

        if (strlen(text) > most)
                return failure_set(failure, -EINVAL, "the path of a socket has at most %zu bytes", most);
        return set_path(option, text, member, failure);
}

const struct config_type config_types_socket = {
        .argument = "PATH",
        .description = "a path that begins with \"/\"",
        .set = set_socket,
        .off = free_string,
        .free = free_string,
};

static int set_cpus(const struct config_option *option, const char *text, void *member,
                    struct failure *failure)
{
        struct config_cpus cpus = {.chosen = *text != '\0'};
        int r = 0;

        (void)option;
        if (cpus.chosen)
                r = cpu_list_parse(text, CPU_LIST_NODE_DIR, &cpus.set, failure);
        if (r < 0)
                return r;
        *(struct config_cpus *)member = cpus;
        return 0;
}

const struct config_type config_types_cpus = {
        .argument = "LIST",
        .description = "a list of CPUs like 0-3,8 or node1",
        .set = set_cpus,
};

static int set_address(const struct config_option *option, const char *text, void *member,
                       struct failure *failure)
{
        (void)option;
        (void)failure;
        return address_parse(text, member);
}

static void address_off(void *member)
{
        *(struct address *)member = (struct address){0};
}

const struct config_type config_types_address = {
        .argument = "ADDRESS:PORT",
        .description = "an IP address and a port like 127.0.0.1:9747 or [::1]:9747",
        .set = set_address,
        .off = address_off,
};

static int set_patterns(const struct config_option *option, const char *text, void *member,
                        struct failure *failure)
{
        (void)option;
        return patterns_parse(text, member, failure);
}

static void free_patterns(void *member)
{
        patterns_deinit(member);
}

const struct config_type config_types_patterns = {
        .argument = "PATTERN...",
        .description = "a list of patterns",
        .set = set_patterns,
        .free = free_patterns,
};

static int set_globs(const struct config_option *option, const char *text, void *member,
                     struct failure *failure)
{
        CLEANUP(patterns_deinit) struct patterns globs = {0};
        int r = patterns_parse(text, &globs, failure);

        (void)option;
        if (r < 0)
                return r;
        for (size_t i = 0; i < globs.n; i++)
                if (globs.words[i][0] != '/')
                        return failure_set(failure, -EINVAL, "\"%s\" does not begin with \"/\"",
                                           globs.words[i]);
        patterns_deinit(member);
        *(struct patterns *)member = globs;
        globs = (struct patterns){0};
        return 0;
}

const struct config_type config_types_globs = {
        .argument = "GLOB...",
        .description = "a list of patterns of paths",
        .set = set_globs,
        .free = free_patterns,
};

static void free_groups(void *member)
{
        groups_deinit(member);
}

const struct config_type config_types_groups = {
        .argument = "PATTERN...",
        .description = "a list of patterns",
        .free = free_groups,
};

static int set_quiet_hours(const struct config_option *option, const char *text, void *member,
                           struct failure *failure)
{
        (void)option;
        return quiet_hours_parse(text, member, failure);
}

static void free_quiet_hours(void *member)
{
        quiet_hours_deinit(member);
}

const struct config_type config_types_quiet_hours = {
        .argument = "[DAYS] HH:MM-HH:MM...",
        .description = "a list of times of the week",
        .set = set_quiet_hours,
        .free = free_quiet_hours,
};
