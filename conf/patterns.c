/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/patterns.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r\n"

static int append_pattern(struct patterns *patterns, const char *word, size_t length, struct failure *failure)
{
        char **larger = NULL;

        if (length == 0)
                return failure_set(failure, -EINVAL, "a pattern is empty");
        if (patterns->n == PATTERNS_MAX)
                return failure_set(failure, -E2BIG, "more than %d patterns in one list", PATTERNS_MAX);
        larger = reallocarray(patterns->words, patterns->n + 1, sizeof(*larger));
        if (!larger)
                return failure_set(failure, -ENOMEM, "out of memory");
        patterns->words = larger;
        patterns->words[patterns->n] = strndup(word, length);
        if (!patterns->words[patterns->n])
                return failure_set(failure, -ENOMEM, "out of memory");
        patterns->n++;
        return 0;
}

/* A word that begins with a quote, at *@text, which is passed over. */
static int take_quoted_pattern(const char **text, struct patterns *patterns, struct failure *failure)
{
        const char *word = *text + 1;
        size_t length = strcspn(word, "\"\n");

        if (word[length] != '"')
                return failure_set(failure, -EINVAL,
                                   "a quote is not closed on its line (a comment begins with \" ;\")");
        *text = word + length + 1;
        if (**text != '\0' && !strchr(BLANKS, **text))
                return failure_set(failure, -EINVAL, "no blank behind the pattern \"%.*s\"", (int)length,
                                   word);
        return append_pattern(patterns, word, length, failure);
}

/* What is nearly always a slip is refused; in quotes it is taken. */
static int take_plain_pattern(const char **text, struct patterns *patterns, struct failure *failure)
{
        const char *word = *text;
        size_t length = strcspn(word, BLANKS);

        *text = word + length;
        if (memchr(word, '"', length))
                return failure_set(failure, -EINVAL, "a quote inside of the pattern %.*s", (int)length, word);
        if (*word == '#')
                return failure_set(failure, -EINVAL,
                                   "\"#\" begins a comment at the start of a line only; use \" ;\" here");
        if (word[length - 1] == ',')
                return failure_set(failure, -EINVAL, "patterns stand between blanks, without commas");
        return append_pattern(patterns, word, length, failure);
}

int patterns_add(struct patterns *patterns, const char *word, struct failure *failure)
{
        return append_pattern(patterns, word, strlen(word), failure);
}

int patterns_parse(const char *text, struct patterns *ret, struct failure *failure)
{
        CLEANUP(patterns_deinit) struct patterns patterns = {0};
        int r = 0;

        for (;;) {
                text += strspn(text, BLANKS);
                if (*text == '\0')
                        break;
                if (*text == '"')
                        r = take_quoted_pattern(&text, &patterns, failure);
                else
                        r = take_plain_pattern(&text, &patterns, failure);
                if (r < 0)
                        return r;
        }
        patterns_deinit(ret);
        *ret = patterns;
        patterns = (struct patterns){0};
        return 0;
}

bool patterns_match(const struct patterns *patterns, const char *name)
{
        for (size_t i = 0; i < patterns->n; i++)
                if (strcmp(patterns->words[i], name) == 0 || fnmatch(patterns->words[i], name, 0) == 0)
                        return true;
        return false;
}

char *patterns_format(const struct patterns *patterns)
{
        char *text = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&text, &length);

        if (!out)
                return NULL;
        /* A word holds no quote: patterns_parse() takes none. */
        for (size_t i = 0; i < patterns->n; i++)
                (void)fprintf(out, "%s\"%s\"", i > 0 ? " " : "", patterns->words[i]);
        if (fclose(out) == 0)
                return text;
        free(text);
        return NULL;
}

void patterns_deinit(struct patterns *patterns)
{
        for (size_t i = 0; i < patterns->n; i++)
                free(patterns->words[i]);
        free(patterns->words);
        *patterns = (struct patterns){0};
}
