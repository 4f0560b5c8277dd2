/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the service does on its own: scans on a schedule, counts paused guests, records KSM's passes. */
#pragma once

#include "conf/config.h"
#include "daemon/jobs.h"
#include "metrics/metrics.h"

#include <systemd/sd-event.h>

struct timers;

/* Timers start with the first configuration. @jobs, @metrics: borrowed. */
int timers_new(sd_event *event, struct jobs *jobs, struct metrics *metrics, struct timers **ret);

struct timers *timers_free(struct timers *timers);

/* Uses @config, borrowed until the next one; another interval restarts the schedule. */
void timers_configure(struct timers *timers, const struct options *config);

struct jobs_observer timers_observer(struct timers *timers);
