/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to the history, each answered by a child process. */
#pragma once

#include "base/failure.h"
#include "daemon/control_server.h"

#include <json-c/json.h>
#include <systemd/sd-event.h>

struct history_queries;

int history_queries_new(sd_event *event, struct history_queries **ret);

/* Answers what is still open, and frees it. */
struct history_queries *history_queries_free(struct history_queries *queries);

/**
 * history_queries_start() - the command query-history
 * @file: the history
 * @arguments: of the command; may be NULL
 * @reply: kept until it is answered
 *
 * Return: CONTROL_E_LATER; -EINVAL for wrong arguments; -EBUSY when too many are asked; -ENOMEM; with a
 * sentence.
 */
int history_queries_start(struct history_queries *queries, const char *file, struct json_object *arguments,
                          struct control_reply *reply, struct failure *failure);
