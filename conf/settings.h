/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a scan is asked to do: one table row per option, which parser, help text and completion come from. */
#pragma once

#include "base/failure.h"
#include "conf/cpu_list.h"
#include "conf/groups.h"
#include "conf/merging.h"
#include "conf/patterns.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SETTINGS_MAX_GUESTS 1024
/* An address made of it must fit where paths of sockets do. */
#define SETTINGS_MAX_URI_BYTES 2048
/* As a control socket: a service is not asked. */
#define SETTINGS_CONTROL_NONE "none"

enum scan_mode {
        SCAN_MODE_SNAPSHOT, /* one pause; goes on sliced when the longest pause runs out */
        SCAN_MODE_SLICED,   /* pauses of at most max_pause, the guest running between them */
        SCAN_MODE_LIVE,     /* never pauses */
        SCAN_MODE_MAX_,
};

/* The mode's name on the command line and in reports. */
const char *scan_mode_to_string(enum scan_mode mode);

/* A list of words, for options that may be given more than once. */
struct settings_list {
        char **words;
        size_t n;
};

struct settings {
        struct settings_list qmp_sockets;
        char *libvirt_uri;           /* whose active domains are guests too; NULL: none */
        bool libvirt_monitor;        /* find their RAM by their monitors */
        struct settings_list guests; /* only these; empty: all */
        struct patterns include;     /* only names that match; empty: all */
        struct patterns exclude;     /* none of these */
        enum scan_mode mode;
        bool mode_chosen; /* by an option: otherwise the service has one of its own */
        bool max_pause_chosen;
        bool recheck_chosen;
        uint64_t max_pause_usec;
        uint64_t recheck_usec; /* until some pages are looked at again; 0: never */
        uint64_t timeout_usec; /* of each step of talking to QEMU */
        unsigned int threads;  /* 0: one per CPU */
        cpu_set_t cpus;        /* of the workers, if @cpus_chosen */
        bool cpus_chosen;
        bool careful; /* only readers that have no effect even on what changes meanwhile */
        bool together;
        bool json;
        bool events;       /* JSON lines; stronger than @json */
        pid_t service_pid; /* of the service that this works for; 0: for a person */
        bool stale;
        bool forecast; /* say what merging would save and cost */
        bool acts;     /* and do it */
        bool dry_run;
        bool undo;
        struct groups groups; /* the trust groups of guests, before those of libvirt's metadata */
        struct merging merging;
        bool apply; /* do what is otherwise only told */
        char *runtime_dir;
        char *ksm_dir;
        char *control_socket;
        char *history_file; /* NULL: ask the service */
        uint64_t since;     /* of the history, in Unix seconds; 0: open */
        uint64_t until;
        unsigned int limit;     /* of scans in the history; 0: the default */
        char *scan_id;          /* of one report in the history; NULL: a list */
        uint64_t interval_usec; /* between two looks at the service */
};

/* Which commands take an option. */
#define SETTINGS_FOR_GUESTS  (1U << 0)
#define SETTINGS_FOR_SCAN    (1U << 1)
#define SETTINGS_FOR_RESUME  (1U << 2)
#define SETTINGS_FOR_HISTORY (1U << 3)
#define SETTINGS_FOR_WATCH   (1U << 4)
#define SETTINGS_FOR_TUNE    (1U << 5)
#define SETTINGS_FOR_RECLAIM (1U << 6)

/**
 * struct settings_option - one option
 * @name: as typed after "--"
 * @argument: what stands for its argument in help texts; NULL for a switch
 * @commands: SETTINGS_FOR_…
 * @help: one line, without a full stop; NULL: only the service gives this option, and no text tells of it
 * @set: takes the argument (NULL for a switch); negative errno with a sentence when it is not valid
 */
struct settings_option {
        const char *name;
        const char *argument;
        unsigned int commands;
        const char *help;
        int (*set)(struct settings *settings, const char *argument, struct failure *failure);
};

/* All options, ended by one without a name. */
extern const struct settings_option settings_options[];

/**
 * settings_init() - the defaults
 *
 * Return: 0 or -ENOMEM.
 */
int settings_init(struct settings *settings);

void settings_deinit(struct settings *settings);
