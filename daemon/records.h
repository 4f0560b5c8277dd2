/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is kept of a scan: the guest list, the metrics, the history and the log. An observer of jobs. */
#pragma once

#include "conf/config.h"
#include "daemon/guest_list.h"
#include "daemon/jobs.h"
#include "history/history.h"
#include "metrics/metrics.h"

#include <systemd/sd-event.h>

struct records;

/* @guest_list, @metrics: borrowed. Return: 0 or -ENOMEM. */
int records_new(sd_event *event, struct guest_list *guest_list, struct metrics *metrics,
                struct records **ret);

struct records *records_free(struct records *records);

/**
 * records_configure() - open the history and the metrics' port of a configuration
 * @config: borrowed until the next one
 *
 * Leaves alone what is open and stays the same; retries what failed before.
 *
 * Return: 0, or the negative errno of a part that could not be opened, which was logged. The other parts
 * work.
 */
int records_configure(struct records *records, const struct options *config);

struct jobs_observer records_observer(struct records *records);

/* As guest_list_new()'s gone(), with the records as context. */
void records_guest_gone(void *context, const char *name);

/* Borrowed until the next configuration; NULL when none is kept. */
struct history *records_history(const struct records *records);
