/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wrong with a configuration, told one by one and summed up at the end. */
#pragma once

#include "conf/config.h"

/**
 * struct problems - what was found, and where the reader is
 * @warn, @context: as for config_load(); initialise the others with zeros
 * @path: of the file that a problem is told of next
 * @line: in it; 0 when no line is meant
 * @n: of each severity
 * @error: of the first error
 * @first: likewise
 */
struct problems {
        config_warn_fn *warn;
        void *context;
        const char *path;
        unsigned int line;
        unsigned int n[CONFIG_SEVERITY_COUNT_];
        int error;
        struct failure first;
};

/**
 * problems_add() - tell about one more problem
 * @error: negative errno of an error; 0: it is a warning
 * @format: a sentence
 */
void problems_add(struct problems *problems, int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/**
 * problems_end() - tell how many were not told, and how it went
 *
 * Return: 0 when there was no error; else the first error's errno, and the first error in @failure.
 */
int problems_end(struct problems *problems, struct failure *failure);
