/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands and events of the control socket: samepaged(8) describes them. An observer of jobs. */
#pragma once

#include "conf/config.h"
#include "daemon/jobs.h"
#include "daemon/records.h"

#include <systemd/sd-event.h>

struct control_commands;

/* @jobs, @records: borrowed. Return: 0 or -ENOMEM. */
int control_commands_new(sd_event *event, struct jobs *jobs, struct records *records,
                         struct control_commands **ret);

/* Answers open questions to the history, closes the socket, and frees it. */
struct control_commands *control_commands_free(struct control_commands *commands);

/**
 * control_commands_configure() - open the control socket of a configuration
 * @config: borrowed until the next one
 *
 * Leaves an open socket alone when its path and group stay the same.
 *
 * Return: 0, or the negative errno of a socket that could not be opened, which was logged.
 */
int control_commands_configure(struct control_commands *commands, const struct options *config);

struct jobs_observer control_commands_observer(struct control_commands *commands);
