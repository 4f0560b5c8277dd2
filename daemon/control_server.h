/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What executes the commands of the control socket, and how it answers. */
#pragma once

#include "base/failure.h"

#include <json-c/json.h>

enum control_result {
        CONTROL_E_LATER = 1, /* the reply was kept, and will be sent by control_reply_send() */
        CONTROL_E_UNKNOWN,   /* there is no such command */
};

/* An answer owed to a client, which may be gone by then. */
struct control_reply;

/**
 * struct control_command - what a client asks for; all is borrowed
 * @arguments: NULL when none were sent
 * @reply: may be kept, for control_reply_send()
 */
struct control_command {
        const char *name;
        struct json_object *arguments;
        struct control_reply *reply;
};

/**
 * struct control_server - executes commands
 * @execute: one command. Sets *@ret_value (owned by the caller, may stay NULL for an empty one), or keeps the
 *           reply and returns CONTROL_E_LATER
 */
struct control_server {
        int (*execute)(void *context, const struct control_command *command, struct json_object **ret_value,
                       struct failure *failure);
        void *context;
};

/**
 * control_reply_send() - answer a command whose reply was kept
 * @reply: taken
 * @value: taken; NULL with a @failure
 */
void control_reply_send(struct control_reply *reply, struct json_object *value,
                        const struct failure *failure);
