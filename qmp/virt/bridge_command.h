/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands that a connection to the bridge has. */
#pragma once

#include "qmp/virt/bridge_peer.h"

#include <json-c/json.h>
#include <stdbool.h>

/**
 * bridge_command_execute() - carry out a command, waiting
 * @request: as it came, borrowed
 * @answer: receives "return" or "error"
 *
 * Return: 0, also when the answer is an error; a negative errno when the connection is to end.
 */
int bridge_command_execute(struct bridge_peer *peer, struct json_object *request, struct json_object *answer);

/* Whether the peer's domain says that it is paused. */
bool bridge_command_is_paused(struct bridge_peer *peer);
