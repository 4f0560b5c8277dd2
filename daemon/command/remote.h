/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands that a running samepaged carries out for samepage(1). */
#pragma once

#include "base/failure.h"
#include "conf/options.h"
#include "daemon/command/control_call.h"
#include "daemon/job/job_observer.h"
#include "report/report.h"

#include <json-c/json.h>
#include <stdbool.h>

/* Whether the command is about the service's guests: no socket is named. */
bool remote_is_wanted(const struct options *options);

/**
 * remote_scan() - have the service scan
 * @observer: called as job_run() calls it; may be NULL
 *
 * Return: 0; -ENOENT or -ECONNREFUSED when no service runs; -EREMOTEIO when it refuses; -EINVAL for options
 * that only the service's configuration has; another negative errno; all with a sentence.
 */
int remote_scan(const struct options *options, const struct job_observer *observer, struct report **ret,
                struct failure *failure);

/* The same for the list of guests. */
int remote_guests(const struct options *options, struct report **ret, struct failure *failure);

/**
 * remote_history() - the history, or the report that options->scan_id names
 * @ret: the caller owns it
 */
int remote_history(const struct options *options, struct json_object **ret, struct failure *failure);
