/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/failure.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 0))) static void format_text(struct failure *failure, const char *format,
                                                              va_list arguments)
{
        if (vsnprintf(failure->text, sizeof(failure->text), format, arguments) < 0)
                failure->text[0] = '\0';
}

int failure_set(struct failure *failure, int error, const char *format, ...)
{
        va_list arguments;

        if (!failure)
                return error;
        va_start(arguments, format);
        format_text(failure, format, arguments);
        va_end(arguments);
        text_make_printable(failure->text);
        return error;
}

int failure_errno(struct failure *failure, int error, const char *format, ...)
{
        va_list arguments;
        size_t length = 0;

        if (!failure)
                return error;
        va_start(arguments, format);
        format_text(failure, format, arguments);
        va_end(arguments);
        length = strlen(failure->text);
        (void)snprintf(failure->text + length, sizeof(failure->text) - length, ": %s", strerror(-error));
        text_make_printable(failure->text);
        return error;
}
