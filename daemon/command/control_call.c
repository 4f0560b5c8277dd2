/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/command/control_call.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define ENDED "samepaged ended, or closed the connection"

struct control_call {
        struct wire wire;
        int64_t last_id;
};

static int connect_to(const char *path, uint64_t timeout_usec, int *ret_fd)
{
        const struct timeval timeout = {(time_t)(timeout_usec / USEC_PER_SEC),
                                        (suseconds_t)(timeout_usec % USEC_PER_SEC)};
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        /* A full backlog holds connect() for as long as one may send. */
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
            connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return errno == EAGAIN ? -ETIMEDOUT : -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* The next object; the end of the connection is an error. */
static int next(struct control_call *call, uint64_t deadline_usec, struct json_object **ret,
                struct failure *failure)
{
        int r = wire_next_before(&call->wire, deadline_usec, ret, failure);

        if (r == WIRE_E_END)
                return failure_set(failure, -ECONNRESET, ENDED);
        if (r == -ETIMEDOUT)
                return failure_set(failure, r, "samepaged does not answer");
        return r;
}

/* The sentence of an error; NULL when the object has none. */
static const char *error_of(struct json_object *object)
{
        struct json_object *error = NULL;
        struct json_object *sentence = NULL;

        if (!json_object_object_get_ex(object, "error", &error))
                return NULL;
        if (!json_object_is_type(error, json_type_object) ||
            !json_object_object_get_ex(error, "desc", &sentence))
                return "it failed";
        return json_object_get_string(sentence);
}

static int take_greeting(struct control_call *call, uint64_t deadline_usec, struct failure *failure)
{
        CLEANUP_JSON struct json_object *greeting = NULL;
        const char *error = NULL;
        int r = next(call, deadline_usec, &greeting, failure);

        if (r < 0)
                return r;
        error = error_of(greeting);
        if (error)
                return failure_set(failure, -EACCES, "samepaged refuses: %s", error);
        if (!json_object_object_get_ex(greeting, "samepage", NULL))
                return failure_set(failure, -EBADMSG, "what listens there is no samepaged");
        return 0;
}

int control_call_open(const char *path, uint64_t timeout_usec, struct control_call **ret,
                      struct failure *failure)
{
        struct control_call *call = NULL;
        int fd = -1;
        int r = 0;

        if (!path)
                return failure_set(failure, -ENOENT, "samepaged is not asked: --control none");
        call = calloc(1, sizeof(*call));
        r = call ? connect_to(path, timeout_usec, &fd) : -ENOMEM;
        if (r >= 0)
                r = wire_init(&call->wire, fd, WIRE_LINE_MAX_BYTES);
        if (r < 0) {
                free(call);
                return failure_errno(failure, r, "cannot talk to samepaged at %s", path);
        }
        r = take_greeting(call, clock_now_usec() + timeout_usec, failure);
        if (r < 0) {
                control_call_free(call);
                return r;
        }
        *ret = call;
        return 0;
}

struct control_call *control_call_free(struct control_call *call)
{
        if (!call)
                return NULL;
        wire_deinit(&call->wire);
        free(call);
        return NULL;
}

static int send_command(struct control_call *call, const char *command, struct json_object *arguments,
                        uint64_t deadline_usec, struct failure *failure)
{
        CLEANUP_JSON struct json_object *line = json_new_command(command, arguments, ++call->last_id);
        int r = 0;

        if (!line)
                return failure_errno(failure, -ENOMEM, "cannot ask samepaged");
        r = wire_send_before(&call->wire, line, deadline_usec, failure);
        return r == -EPIPE || r == -ECONNRESET ? failure_set(failure, -ECONNRESET, ENDED) : r;
}

static void tell_event(struct json_object *object,
                       void (*event)(void *context, const char *event, struct json_object *data),
                       void *context)
{
        struct json_object *name = NULL;
        struct json_object *data = NULL;

        if (!event || !json_object_object_get_ex(object, "event", &name) ||
            !json_object_is_type(name, json_type_string))
                return;
        (void)json_object_object_get_ex(object, "data", &data);
        event(context, json_object_get_string(name), data);
}

int control_call_execute(struct control_call *call, const char *command, struct json_object *arguments,
                         uint64_t deadline_usec,
                         void (*event)(void *context, const char *event, struct json_object *data),
                         void *context, struct json_object **ret_value, struct failure *failure)
{
        int r = send_command(call, command, arguments, deadline_usec, failure);

        while (r >= 0) {
                CLEANUP_JSON struct json_object *object = NULL;
                struct json_object *value = NULL;
                const char *error = NULL;

                r = next(call, deadline_usec, &object, failure);
                if (r < 0)
                        break;
                if (!json_is_answer(object, call->last_id)) {
                        tell_event(object, event, context);
                        continue;
                }
                error = error_of(object);
                if (error)
                        return failure_set(failure, -EREMOTEIO, "%s", error);
                if (!json_object_object_get_ex(object, "return", &value))
                        return failure_set(failure, -EBADMSG, "samepaged sent an answer without a value");
                *ret_value = json_object_get(value);
                return 0;
        }
        return r;
}
