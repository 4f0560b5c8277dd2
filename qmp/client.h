/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client of one QMP socket, with a deadline on every step. */
#pragma once

#include "base/failure.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* How long QEMU may take for each step: some block jobs hold its main loop for seconds. */
#define QMP_CLIENT_TIMEOUT_USEC UINT64_C(5000000)

/* The class of errors whose description is a whole sentence: from what stands before QEMU, not from QEMU. */
#define QMP_CLIENT_SENTENCE_CLASS "LibvirtError"

/* What events have reported since qmp_client_take_events(). */
struct qmp_events {
        bool stop;
        bool resume;
        bool migration;
        bool shutdown;
};

struct qmp_client;

/**
 * qmp_client_connect() - connect to QEMU's socket, take the greeting, negotiate
 * @path: unix socket, of any length
 * @timeout_usec: for each step: connecting, the greeting, every command
 * @ret_client: free with qmp_client_free()
 *
 * It also switches the migration capability "events" on, if QEMU has it.
 *
 * Return: 0; -ENOENT, -ENOTSOCK, -EACCES, -ECONNREFUSED; -ETIMEDOUT, also when another client holds the
 * socket (QEMU serves one, the next waits for ever); -EBADMSG, -EMSGSIZE for garbage; -ECONNRESET; all with a
 * sentence that lacks the guest's name.
 */
int qmp_client_connect(const char *path, uint64_t timeout_usec, struct qmp_client **ret_client,
                       struct failure *failure);

/**
 * qmp_client_new() - the same on a socket that is already connected
 * @fd: taken, also on failure
 */
int qmp_client_new(int fd, uint64_t timeout_usec, struct qmp_client **ret_client, struct failure *failure);

void qmp_client_free(struct qmp_client *client);

/**
 * qmp_client_set_timeout() - set how long each command may take from now on
 *
 * Return: the previous time-out.
 */
uint64_t qmp_client_set_timeout(struct qmp_client *client, uint64_t timeout_usec);

/**
 * qmp_client_execute() - run a command and wait for its reply
 * @arguments: taken, also on failure; may be NULL
 * @ret_reply: receives the value of "return", the caller owns a reference; may be NULL
 *
 * The client notes events that arrive meanwhile and drops replies to other commands.
 *
 * Return: 0; -EREMOTEIO when QEMU answers with an error (the sentence quotes it); -ETIMEDOUT; -ECONNRESET
 * when QEMU closed the connection; -EBADMSG, -EMSGSIZE; another negative errno.
 */
int qmp_client_execute(struct qmp_client *client, const char *command, struct json_object *arguments,
                       struct json_object **ret_reply, struct failure *failure);

/**
 * qmp_client_hmp() - run a command of the human monitor
 * @ret_text: its output; the caller frees it
 */
int qmp_client_hmp(struct qmp_client *client, const char *command_line, char **ret_text,
                   struct failure *failure);

/* Returns what events have reported since the last call, and forgets it. */
struct qmp_events qmp_client_take_events(struct qmp_client *client);

/* The connection's descriptor, borrowed, to lend to the guard. The client must not be used meanwhile. */
int qmp_client_get_fd(const struct qmp_client *client);

/**
 * qmp_client_reclaim() - use the client again after its descriptor was lent
 *
 * The borrower may have read half of a line; the client skips the other half.
 */
void qmp_client_reclaim(struct qmp_client *client);
