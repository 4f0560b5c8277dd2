/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON lines between the service and the process that looks at samples (daemon/job/sampler.c). */
#pragma once

#include "merge/pace.h"

#include <json-c/json.h>
#include <stddef.h>
#include <sys/types.h>

/* argv[0] of that process. */
#define SAMPLER_PROGRAM "samepaged-sampler"

/* The sample: {"pages", "merged", "read", "changed"}, as in struct sample_figures. */
#define SAMPLER_EVENT "SAMPLE"

/* A process could be merged with the guests that must not be: {"desc"}. Sent as long as that is so. */
#define SAMPLER_STRANGER_EVENT "STRANGER"

/**
 * sampler_line() - the line that tells it which processes to watch from now on, for worker_send()
 * @pids: the @n QEMUs that are merged
 * @others: the @n_others QEMUs that must stay apart from them; NULL when all may share with all
 */
struct json_object *sampler_line(const pid_t *pids, size_t n, const pid_t *others, size_t n_others);

/* The estimate from the data of an event, with the half width of its 95 % interval. */
struct pace_sample sampler_parse(struct json_object *data);
