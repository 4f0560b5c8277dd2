/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the service and the process that looks at samples (daemon/job/sampler.c) tell each other, in JSON lines. */
#pragma once

#include "merge/pace.h"

#include <json-c/json.h>
#include <stddef.h>
#include <sys/types.h>

/* As argv[0]. */
#define SAMPLER_PROGRAM "samepaged-sampler"

/* What was found: {"pages", "merged", "read", "changed"}, as in struct sample_figures. */
#define SAMPLER_EVENT "SAMPLE"

/* Somebody could be merged with the guests who should not: {"desc"}. Told for as long as it is so. */
#define SAMPLER_STRANGER_EVENT "STRANGER"

/**
 * sampler_line() - the line that has it watch some processes from now on, for worker_send()
 * @pids: the @n QEMUs that are merged
 * @others: the @n_others QEMUs that must stay apart from them; NULL when everybody may share with everybody
 */
struct json_object *sampler_line(const pid_t *pids, size_t n, const pid_t *others, size_t n_others);

/* The estimate that the data of an event gives, with the half width of its 95 % interval. */
struct pace_sample sampler_parse(struct json_object *data);
