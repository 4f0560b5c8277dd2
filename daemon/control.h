/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: JSON lines in the shape of QMP. A greeting; {"execute", "arguments", "id"} is answered by
 * {"return", "id"} or {"error": {"class", "desc"}, "id"}; {"event", "data"} may come in between.
 */
#pragma once

#include "base/failure.h"

#include <json-c/json.h>
#include <stddef.h>
#include <systemd/sd-event.h>

/* Connections at a time; the last ones are kept for root, so that no member of the group locks the operator out. */
#define CONTROL_CLIENTS_MAX  64
#define CONTROL_CLIENTS_ROOT 8

enum control_result {
        CONTROL_E_LATER = 1, /* the reply was kept, and will be sent by control_reply_send() */
        CONTROL_E_UNKNOWN,   /* there is no such command */
};

struct control;
/* An answer that is owed to a client, which may be gone by then. */
struct control_reply;

/**
 * struct control_server - who executes commands
 * @execute: one command; @arguments is borrowed, NULL when none were sent. Sets *@ret_value (owned by the caller,
 *           may stay NULL for an empty one), or keeps @reply and returns CONTROL_E_LATER
 */
struct control_server {
        int (*execute)(void *context, const char *command, struct json_object *arguments,
                       struct control_reply *reply, struct json_object **ret_value, struct failure *failure);
        void *context;
};

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

/**
 * control_reply_send() - answer a command that was put off
 * @reply: taken
 * @value: taken; NULL with a @failure
 */
void control_reply_send(struct control_reply *reply, struct json_object *value,
                        const struct failure *failure);
