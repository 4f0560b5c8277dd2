/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The other end of the control socket: commands to a daemon that runs. */
#pragma once

#include "base/failure.h"

#include <json-c/json.h>
#include <stdint.h>

struct control_call;

/**
 * control_call_open() - connect to a daemon
 * @path: of its control socket; NULL: there is none, -ENOENT
 * @timeout_usec: for connecting and the greeting
 * @ret: control_call_free() it
 *
 * Return: 0; -ENOENT or -ECONNREFUSED when none runs; -EACCES; another negative errno; with a sentence.
 */
int control_call_open(const char *path, uint64_t timeout_usec, struct control_call **ret,
                      struct failure *failure);

struct control_call *control_call_free(struct control_call *call);

/**
 * control_call_execute() - run one command and wait for its answer
 * @arguments: taken, also on failure; may be NULL
 * @deadline_usec: USEC_INFINITY for commands that answer at the end of a scan
 * @event: called for events that come meanwhile; may be NULL
 * @ret_value: what it returned; the caller owns it
 *
 * Return: 0; -EREMOTEIO when the daemon answers with an error, which is the sentence; -ECONNRESET when it
 * ended meanwhile; -ETIMEDOUT; another negative errno.
 */
int control_call_execute(struct control_call *call, const char *command, struct json_object *arguments,
                         uint64_t deadline_usec,
                         void (*event)(void *context, const char *event, struct json_object *data),
                         void *context, struct json_object **ret_value, struct failure *failure);
