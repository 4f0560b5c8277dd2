/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy "act": the closed loop around KSM. An observer of jobs. */
#pragma once

#include "conf/config.h"
#include "daemon/jobs.h"
#include "metrics/metrics_merge.h"

#include <systemd/sd-event.h>

struct merger;

/* @jobs, @metrics: borrowed. Return: 0 or a negative errno. */
int merger_new(sd_event *event, struct jobs *jobs, struct metrics_merge *metrics, struct merger **ret);

/* Ends, puts back the settings found at the start, and frees it. */
struct merger *merger_free(struct merger *merger);

/* Acts by @config, borrowed until the next one: begins anew, or ends and puts the settings back. */
void merger_configure(struct merger *merger, const struct options *config);

/* The service is ending: puts the settings back, and begins nothing more. */
void merger_stop(struct merger *merger);

/* A guest came or went. */
void merger_arrived(struct merger *merger);

struct jobs_observer merger_observer(struct merger *merger);
