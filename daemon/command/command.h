/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of samepage(1). */
#pragma once

#include "conf/options.h"

/* What samepage(1) exits with. */
enum exit_code {
        EXIT_CODE_DONE = 0,
        EXIT_CODE_FAILED = 1,
        EXIT_CODE_USAGE = 2,
        EXIT_CODE_PARTLY = 3, /* done, but some guest could not be scanned */
};

/**
 * struct command - one command
 * @name: as typed
 * @takes: the bit of its options (OPTION_FOR_…)
 * @summary: one line, without a full stop
 */
struct command {
        const char *name;
        unsigned int takes;
        const char *summary;
        enum exit_code (*run)(const struct options *options);
};

enum exit_code command_guests(const struct options *options);
enum exit_code command_scan(const struct options *options);
enum exit_code command_tune(const struct options *options);
enum exit_code command_history(const struct options *options);
enum exit_code command_watch(const struct options *options);
enum exit_code command_resume(const struct options *options);
enum exit_code command_reclaim(const struct options *options);
