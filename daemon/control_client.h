/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection of the control socket; private to control.c and control_client.c. */
#pragma once

#include "base/wire.h"
#include "daemon/control_server.h"

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

/* A request names a few guests; hundreds of them fit. */
#define CONTROL_LINE_MAX_BYTES (256U << 10)
/* What may wait to be sent: a report of 1024 guests is about 3 MiB. */
#define CONTROL_OUTPUT_MAX_BYTES (16U << 20)
/* Replies that may be owed to one client. */
#define CONTROL_REPLIES_MAX 16

struct control_client;

/**
 * struct control_client_owner - what a connection works for
 * @server: executes its commands; borrowed
 * @drop: the connection is of no more use: to be freed
 */
struct control_client_owner {
        const struct control_server *server;
        void (*drop)(void *context, struct control_client *client);
        void *context;
};

struct control_client {
        struct control_client_owner owner;
        struct wire wire;
        sd_event_source *io;
        sd_event_source *stall; /* runs while half a line has arrived */
        sd_event_source *doom;  /* drops it in the loop's next turn, when nobody works with it */
        bool has_ended;         /* it sends no more, but may wait for replies */
        bool has_more_lines;    /* there may be some in the buffer that were not looked at yet */
        struct control_reply *replies[CONTROL_REPLIES_MAX];
        size_t n_replies;
};

/**
 * control_client_new() - serve a connection
 * @fd: taken, also on failure
 *
 * Return: 0 or a negative errno.
 */
int control_client_new(const struct control_client_owner *owner, sd_event *event, int fd,
                       struct control_client **ret);

/* Says why somebody is not served, in as far as the socket takes it, and closes @fd. */
void control_client_refuse(int fd, const char *sentence);

struct control_client *control_client_free(struct control_client *client);

/* Sends @object (borrowed) unless the client is behind with reading. */
void control_client_tell(struct control_client *client, struct json_object *object);
