/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/strv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void strv_add(struct strv *strv, const char *format, ...)
{
        char **larger = strv->error ? NULL : reallocarray(strv->words, strv->n + 2, sizeof(*larger));
        char *word = NULL;
        va_list arguments;
        int length = 0;

        if (!larger) {
                strv->error = -ENOMEM;
                return;
        }
        strv->words = larger;
        va_start(arguments, format);
        length = vasprintf(&word, format, arguments);
        va_end(arguments);
        if (length < 0) {
                strv->words[strv->n] = NULL;
                strv->error = -ENOMEM;
                return;
        }
        strv->words[strv->n++] = word;
        strv->words[strv->n] = NULL;
}

int strv_end(struct strv *strv, char ***ret)
{
        char **words = strv->words;
        const int r = strv->error;

        *strv = (struct strv){0};
        if (r < 0)
                strv_free(words);
        else
                *ret = words;
        return r;
}

char **strv_free(char **words)
{
        for (size_t i = 0; words && words[i]; i++)
                free(words[i]);
        free(words);
        return NULL;
}
