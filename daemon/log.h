/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the service has to say: each event once, one line, on standard error, which the journal takes with its priority. */
#pragma once

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO };

/* Says a sentence without a full stop. Bytes that a terminal could interpret are replaced by '?'. */
void log_say(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
