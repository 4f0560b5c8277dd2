/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that watches the merging of some guests by small samples: what it reads may hang with a QEMU that hangs, so
 * the service has it done. It speaks JSON lines on its standard input and output.
 */
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

/* Between two looks while KSM stands still; while it runs, its end should not be missed. */
#define SAMPLER_PERIOD_USEC     (UINT64_C(5) * 1000000)
#define SAMPLER_RUN_PERIOD_USEC (UINT64_C(1) * 1000000)
/* Between two looks at contents, which take longer. */
#define SAMPLER_READ_USEC (UINT64_C(15) * 1000000)

/* What that process does. Return: its exit status. */
int sampler_run_program(void);

/**
 * sampler_line() - the line that has it watch some processes from now on, for worker_send()
 * @pids: the @n QEMUs that are merged
 * @others: the @n_others QEMUs that must stay apart from them; NULL when everybody may share with everybody
 */
struct json_object *sampler_line(const pid_t *pids, size_t n, const pid_t *others, size_t n_others);

/* The estimate that the data of an event gives, with the half width of its 95 % interval. */
struct pace_sample sampler_parse(struct json_object *data);
