/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of samepage(1) and samepaged(8): one table row each. A row holds all there is to know about its
 * option. The parsers of the command line, of the files and of requests at the control socket, the arguments
 * of the service's children, help texts, the sample file and defaults all come from the rows.
 */
#pragma once

#include "base/failure.h"
#include "base/strv.h"
#include "conf/address.h"
#include "conf/option_row.h"
#include "conf/quiet_hours.h"
#include "conf/wishes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* What the options say. Read it; options_set_…() write it. */
struct options {
        struct guest_choice guests;
        struct scan_wish scan;
        struct merging merging;
        char *runtime_dir;
        char *ksm_dir;
        char *control_socket; /* NULL: none */
        char *history_file;   /* NULL: the service has none, the command asks the service */

        /* Of the service. */
        uint64_t interval_usec; /* USEC_INFINITY: never by itself */
        uint64_t jitter_usec;   /* never more than @interval_usec */
        uint64_t min_gap_usec;
        struct quiet_hours quiet_hours;
        bool on_suspend;
        enum merging_policy merge_policy; /* here, where it fills a gap */
        uint64_t retention_usec;          /* USEC_INFINITY: for ever */
        struct address metrics_address;   /* length 0: no metrics */
        char *control_group;

        /* Of commands. */
        bool json;
        bool events; /* JSON lines; stronger than @json */
        bool stale;
        bool dry_run;
        bool undo;
        bool apply;                   /* do what is otherwise only told */
        uint64_t since;               /* of the history, in Unix seconds; 0: open */
        uint64_t until;               /* likewise */
        unsigned int limit;           /* of scans in the history */
        char *scan_id;                /* of one report in the history; NULL: a list */
        uint64_t watch_interval_usec; /* between two looks at the service */

        uint64_t given; /* a bit for each row that the command line has set */
};

/* All options, those of the file section by section, ended by one without a type. */
extern const struct option_row options_table[];

/**
 * options_new() - the defaults
 * @of_service: of the service; otherwise of a command
 *
 * Return: 0 or -ENOMEM.
 */
int options_new(bool of_service, struct options **ret);

/* Returns NULL. */
struct options *options_free(struct options *options);

/**
 * options_set_key() - set one option as a file does
 * @key: the key in the section of groups; not looked at otherwise
 * @text: lines of it are separated by line ends
 * @failure: a sentence that says what is allowed
 *
 * Return: 0, and otherwise nothing has changed: -EINVAL, -E2BIG, -ENOMEM.
 */
int options_set_key(struct options *options, const struct option_row *row, const char *key, const char *text,
                    struct failure *failure);

/**
 * options_set_argument() - set one option as the command line does; lists get one more word
 * @argument: NULL for a switch
 *
 * Return: as options_set_key().
 */
int options_set_argument(struct options *options, const struct option_row *row, const char *argument,
                         struct failure *failure);

/**
 * options_write() - the arguments that set @options once more, defaults too
 * @commands: of the command, OPTION_FOR_…; other options are left out
 * @strv: receives "--name=value" and "--name"
 */
void options_write(const struct options *options, unsigned int commands, struct strv *strv);

/**
 * options_print() - the value as an argument, or one of a list
 * @i: 0, or the place in the list
 * @ret: the caller frees it
 *
 * Return: 1; 0 when there is no such value; -ENOMEM.
 */
int options_print(const struct options *options, const struct option_row *row, size_t i, char **ret);

/* Whether the command line has set it. */
bool options_is_given(const struct options *options, const struct option_row *row);

/* What a command has when nothing is given; "" for nothing. */
const char *options_command_default(const struct option_row *row);

/* The row of a file's key, also for any key in the section of groups; NULL when there is none. @section NULL:
 * any. */
const struct option_row *options_find_key(const char *section, const char *key);

/* Whether a section of this name has options. */
bool options_is_section(const char *name);

/**
 * options_closest() - what was probably meant by a word
 * @name_of: the name of a row that is compared with it; NULL for a row that is not meant
 *
 * Return: the name that is most like it; NULL when none is.
 */
const char *options_closest(const char *word,
                            const char *(*name_of)(const struct option_row *row, const void *context),
                            const void *context);

/* Whether a guest is the service's to scan: included, and not excluded. */
bool options_take_guest(const struct options *options, const char *guest_name);

/**
 * options_are_quiet() - whether @now lies in the quiet hours
 *
 * By the time zone that the process last learned of: see tzset(3).
 */
bool options_are_quiet(const struct options *options, time_t now);
