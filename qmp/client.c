/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A blocking QMP client.
 *
 * QEMU serves one client per socket. The kernel accepts a second one, which waits without a word until the
 * first one leaves. A third and a fourth find the backlog full and get EAGAIN, which for a unix socket means
 * "try again", not "in progress". So every step has a deadline, and the sentence for a missing greeting names
 * the usual cause.
 *
 * Replies carry the id of their command. A reply that arrives after its command timed out is dropped by its
 * id, so a time-out does not spoil what follows.
 */
#include "qmp/client.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECT_RETRY_USEC 10000
/* The most events between a command and its reply; a QEMU that sends more is broken, not busy. */
#define LINES_MAX 100000

struct qmp_client {
        struct wire wire;
        uint64_t timeout_usec;
        unsigned int sequence;
        struct qmp_events events;
};

static double to_seconds(uint64_t usec)
{
        return (double)usec / (double)USEC_PER_SEC;
}

static int connect_failure(int error, struct failure *failure)
{
        switch (error) {
        case -ENOENT:
        case -ENOTDIR:
                return failure_set(failure, -ENOENT, "there is no such socket");
        case -ENOTSOCK:
                return failure_set(failure, error, "it is not a socket");
        case -EACCES:
        case -EPERM:
                return failure_set(failure, -EACCES, "no permission to connect to the socket");
        case -ECONNREFUSED:
                return failure_set(failure, error, "nobody listens on the socket: its QEMU has ended");
        case -EPROTOTYPE:
                return failure_set(failure, error, "it is not a stream socket");
        default:
                return failure_errno(failure, error, "cannot connect to the socket");
        }
}

/* An address for a path of any length, by way of its open folder. */
static int make_address(const char *path, int *ret_dir_fd, struct sockaddr_un *ret_address)
{
        const char *slash = strrchr(path, '/');
        CLEANUP_FREE char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
        CLEANUP_CLOSE int dir_fd = -1;
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct stat status;
        int length = 0;

        if (!folder)
                return -ENOMEM;
        dir_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        path = slash ? slash + 1 : path;
        if (fstatat(dir_fd, path, &status, 0) < 0)
                return -errno;
        if (!S_ISSOCK(status.st_mode))
                return -ENOTSOCK;
        length = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir_fd, path);
        if (length < 0 || (size_t)length >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        *ret_address = address;
        *ret_dir_fd = TAKE_FD(dir_fd);
        return 0;
}

static int connect_before(int fd, const struct sockaddr_un *address, uint64_t deadline_usec)
{
        while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
                if (errno == EINTR)
                        continue;
                if (errno != EAGAIN)
                        return -errno;
                if (clock_now_usec() >= deadline_usec)
                        return -ETIMEDOUT;
                (void)usleep(CONNECT_RETRY_USEC);
        }
        return 0;
}

int qmp_client_connect(const char *path, uint64_t timeout_usec, struct qmp_client **ret_client,
                       struct failure *failure)
{
        CLEANUP_CLOSE int dir_fd = -1;
        CLEANUP_CLOSE int fd = -1;
        struct sockaddr_un address;
        int r = make_address(path, &dir_fd, &address);

        if (r < 0)
                return connect_failure(r, failure);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return failure_errno(failure, -errno, "cannot make a socket");
        r = connect_before(fd, &address, clock_now_usec() + timeout_usec);
        if (r == -ETIMEDOUT)
                return failure_set(failure, r,
                                   "the socket took no connection within %.1f s: other clients wait for it, "
                                   "or its QEMU hangs",
                                   to_seconds(timeout_usec));
        if (r < 0)
                return connect_failure(r, failure);
        return qmp_client_new(TAKE_FD(fd), timeout_usec, ret_client, failure);
}

static void note_event(struct qmp_client *client, const char *event)
{
        client->events.stop |= strcmp(event, "STOP") == 0;
        client->events.resume |= strcmp(event, "RESUME") == 0;
        client->events.migration |= strcmp(event, "MIGRATION") == 0;
        client->events.shutdown |= strcmp(event, "SHUTDOWN") == 0;
}

/* The next line of the connection; @step names what it was expected for. */
static int next_line(struct qmp_client *client, uint64_t deadline_usec, const char *step,
                     struct json_object **ret_object, struct failure *failure)
{
        int r = wire_next_before(&client->wire, deadline_usec, ret_object, failure);

        if (r == WIRE_E_END)
                return failure_set(failure, -ECONNRESET, "its QEMU closed the connection before %s", step);
        if (r == -ETIMEDOUT)
                return failure_set(failure, r, "its QEMU did not answer within %.1f s (%s)",
                                   to_seconds(client->timeout_usec), step);
        return r;
}

static int take_greeting(struct qmp_client *client, struct failure *failure)
{
        uint64_t deadline_usec = clock_now_usec() + client->timeout_usec;
        struct json_object *greeting = NULL;
        int r = next_line(client, deadline_usec, "the greeting", &greeting, failure);
        bool is_qmp = false;

        if (r == -ETIMEDOUT)
                return failure_set(
                        failure, r,
                        "no greeting within %.1f s: another client probably holds the socket (QEMU "
                        "serves one at a time), or its QEMU hangs",
                        to_seconds(client->timeout_usec));
        if (r < 0)
                return r;
        is_qmp = json_object_object_get_ex(greeting, "QMP", NULL);
        json_object_put(greeting);
        if (!is_qmp)
                return failure_set(failure, -EBADMSG, "it sent no QMP greeting: not a QMP socket");
        return 0;
}

/* What the reply @object to @command says. */
static int take_reply(struct json_object *object, const char *command, struct json_object **ret_reply,
                      struct failure *failure)
{
        struct json_object *value = NULL;
        const char *class = NULL;
        const char *description = NULL;

        if (json_object_object_get_ex(object, "return", &value)) {
                if (ret_reply)
                        *ret_reply = json_object_get(value);
                return 0;
        }
        if (!json_object_object_get_ex(object, "error", &value) ||
            !json_object_is_type(value, json_type_object))
                return failure_set(failure, -EBADMSG, "the reply to %s is neither a return nor an error",
                                   command);
        class = json_get_text(value, "class");
        description = json_get_text(value, "desc");
        if (class && description && strcmp(class, QMP_CLIENT_SENTENCE_CLASS) == 0)
                return failure_set(failure, -EREMOTEIO, "%s", description);
        return failure_set(failure, -EREMOTEIO, "QEMU refused %s: %s (%s)", command,
                           description ? description : "no reason given", class ? class : "no class given");
}

static int wait_for_reply(struct qmp_client *client, const char *command, unsigned int id,
                          struct json_object **ret_reply, struct failure *failure)
{
        uint64_t deadline_usec = clock_now_usec() + client->timeout_usec;

        for (unsigned int lines = 0; lines < LINES_MAX; lines++) {
                struct json_object *object = NULL;
                const char *event = NULL;
                int r = next_line(client, deadline_usec, command, &object, failure);

                if (r < 0)
                        return r;
                event = json_get_text(object, "event");
                if (event)
                        note_event(client, event);
                if (!event && json_is_answer(object, id)) {
                        r = take_reply(object, command, ret_reply, failure);
                        json_object_put(object);
                        return r;
                }
                json_object_put(object);
        }
        return failure_set(failure, -EBADMSG, "it sent %d lines and no reply to %s", LINES_MAX, command);
}

int qmp_client_execute(struct qmp_client *client, const char *command, struct json_object *arguments,
                       struct json_object **ret_reply, struct failure *failure)
{
        unsigned int id = ++client->sequence;
        struct json_object *object = json_new_command(command, arguments, id);
        int r = 0;

        if (!object)
                return failure_errno(failure, -ENOMEM, "cannot make the command %s", command);
        r = wire_send_before(&client->wire, object, clock_now_usec() + client->timeout_usec, failure);
        json_object_put(object);
        if (r == -EPIPE || r == -ECONNRESET)
                return failure_set(failure, -ECONNRESET, "its QEMU closed the connection before %s", command);
        if (r < 0)
                return r;
        return wait_for_reply(client, command, id, ret_reply, failure);
}

int qmp_client_hmp(struct qmp_client *client, const char *command_line, char **ret_text,
                   struct failure *failure)
{
        struct json_object *arguments = json_object_new_object();
        struct json_object *reply = NULL;
        char *text = NULL;
        int r = 0;

        if (!arguments)
                return failure_errno(failure, -ENOMEM, "cannot make the command %s", command_line);
        json_add_text(arguments, "command-line", command_line);
        r = qmp_client_execute(client, "human-monitor-command", arguments, &reply, failure);
        if (r < 0)
                return r;
        if (json_object_is_type(reply, json_type_string))
                text = strdup(json_object_get_string(reply));
        else
                r = failure_set(failure, -EBADMSG, "the reply to \"%s\" is no text", command_line);
        json_object_put(reply);
        if (r == 0 && !text)
                return failure_errno(failure, -ENOMEM, "cannot keep the reply to \"%s\"", command_line);
        if (r == 0)
                *ret_text = text;
        return r;
}

/* QEMU sends events when a migration begins only on request. A QEMU that cannot send them is no worse off. */
static int enable_migration_events(struct qmp_client *client, struct failure *failure)
{
        struct json_object *arguments =
                json_tokener_parse("{\"capabilities\":[{\"capability\":\"events\",\"state\":true}]}");
        int r = qmp_client_execute(client, "migrate-set-capabilities", arguments, NULL, failure);

        return r == -EREMOTEIO ? 0 : r;
}

int qmp_client_new(int fd, uint64_t timeout_usec, struct qmp_client **ret_client, struct failure *failure)
{
        struct qmp_client *client = calloc(1, sizeof(*client));
        int r = 0;

        if (!client) {
                (void)close(fd);
                return failure_errno(failure, -ENOMEM, "cannot connect");
        }
        client->timeout_usec = timeout_usec;
        r = wire_init(&client->wire, fd, WIRE_LINE_MAX_BYTES);
        if (r < 0)
                (void)failure_errno(failure, r, "cannot use the socket");
        if (r == 0)
                r = take_greeting(client, failure);
        if (r == 0)
                r = qmp_client_execute(client, "qmp_capabilities", NULL, NULL, failure);
        if (r == 0)
                r = enable_migration_events(client, failure);
        if (r < 0) {
                qmp_client_free(client);
                return r;
        }
        *ret_client = client;
        return 0;
}

uint64_t qmp_client_set_timeout(struct qmp_client *client, uint64_t timeout_usec)
{
        const uint64_t before_usec = client->timeout_usec;

        client->timeout_usec = timeout_usec;
        return before_usec;
}

void qmp_client_free(struct qmp_client *client)
{
        if (!client)
                return;
        wire_deinit(&client->wire);
        free(client);
}

struct qmp_events qmp_client_take_events(struct qmp_client *client)
{
        struct qmp_events events = client->events;

        client->events = (struct qmp_events){0};
        return events;
}

int qmp_client_get_fd(const struct qmp_client *client)
{
        return client->wire.fd;
}

void qmp_client_reclaim(struct qmp_client *client)
{
        wire_resync(&client->wire);
}
