/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The types that an option's value can have: how it is read, described and freed. */
#pragma once

#include "base/failure.h"

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_TYPES_RANGE_BYTES 80

struct config_option;

/* CPUs to work on. */
struct config_cpus {
        cpu_set_t set; /* if @chosen */
        bool chosen;   /* otherwise all */
};

/**
 * struct config_type - one type
 * @argument: what stands for a value in help texts
 * @description: what a value must be, for "… is not …"
 * @set: reads @text into @member, which holds a value of the type or zeros, and replaces it on success only.
 *	 Negative errno; -EINVAL without a sentence in @failure where @description says it all
 * @off: writes what the option's word for "not at all" means; NULL for a type without one
 * @range: describes the option's range, like "1ms to 1min"; NULL for a type without one
 * @free: frees what a member owns; NULL for a type that owns nothing
 */
struct config_type {
        const char *argument;
        const char *description;
        int (*set)(const struct config_option *option, const char *text, void *member,
                   struct failure *failure);
        void (*off)(void *member);
        void (*range)(const struct config_option *option, char text[CONFIG_TYPES_RANGE_BYTES]);
        void (*free)(void *member);
};

/* The type of the member in struct config is in brackets. */
extern const struct config_type config_types_address;     /* [struct address] */
extern const struct config_type config_types_bool;        /* [bool] */
extern const struct config_type config_types_cpus;        /* [struct config_cpus] */
extern const struct config_type config_types_duration;    /* [uint64_t] microseconds; off: USEC_INFINITY */
extern const struct config_type config_types_globs;       /* [struct patterns] of absolute paths */
extern const struct config_type config_types_groups;      /* [struct groups]; set by key, not by text */
extern const struct config_type config_types_mode;        /* [enum scan_mode] */
extern const struct config_type config_types_policy;      /* [enum merging_policy] */
extern const struct config_type config_types_switch;      /* [enum merging_switch] */
extern const struct config_type config_types_number;      /* [unsigned int] */
extern const struct config_type config_types_path;        /* [char *]; off: NULL */
extern const struct config_type config_types_patterns;    /* [struct patterns] */
extern const struct config_type config_types_quiet_hours; /* [struct quiet_hours] */
extern const struct config_type config_types_socket; /* [char *] a path that fits into a socket address */
extern const struct config_type config_types_string; /* [char *]; off: NULL */
