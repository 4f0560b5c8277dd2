/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: JSON lines in the shape of QMP. A greeting; then each {"execute", "arguments", "id"}
 * gets {"return", "id"} or {"error": {"class", "desc"}, "id"}; {"event", "data"} may come in between.
 */
#pragma once

#include "base/failure.h"
#include "daemon/control_server.h"

#include <json-c/json.h>
#include <systemd/sd-event.h>

/* Connections at a time; the last ones are root's, so that no member of the group locks the operator out. */
#define CONTROL_CLIENTS_MAX  64
#define CONTROL_CLIENTS_ROOT 8

struct control;

/**
 * control_new() - listen
 * @path: of the socket; one that is left from before is replaced, anything else is not
 * @group: who may connect besides root and this user; if there is no such group, only these
 * @ret: control_free() it
 *
 * Return: 0; -EADDRINUSE when another daemon answers there; another negative errno; with a sentence.
 */
int control_new(sd_event *event, const char *path, const char *group, const struct control_server *server,
                struct control **ret, struct failure *failure);

/* Closes all connections and removes the socket. */
struct control *control_free(struct control *control);

/**
 * control_broadcast() - tell all clients an event
 * @data: taken
 *
 * A client that has not read what it was sent before misses the event.
 */
void control_broadcast(struct control *control, const char *event, struct json_object *data);
