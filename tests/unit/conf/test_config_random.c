/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random texts: nothing must crash, leak or hang, and what is accepted must be within the rules. */
#include "base/clock.h"
#include "conf/config.h"
#include "conf/config_parse.h"
#include "conf/problems.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 2048
#define N_TEXTS    2000

/* xorshift64: the same texts in every run. */
static uint64_t state = UINT64_C(88172645463325252);

static unsigned int random_below(unsigned int limit)
{
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return (unsigned int)(state >> 32) % limit;
}

static void note(void *context, enum config_severity severity, const char *text)
{
        unsigned int *n = context;

        (void)severity;
        (*n)++;
        for (; *text; text++)
                CU_ASSERT_NOT_EQUAL(*text, '\x1b');
}

static void check_ranges(const struct options *config)
{
        CU_ASSERT(config->scan.mode < SCAN_MODE_COUNT_);
        CU_ASSERT(config->scan.max_pause_usec >= USEC_PER_MSEC &&
                  config->scan.max_pause_usec <= 60 * USEC_PER_SEC);
        CU_ASSERT(config->scan.threads <= 1024);
        CU_ASSERT(config->interval_usec >= USEC_PER_SEC);
        CU_ASSERT(config->merging.groups.n <= GROUPS_MAX);
        CU_ASSERT(config->guests.include.n > 0 && config->guests.include.n <= PATTERNS_MAX);
        CU_ASSERT_PTR_NOT_NULL(config->runtime_dir);
        (void)options_take_guest(config, "web1");
        (void)groups_find(&config->merging.groups, "web1");
        (void)options_are_quiet(config, 1700000000);
}

static void parse(const char *text, size_t length)
{
        /* An allocation of just this size: a byte too far is seen by the sanitizer. */
        char *copy = malloc(length + 1);
        struct options *config = NULL;
        unsigned int n = 0;
        struct problems problems = {.warn = note, .context = &n, .path = "random"};

        CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
        if (!copy)
                return;
        memcpy(copy, text, length);
        CU_ASSERT_EQUAL_FATAL(options_new(true, &config), 0);
        config_parse(config, copy, length, &problems);
        (void)problems_end(&problems, NULL);
        CU_ASSERT(n <= 2 * CONFIG_PROBLEMS_MAX + 2);
        check_ranges(config);
        options_free(config);
        free(copy);
}

static void test_bytes(void)
{
        char text[TEXT_BYTES];

        for (unsigned int i = 0; i < N_TEXTS; i++) {
                const size_t length = random_below(TEXT_BYTES);

                for (size_t j = 0; j < length; j++)
                        text[j] = (char)random_below(256);
                parse(text, length);
        }
}

static const char *const pieces[] = {
        "[guests]",   "[groups]",
        "[schedule]", "[scan]",
        "[history]",  "[metrics]",
        "[control]",  "[paths]",
        "[",          "]",
        "\n",         "\n",
        "\n",         "\n  ",
        " = ",        "=",
        ":",          " ",
        "\t",         " ;",
        "#",          "\"",
        ",",          "*",
        "web?",       "[a-z]",
        "\\",         "-",
        "Mon-Fri",    "Sat",
        "22:00",      "06:00",
        "24:00",      "1h",
        "500ms",      "0",
        "99999999",   "never",
        "none",       "forever",
        "yes",        "live",
        "0-3,8",      "node0",
        "[::1]:9747", "1.2.3.4",
        "/run/x",     "\xef\xbb\xbf",
        "\r",         "\x01",
        "\xc2\x9b",   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
};

/* Pieces that mean something, in any order, and a byte changed here and there. */
static void test_pieces(void)
{
        const unsigned int n_pieces = sizeof(pieces) / sizeof(pieces[0]);
        unsigned int n_options = 0;

        while (options_table[n_options].type)
                n_options++;
        for (unsigned int i = 0; i < N_TEXTS; i++) {
                char text[TEXT_BYTES];
                size_t length = 0;

                while (length < TEXT_BYTES - 128 && random_below(200) > 0) {
                        const unsigned int which = random_below(n_pieces + n_options);
                        const char *piece =
                                which < n_pieces ? pieces[which] : options_table[which - n_pieces].key;

                        if (which >= n_pieces)
                                length += (size_t)snprintf(text + length, 128,
                                                           "\n%s =", piece ? piece : "acme");
                        else
                                length += (size_t)snprintf(text + length, 128, "%s", piece);
                }
                if (length > 0 && random_below(4) == 0)
                        text[random_below((unsigned int)length)] = (char)random_below(256);
                parse(text, length);
        }
}

/* Every option with every value of every other: types must not read what is not there. */
static void test_values_of_others(void)
{
        static const char *const values[] = {
                "",       " ",   "0",    "-",    "\"", "\"\"",  "[", ":",    "=",
                "08:00-", "Mon", "Mon-", "none", "/",  "1h",    "1", "[]:1", ":1",
                "node",   "0-",  "1w w", "*",    ",",  "never", "|", "\n",   "a\nb",
        };
        struct options *config = NULL;

        CU_ASSERT_EQUAL_FATAL(options_new(true, &config), 0);
        for (const struct option_row *row = options_table; row->type; row++)
                for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
                        char *exact = strdup(values[i]);

                        if (row->section)
                                (void)options_set_key(config, row, "acme", exact, NULL);
                        if (row->name)
                                (void)options_set_argument(config, row, exact, NULL);
                        free(exact);
                }
        check_ranges(config);
        options_free(config);
}

static const struct unit_test tests[] = {
        {"bytes", test_bytes},
        {"pieces", test_pieces},
        {"values of others", test_values_of_others},
};

UNIT_MAIN("config_random", tests)
