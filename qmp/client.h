/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client of one QMP socket, with a deadline on every step. */
#pragma once

#include "base/failure.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* How long QEMU may take for each step: its main loop is held for seconds by some block jobs. */
#define QMP_CLIENT_TIMEOUT_USEC UINT64_C(5000000)

/* The class of errors whose description is a whole sentence: what answers is no QEMU, but stands before one. */
#define QMP_CLIENT_SENTENCE_CLASS "LibvirtError"

/* What was told by events since qmp_client_take_events(). */
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
 * Also switches the migration capability "events" on, if QEMU takes it.
 *
 * Return: 0; -ENOENT, -ENOTSOCK, -EACCES, -ECONNREFUSED; -ETIMEDOUT, also when another client holds the
 * socket (QEMU serves one, the next waits for ever); -EBADMSG, -EMSGSIZE for garbage; -ECONNRESET; all with a
 * sentence that lacks the guest's name.
 */
int qmp_client_connect(const char *path, uint64_t timeout_usec, struct qmp_client **ret_client,
                       struct failure *failure);

/**
 * qmp_client_new() - the same on a socket that is connected already
 * @fd: taken, also on failure
 */
int qmp_client_new(int fd, uint64_t timeout_usec, struct qmp_client **ret_client, struct failure *failure);

void qmp_client_free(struct qmp_client *client);

/**
 * qmp_client_set_timeout() - how long each command may take from now on
 *
 * Return: how long it could until now.
 */
uint64_t qmp_client_set_timeout(struct qmp_client *client, uint64_t timeout_usec);

/**
 * qmp_client_execute() - run a command and wait for its reply
 * @arguments: taken, also on failure; may be NULL
 * @ret_reply: receives the value of "return", the caller owns a reference; may be NULL
 *
 * Events that arrive meanwhile are noted, replies to other commands are dropped.
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

/* Hands out what events said since the last call, and forgets it. */
struct qmp_events qmp_client_take_events(struct qmp_client *client);

/* The connection's descriptor, borrowed: to be lent to the guard. Meanwhile the client must not be used. */
int qmp_client_get_fd(const struct qmp_client *client);

/**
 * qmp_client_reclaim() - use the client again after its descriptor was lent
 *
 * Whoever had it may have read half of a line: its other half is skipped.
 */
void qmp_client_reclaim(struct qmp_client *client);
