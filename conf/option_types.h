/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The types that an option's value can have: how it is read, written, described and freed. */
#pragma once

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define OPTION_RANGE_BYTES 80
/* Of texts: the address that libvirt makes of a URI must fit where paths of sockets do. */
#define OPTION_TEXT_MAX_BYTES 2048

struct option_row;

typedef int option_set_fn(const struct option_row *row, const char *text, void *member,
                          struct failure *failure);

/**
 * struct option_type - one type
 * @argument: what stands for a value in texts about the file
 * @description: what a value must be, for "… is not …"
 * @set: reads a file's @text into @member, which holds a value of the type or zeros, and replaces it on
 *	 success only. Negative errno; -EINVAL without a sentence in @failure where @description says it all
 * @add: the same for an argument of the command line; NULL where that is written alike
 * @print: writes value number @i of a list, or number 0, as @add reads it. 1; 0 when there is none; -ENOMEM.
 *	   NULL for a type that no child needs
 * @off: the value that the option's word for "not at all" means; NULL for a type without one
 * @size: of @off
 * @range: describes the option's range, like "1ms to 1min"; NULL for a type without one
 * @free: frees what a member owns, which may be left as it is; NULL for a type that owns nothing
 * @is_list: a file's value may go on over several lines
 */
struct option_type {
        const char *argument;
        const char *description;
        option_set_fn *set;
        option_set_fn *add;
        int (*print)(const struct option_row *row, const void *member, size_t i, FILE *out);
        const void *off;
        size_t size;
        void (*range)(const struct option_row *row, char text[OPTION_RANGE_BYTES]);
        void (*free)(void *member);
        bool is_list;
};

/* The type of the member in struct options is in brackets. */
extern const struct option_type option_type_address;  /* [struct address] */
extern const struct option_type option_type_bool;     /* [bool]; a switch on the command line */
extern const struct option_type option_type_cpus;     /* [struct cpu_choice] */
extern const struct option_type option_type_duration; /* [uint64_t] microseconds; off: USEC_INFINITY */
extern const struct option_type option_type_globs; /* [struct patterns] of absolute paths; arguments: paths */
extern const struct option_type
        option_type_groups;                       /* [struct groups]; set by key; arguments: NAME=PATTERNS */
extern const struct option_type option_type_mode; /* [enum scan_mode] */
extern const struct option_type option_type_moment;      /* [uint64_t] Unix seconds */
extern const struct option_type option_type_names;       /* [struct patterns] of names, each once */
extern const struct option_type option_type_number;      /* [unsigned int] */
extern const struct option_type option_type_parent;      /* [pid_t] of the process that started this one */
extern const struct option_type option_type_path;        /* [char *]; off: NULL */
extern const struct option_type option_type_patterns;    /* [struct patterns] */
extern const struct option_type option_type_policy;      /* [enum merging_policy] */
extern const struct option_type option_type_quiet_hours; /* [struct quiet_hours] */
extern const struct option_type option_type_socket;      /* [char *] a path that fits into a socket address */
extern const struct option_type option_type_string;      /* [char *]; off: NULL */
extern const struct option_type option_type_tristate;    /* [enum tristate] */

/* The number of the word that @text is among @words, with '|' between them; -EINVAL when it is none. */
int option_words_find(const char *words, const char *text);
