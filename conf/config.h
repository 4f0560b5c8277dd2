/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration of the service: INI files with the options of conf/options.h. */
#pragma once

#include "base/failure.h"
#include "conf/options.h"

#include <stdbool.h>
#include <stdio.h>

#define CONFIG_DEFAULT_PATH "/etc/samepaged.conf"

/* Problems of one severity that are told; the others are counted. */
#define CONFIG_PROBLEMS_MAX 20U
/* A larger file is not a configuration. */
#define CONFIG_FILE_MAX_BYTES (1U << 20)
/* Files in the drop-in folder. */
#define CONFIG_DROP_INS_MAX 256U

enum config_severity {
        CONFIG_WARNING, /* what stands there has no effect */
        CONFIG_ERROR,   /* the configuration cannot be used */
        CONFIG_SEVERITY_COUNT_,
};

/* Takes one problem: printable, "FILE:LINE: …" where there is a line, without a full stop. */
typedef void config_warn_fn(void *context, enum config_severity severity, const char *text);

/**
 * struct config_source - where the configuration is, and who hears of its problems
 * @path: the file; PATH.d/ *.conf are read after it in byte order of their names, and what is set later
 *	  replaces what was set before, lists as a whole
 * @must_exist: whether it is an error that the file does not exist; the drop-ins are read in any case
 * @warn: called for every problem in the order of the files, up to CONFIG_PROBLEMS_MAX of each severity and
 *	  then once with the number of the others; may be NULL
 */
struct config_source {
        const char *path;
        bool must_exist;
        config_warn_fn *warn;
        void *context;
};

/**
 * config_load() - read the configuration
 * @ret: the configuration, for options_free(); written only when there is no error
 * @failure: the first error, and how many more there are
 *
 * Nothing but regular files is read, and nothing is waited for.
 *
 * Return: 0; -EINVAL for errors in what a file says; another negative errno of the first error.
 */
int config_load(const struct config_source *source, struct options **ret, struct failure *failure);

/* Prints all options with type, range and default, as --help does. Errors are the stream's: ferror(). */
void config_print_options(FILE *file);

/* Prints the sample file: every option with its help, commented out. */
void config_print_sample(FILE *file);
