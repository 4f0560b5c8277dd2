/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who executes the commands of the control socket, and how it answers. */
#pragma once

#include "base/failure.h"

#include <json-c/json.h>

enum control_result {
        CONTROL_E_LATER = 1, /* the reply was kept, and will be sent by control_reply_send() */
        CONTROL_E_UNKNOWN,   /* there is no such command */
};

/* An answer that is owed to a client, which may be gone by then. */
struct control_reply;

/**
 * struct control_server - who executes commands
 * @execute: one command; @arguments is borrowed, NULL when none were sent. Sets *@ret_value (owned by the
 * caller,
 *           may stay NULL for an empty one), or keeps @reply and returns CONTROL_E_LATER
 */
struct control_server {
        int (*execute)(void *context, const char *command, struct json_object *arguments,
                       struct control_reply *reply, struct json_object **ret_value, struct failure *failure);
        void *context;
};

/**
 * control_reply_send() - answer a command that was put off
 * @reply: taken
 * @value: taken; NULL with a @failure
 */
void control_reply_send(struct control_reply *reply, struct json_object *value,
                        const struct failure *failure);
