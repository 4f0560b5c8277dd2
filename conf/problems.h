/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wrong with a configuration, told one by one and summed up at the end. */
#pragma once

#include "conf/config.h"

/* Initialise with @warn and @context, which are as for config_load(). */
struct problems {
        config_warn_fn *warn;
        void *context;
        unsigned int n[CONFIG_SEVERITY_MAX_];
        int error; /* of the first error */
        struct failure first;
};

/**
 * problems_add() - tell about one more problem
 * @error: negative errno of an error; 0: it is a warning
 * @path: of the file
 * @line: in it; 0 when no line is meant
 * @format: a sentence
 */
void problems_add(struct problems *problems, int error, const char *path, unsigned int line,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

/**
 * problems_end() - tell how many were not told, and how it went
 *
 * Return: 0 when there was no error; else the first error's errno, and the first error in @failure.
 */
int problems_end(struct problems *problems, struct failure *failure);
