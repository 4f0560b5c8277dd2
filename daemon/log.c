/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/log.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#define LINE_BYTES 2048

void log_say(enum log_level level, const char *format, ...)
{
        static const char *const priorities[] = {
                [LOG_LEVEL_ERROR] = SD_ERR,
                [LOG_LEVEL_WARNING] = SD_WARNING,
                [LOG_LEVEL_NOTICE] = SD_NOTICE,
                [LOG_LEVEL_INFO] = SD_INFO,
        };
        /* Only the journal understands priorities. */
        const char *prefix = getenv("JOURNAL_STREAM") ? priorities[level] : "samepaged: ";
        char text[LINE_BYTES] = "";
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        text_make_printable(text);
        (void)fprintf(stderr, "%s%s\n", prefix, text);
}
