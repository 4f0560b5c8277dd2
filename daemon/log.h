/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The service's messages on standard error: each event once, in one line. The journal reads its priority. */
#pragma once

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO };

/* Writes a sentence without a full stop. '?' replaces bytes that a terminal could interpret. */
void log_say(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
