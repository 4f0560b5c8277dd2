/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration of the service: INI files, one table row per option. What there is to know about an
 * option is in its row; defaults, the list of options and the sample file are made from the rows, and a
 * default is a text that goes through the same parser as a file.
 */
#pragma once

#include "base/failure.h"
#include "conf/address.h"
#include "conf/config_types.h"
#include "conf/groups.h"
#include "conf/merging.h"
#include "conf/patterns.h"
#include "conf/quiet_hours.h"
#include "conf/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define CONFIG_DEFAULT_PATH "/etc/samepaged.conf"

/* Problems of one severity that are told; the others are counted. */
#define CONFIG_PROBLEMS_MAX 20U
/* A larger file is not a configuration. */
#define CONFIG_FILE_MAX_BYTES (1U << 20)
/* Files in the drop-in folder. */
#define CONFIG_DROP_INS_MAX 256U

/* What the files say. Read it; config_load() writes it. */
struct config {
        char *libvirt_uri; /* or "auto", the host's own if there is one; NULL: no libvirt */
        bool libvirt_monitor;
        struct patterns qmp_sockets; /* for glob(3) */
        struct patterns include;
        struct patterns exclude;

        struct groups groups;

        uint64_t interval_usec; /* USEC_INFINITY: never by itself */
        uint64_t jitter_usec;   /* never more than @interval_usec */
        uint64_t min_gap_usec;
        struct quiet_hours quiet_hours;
        bool on_suspend;

        enum scan_mode mode;
        uint64_t max_pause_usec;
        bool together;
        uint64_t recheck_usec; /* 0: no second look */
        bool careful;
        enum merging_policy merge_policy; /* here, where it fills a gap */
        struct merging merging;
        struct config_cpus cpus;
        unsigned int threads; /* 0: one per CPU */
        uint64_t timeout_usec;

        char *history_file;      /* NULL: no history */
        uint64_t retention_usec; /* USEC_INFINITY: for ever */

        struct address metrics_address; /* length 0: no metrics */

        char *control_socket; /* NULL: no control socket */
        char *control_group;

        char *runtime_dir;
        char *ksm_dir;
};

/**
 * struct config_option - one option
 * @section: of the file
 * @key: NULL in the one section whose keys are names of the operator's
 * @type: of the value
 * @offset: of the member in struct config
 * @default_text: as it would stand in a file
 * @off: words for "not at all" with '|' between them; NULL when there is none
 * @least: of a number or a duration, in microseconds
 * @most: likewise
 * @may_be_empty: whether no value is a value
 * @help: one line, without a full stop
 */
struct config_option {
        const char *section;
        const char *key;
        const struct config_type *type;
        size_t offset;
        const char *default_text;
        const char *off;
        uint64_t least;
        uint64_t most;
        bool may_be_empty;
        const char *help;
};

/* All options, section by section, ended by one without a section. */
extern const struct config_option config_options[];

enum config_severity {
        CONFIG_WARNING, /* what stands there has no effect */
        CONFIG_ERROR,   /* the configuration cannot be used */
        CONFIG_SEVERITY_MAX_,
};

/* Takes one problem: printable, "FILE:LINE: …" where there is a line, without a full stop. */
typedef void config_warn_fn(void *context, enum config_severity severity, const char *text);

/**
 * config_load() - read the configuration
 * @path: the file; PATH.d/ *.conf are read after it in byte order of their names, and what is set later
 *	  replaces what was set before, lists as a whole
 * @must_exist: whether it is an error that the file does not exist; the drop-ins are read in any case
 * @warn: called for every problem in the order of the files, up to CONFIG_PROBLEMS_MAX of each severity and
 *	  then once with the number of the others; may be NULL
 * @ret: the configuration, for config_free(); written only when there is no error
 * @failure: the first error, and how many more there are
 *
 * Nothing but regular files is read, and nothing is waited for.
 *
 * Return: 0; -EINVAL for errors in what a file says; another negative errno of the first error.
 */
int config_load(const char *path, bool must_exist, config_warn_fn *warn, void *context, struct config **ret,
                struct failure *failure);

/**
 * config_new() - the defaults
 *
 * Return: 0 or -ENOMEM.
 */
int config_new(struct config **ret);

/* Returns NULL. */
struct config *config_free(struct config *config);

/**
 * config_set() - set one option
 * @key: the key in the section of groups; not looked at otherwise
 * @text: as in a file; lines of it are separated by line ends
 * @failure: a sentence that says what is allowed
 *
 * Return: 0, and otherwise nothing has changed: -EINVAL, -E2BIG, -ENOMEM.
 */
int config_set(struct config *config, const struct config_option *option, const char *key, const char *text,
               struct failure *failure);

/* The row, also for any key in the section of groups; NULL when there is none. */
const struct config_option *config_find_option(const char *section, const char *key);

/* Whether a section of this name has options. */
bool config_is_section(const char *name);

/* The trust group of a guest, borrowed from @config; NULL when no group has a pattern for it. */
const char *config_group_of(const struct config *config, const char *guest_name);

/* Whether a guest is ours to scan: included, and not excluded. */
bool config_takes_guest(const struct config *config, const char *guest_name);

/**
 * config_is_quiet() - whether @now lies in the quiet hours
 *
 * By the time zone that the process last learned of: see tzset(3).
 */
bool config_is_quiet(const struct config *config, time_t now);

/* Prints all options with type, range and default, as --help does. Errors are the stream's: ferror(). */
void config_print_options(FILE *file);

/* Prints the sample file: every option with its help, commented out. */
void config_print_sample(FILE *file);
