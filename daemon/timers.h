/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the service does by itself: scans on a schedule, counting guests that are paused, noting KSM's passes.
 */
#pragma once

#include "conf/config.h"
#include "daemon/jobs.h"
#include "metrics/metrics.h"

#include <systemd/sd-event.h>

struct timers;

/* They begin with the first configuration. @jobs, @metrics: borrowed. */
int timers_new(sd_event *event, struct jobs *jobs, struct metrics *metrics, struct timers **ret);

struct timers *timers_free(struct timers *timers);

/* Goes by @config, borrowed until another one comes; with another interval the schedule begins anew. */
void timers_configure(struct timers *timers, const struct options *config);

struct jobs_observer timers_observer(struct timers *timers);
