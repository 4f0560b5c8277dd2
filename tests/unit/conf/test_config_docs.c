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
static size_t plain_size(const struct option_type *type)
{
        if (type == &option_type_duration)
                return sizeof(uint64_t);
        if (type == &option_type_bool)
                return sizeof(bool);
        if (type == &option_type_mode)
                return sizeof(enum scan_mode);
        if (type == &option_type_policy)
                return sizeof(enum merging_policy);
        if (type == &option_type_tristate)
                return sizeof(enum tristate);
        return type == &option_type_number ? sizeof(unsigned int) : 0;
}

static bool same_value(const struct option_row *row, const void *a, const void *b)
{
        const struct option_type *type = row->type;

        if (plain_size(type) > 0)
                return memcmp(a, b, plain_size(type)) == 0;
        if (type == &option_type_patterns || type == &option_type_globs)
                return same_patterns(a, b);
        if (type == &option_type_address)
                return memcmp(&((const struct address *)a)->sockaddr, &((const struct address *)b)->sockaddr,
                              sizeof(struct sockaddr_storage)) == 0;
        if (type == &option_type_cpus)
                return !((const struct cpu_choice *)a)->chosen && !((const struct cpu_choice *)b)->chosen;
        if (type == &option_type_quiet_hours)
                return ((const struct quiet_hours *)a)->n == ((const struct quiet_hours *)b)->n;
        if (type->off && !*(char *const *)a)
                return !*(char *const *)b;
        if (type->off)
                return strcmp(*(char *const *)a, *(char *const *)b) == 0;
        return type == &option_type_groups;
}

static void test_sample_says_the_defaults(void)
{
        CLEANUP_FREE char *sample = print(config_print_sample);
        CLEANUP_FREE char *uncommented = uncomment(sample);
        struct config_files files;
        struct options *defaults = NULL;

        config_files_start(&files);
        CU_ASSERT_EQUAL_FATAL(config_files_load_text(&files, sample), 0);
        CU_ASSERT_STRING_EQUAL(files.told, "");
        CU_ASSERT_EQUAL_FATAL(config_files_load_text(&files, uncommented), 0);
        CU_ASSERT_STRING_EQUAL(files.told, "");
        CU_ASSERT_EQUAL_FATAL(options_new(true, &defaults), 0);
        CU_ASSERT_EQUAL(files.config->merging.groups.n, 1); /* NAME: so the '#' were taken away */
        for (const struct option_row *row = options_table; row->type; row++)
                if (row->section)
                        CU_ASSERT_TRUE(same_value(row, (char *)files.config + row->offset,
                                                  (char *)defaults + row->offset));
        options_free(defaults);
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

        for (const struct option_row *row = options_table; row->type; row++) {
                char line[128] = "";

                if (!row->section)
                        continue;
                (void)snprintf(line, sizeof(line), "\n  %s = %s%s%s\n", row->key ? row->key : "NAME",
                               row->type->argument, row->off ? "|" : "", row->off ? row->off : "");
                position = strstr(position, line);
                if (position)
                        position = strstr(position + 1, row->help);
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
static char *entry_of(const char *manual, const struct option_row *row)
{
        CLEANUP_FREE char *section = NULL;
        char begin[128] = "";
        char *entry = NULL;

        (void)snprintf(begin, sizeof(begin), "\n.Ss [%s]\n", row->section);
        section = cut(manual, begin, "\n.S");
        if (section) {
                (void)snprintf(begin, sizeof(begin), "\n.It %s %s = Ar ", row->key ? "Cm" : "Ar",
                               row->key ? row->key : "NAME");
                entry = cut(section, begin, "\n.It ");
        }
        if (!entry)
                printf("\n  the manual lacks [%s] %s\n", row->section, row->key);
        CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
        return entry;
}

static void assert_says(const char *entry, const struct option_row *row, const char *text)
{
        CU_ASSERT_PTR_NOT_NULL(strstr(entry, text));
        if (!strstr(entry, text))
                printf("\n  [%s] %s: \"%s\" is not in the manual\n", row->section, row->key, text);
}

static void assert_entry(const char *manual, const struct option_row *row)
{
        CLEANUP_FREE char *entry = entry_of(manual, row);
        char wanted[256] = "";
        char range[OPTION_RANGE_BYTES] = "";

        (void)snprintf(wanted, sizeof(wanted), "%s%s%s\n", row->type->argument, row->off ? "|" : "",
                       row->off ? row->off : "");
        CU_ASSERT_EQUAL(strncmp(entry, wanted, strlen(wanted)), 0);
        if (strncmp(entry, wanted, strlen(wanted)) != 0)
                printf("\n  [%s] %s: wanted %s", row->section, row->key, wanted);
        flatten(entry);
        (void)snprintf(wanted, sizeof(wanted), "Default: %s ",
                       row->default_text[0] ? row->default_text : "empty");
        if (row->key)
                assert_says(entry, row, wanted);
        if (row->type->range) {
                row->type->range(row, range);
                (void)snprintf(wanted, sizeof(wanted), "From %s.", range);
                assert_says(entry, row, wanted);
        }
}

static void test_manual_has_every_row(void)
{
        CLEANUP_FREE char *manual = read_source("docs/samepaged.conf.5");

        for (const struct option_row *row = options_table; row->type; row++)
                if (row->section)
                        assert_entry(manual, row);
}

static void test_manual_has_no_other_row(void)
{
        CLEANUP_FREE char *manual = read_source("docs/samepaged.conf.5");
        const char *position = manual;
        size_t n_options = 0;
        size_t n_entries = 0;

        for (const struct option_row *row = options_table; row->type; row++)
                n_options += row->section != NULL;
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
