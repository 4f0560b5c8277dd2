/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table, the list of options, the sample file and the manual page stay in step. */
#include "base/cleanup.h"
#include "config_files.h"

#include <ctype.h>
#include <stdint.h>

/* A file of the source tree; the caller frees it. */
static char *read_source(const char *name)
{
        const char *root = getenv("SAMEPAGE_SOURCE_ROOT");
        CLEANUP_FCLOSE FILE *file = NULL;
        char path[4096] = "";
        char *text = NULL;
        size_t size = 0;

        (void)snprintf(path, sizeof(path), "%s/%s", root ? root : ".", name);
        file = fopen(path, "re");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        CU_ASSERT_FATAL(getdelim(&text, &size, '\0', file) > 0);
        return text;
}

static char *print(void (*print_to)(FILE *file))
{
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);

        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        print_to(file);
        CU_ASSERT_EQUAL(fclose(file), 0);
        return text;
}

static void test_sample_is_up_to_date(void)
{
        CLEANUP_FREE char *sample = read_source("conf/samepaged.conf");
        CLEANUP_FREE char *printed = print(config_print_sample);

        CU_ASSERT_STRING_EQUAL(sample, printed);
}

/* Takes the '#' away before what is no prose: "#key = value". */
static char *uncomment(const char *sample)
{
        char *text = strdup(sample);
        char *to = text;

        for (const char *from = sample; *from; from++) {
                if (*from == '#' && from[1] != ' ')
                        continue;
                *to++ = *from;
        }
        *to = '\0';
        return text;
}

static bool same_patterns(const struct patterns *a, const struct patterns *b)
{
        if (a->n != b->n)
                return false;
        for (size_t i = 0; i < a->n; i++)
                if (strcmp(a->words[i], b->words[i]) != 0)
                        return false;
        return true;
}

/* How many bytes of a plain member there are to compare; 0 for one that is not plain. */
static size_t plain_size(const struct config_type *type)
{
        if (type == &config_types_duration)
                return sizeof(uint64_t);
        if (type == &config_types_bool)
                return sizeof(bool);
        if (type == &config_types_mode)
                return sizeof(enum scan_mode);
        if (type == &config_types_policy)
                return sizeof(enum merging_policy);
        if (type == &config_types_switch)
                return sizeof(enum merging_switch);
        return type == &config_types_number ? sizeof(unsigned int) : 0;
}

static bool same_value(const struct config_option *option, const void *a, const void *b)
{
        const struct config_type *type = option->type;

        if (plain_size(type) > 0)
                return memcmp(a, b, plain_size(type)) == 0;
        if (type == &config_types_patterns || type == &config_types_globs)
                return same_patterns(a, b);
        if (type == &config_types_address)
                return memcmp(&((const struct address *)a)->sockaddr, &((const struct address *)b)->sockaddr,
                              sizeof(struct sockaddr_storage)) == 0;
        if (type == &config_types_cpus)
                return !((const struct config_cpus *)a)->chosen && !((const struct config_cpus *)b)->chosen;
        if (type == &config_types_quiet_hours)
                return ((const struct quiet_hours *)a)->n == ((const struct quiet_hours *)b)->n;
        if (type->off && !*(char *const *)a)
                return !*(char *const *)b;
        if (type->off)
                return strcmp(*(char *const *)a, *(char *const *)b) == 0;
        return type == &config_types_groups;
}

static void test_sample_says_the_defaults(void)
{
        CLEANUP_FREE char *sample = print(config_print_sample);
        CLEANUP_FREE char *uncommented = uncomment(sample);
        struct config_files files;
        struct config *defaults = NULL;

        config_files_start(&files);
        CU_ASSERT_EQUAL_FATAL(config_files_load_text(&files, sample), 0);
        CU_ASSERT_STRING_EQUAL(files.told, "");
        CU_ASSERT_EQUAL_FATAL(config_files_load_text(&files, uncommented), 0);
        CU_ASSERT_STRING_EQUAL(files.told, "");
        CU_ASSERT_EQUAL_FATAL(config_new(&defaults), 0);
        CU_ASSERT_EQUAL(files.config->groups.n, 1); /* NAME: so the '#' were taken away */
        for (const struct config_option *option = config_options; option->section; option++)
                CU_ASSERT_TRUE(same_value(option, (char *)files.config + option->offset,
                                          (char *)defaults + option->offset));
        config_free(defaults);
        config_files_stop(&files);
}

/* Lines fit into the parser's buffer and on a screen. */
static void test_sample_has_short_lines(void)
{
        CLEANUP_FREE char *sample = print(config_print_sample);
        char *rest = sample;

        while (rest)
                CU_ASSERT(strlen(strsep(&rest, "\n")) <= 110);
}

static void test_list_shows_every_row(void)
{
        CLEANUP_FREE char *list = print(config_print_options);
        const char *position = list;

        for (const struct config_option *option = config_options; option->section; option++) {
                char line[128] = "";

                (void)snprintf(line, sizeof(line), "\n  %s = %s%s%s\n", option->key ? option->key : "NAME",
                               option->type->argument, option->off ? "|" : "",
                               option->off ? option->off : "");
                position = strstr(position, line);
                if (position)
                        position = strstr(position + 1, option->help);
                CU_ASSERT_PTR_NOT_NULL_FATAL(position);
                if (!position)
                        return;
        }
}

/* ---- The manual ---- */

/* Without the macros that only set type: "\n.Cm never\nfor" and "never for" are the same. */
static void flatten(char *text)
{
        char *to = text;

        for (const char *from = text; *from; from++) {
                if (*from == '\n' && from[1] == '.' && isupper((unsigned char)from[2])) {
                        *to++ = ' ';
                        from += 3 + strspn(from + 4, "abcdefghijklmnopqrstuvwxyz");
                } else if (isspace((unsigned char)*from)) {
                        if (to > text && to[-1] != ' ')
                                *to++ = ' ';
                } else if (!(from[0] == '\\' && from[1] == '&')) {
                        *to++ = *from;
                } else {
                        from++;
                }
        }
        *to = '\0';
}

/* The text from behind @begin to @end, taken out of @text; NULL when it is not there. */
static char *cut(const char *text, const char *begin, const char *end)
{
        const char *from = strstr(text, begin);
        const char *to = NULL;

        if (!from)
                return NULL;
        from += strlen(begin);
        to = strstr(from, end);
        return to ? strndup(from, (size_t)(to - from)) : strdup(from);
}

/* The entry of an option; the caller frees it. */
static char *entry_of(const char *manual, const struct config_option *option)
{
        CLEANUP_FREE char *section = NULL;
        char begin[128] = "";
        char *entry = NULL;

        (void)snprintf(begin, sizeof(begin), "\n.Ss [%s]\n", option->section);
        section = cut(manual, begin, "\n.S");
        if (section) {
                (void)snprintf(begin, sizeof(begin), "\n.It %s %s = Ar ", option->key ? "Cm" : "Ar",
                               option->key ? option->key : "NAME");
                entry = cut(section, begin, "\n.It ");
        }
        if (!entry)
                printf("\n  the manual lacks [%s] %s\n", option->section, option->key);
        CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
        return entry;
}

static void assert_says(const char *entry, const struct config_option *option, const char *text)
{
        CU_ASSERT_PTR_NOT_NULL(strstr(entry, text));
        if (!strstr(entry, text))
                printf("\n  [%s] %s: \"%s\" is not in the manual\n", option->section, option->key, text);
}

static void assert_entry(const char *manual, const struct config_option *option)
{
        CLEANUP_FREE char *entry = entry_of(manual, option);
        char wanted[256] = "";
        char range[CONFIG_TYPES_RANGE_BYTES] = "";

        (void)snprintf(wanted, sizeof(wanted), "%s%s%s\n", option->type->argument, option->off ? "|" : "",
                       option->off ? option->off : "");
        CU_ASSERT_EQUAL(strncmp(entry, wanted, strlen(wanted)), 0);
        if (strncmp(entry, wanted, strlen(wanted)) != 0)
                printf("\n  [%s] %s: wanted %s", option->section, option->key, wanted);
        flatten(entry);
        (void)snprintf(wanted, sizeof(wanted), "Default: %s ",
                       option->default_text[0] ? option->default_text : "empty");
        if (option->key)
                assert_says(entry, option, wanted);
        if (option->type->range) {
                option->type->range(option, range);
                (void)snprintf(wanted, sizeof(wanted), "From %s.", range);
                assert_says(entry, option, wanted);
        }
}

static void test_manual_has_every_row(void)
{
        CLEANUP_FREE char *manual = read_source("docs/samepaged.conf.5");

        for (const struct config_option *option = config_options; option->section; option++)
                assert_entry(manual, option);
}

static void test_manual_has_no_other_row(void)
{
        CLEANUP_FREE char *manual = read_source("docs/samepaged.conf.5");
        const char *position = manual;
        size_t n_options = 0;
        size_t n_entries = 0;

        while (config_options[n_options].section)
                n_options++;
        while ((position = strstr(position, " = Ar "))) {
                position++;
                n_entries++;
        }
        CU_ASSERT_EQUAL(n_entries, n_options);
}

/* The examples are made to be copied. */
static void test_examples_of_the_manual_load(void)
{
        CLEANUP_FREE char *manual = read_source("docs/samepaged.conf.5");
        const char *rest = manual;
        struct config_files files;
        unsigned int n = 0;

        config_files_start(&files);
        while ((rest = strstr(rest, ".Bd -literal -offset indent\n"))) {
                CLEANUP_FREE char *example = cut(rest, "indent\n", "\n.Ed");

                CU_ASSERT_EQUAL(config_files_load_text(&files, example), 0);
                CU_ASSERT_STRING_EQUAL(files.told, "");
                if (files.told[0])
                        printf("\n%s", files.told);
                n++;
                rest++;
        }
        CU_ASSERT(n >= 3);
        config_files_stop(&files);
}

static const struct unit_test tests[] = {
        {"sample is up to date", test_sample_is_up_to_date},
        {"sample says the defaults", test_sample_says_the_defaults},
        {"sample has short lines", test_sample_has_short_lines},
        {"list shows every row", test_list_shows_every_row},
        {"manual has every row", test_manual_has_every_row},
        {"manual has no other row", test_manual_has_no_other_row},
        {"examples of the manual load", test_examples_of_the_manual_load},
};

UNIT_MAIN("config_docs", tests)
