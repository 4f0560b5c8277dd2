/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of the control socket: samepaged(8) describes them. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/version.h"
#include "daemon/log.h"
#include "daemon/service_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct command {
        const char *name;
        int (*execute)(struct service *service, struct json_object *arguments, struct control_reply *reply,
                       struct json_object **ret_value, struct failure *failure);
};

struct json_object *service_task_to_json(const struct task *task)
{
        struct json_object *json = json_object_new_object();

        json_add_int(json, "id", (int64_t)task->id);
        json_add_text(json, "kind", request_kind_to_string(task->request.kind));
        json_add_text(json, "origin", request_origin_to_string(task->request.origin));
        if (task->request.kind == REQUEST_SCAN)
                json_add_text(json, "mode", scan_mode_to_string(task->request.mode));
        if (task->begun_usec > 0) {
                const double seconds = (double)(clock_now_usec() - task->begun_usec) / USEC_PER_SEC;

                json_add_seconds(json, "running_seconds", seconds);
                json_add_int(json, "done_bytes", (int64_t)task->done_bytes);
                json_add_int(json, "total_bytes", (int64_t)task->total_bytes);
                if (task->recheck_in_seconds > 0)
                        json_add_int(json, "recheck_in_seconds", (int64_t)task->recheck_in_seconds);
        }
        return json;
}

/* Refuses arguments of a command that takes none. */
static int take_none(struct json_object *arguments, struct failure *failure)
{
        if (arguments && json_object_object_length(arguments) > 0)
                return failure_set(failure, -EINVAL, "this command takes no arguments");
        return 0;
}

/* A string or number of @arguments under one of the keys that a command knows. */
static struct json_object *get(struct json_object *arguments, const char *key)
{
        struct json_object *value = NULL;

        if (arguments)
                (void)json_object_object_get_ex(arguments, key, &value);
        return value;
}

static int query_version(struct service *service, struct json_object *arguments, struct control_reply *reply,
                         struct json_object **ret_value, struct failure *failure)
{
        int r = take_none(arguments, failure);

        (void)service;
        (void)reply;
        if (r < 0)
                return r;
        *ret_value = json_object_new_object();
        json_add_text(*ret_value, "version", SAMEPAGE_VERSION);
        return 0;
}

static int query_guests(struct service *service, struct json_object *arguments, struct control_reply *reply,
                        struct json_object **ret_value, struct failure *failure)
{
        struct request request;
        int r = 0;

        (void)ret_value;
        request_init(&request, REQUEST_GUESTS, REQUEST_BY_CONTROL, service->config);
        r = request_read(&request, arguments, failure);
        if (r < 0) {
                request_deinit(&request);
                return r;
        }
        r = queue_add(service->queue, &request, reply, NULL, failure);
        return r < 0 ? r : CONTROL_E_LATER;
}

/* Takes "wait" out of the arguments. */
static int take_wait(struct json_object *arguments, bool *ret_wait, struct failure *failure)
{
        struct json_object *wait = get(arguments, "wait");

        if (wait && !json_object_is_type(wait, json_type_boolean))
                return failure_set(failure, -EINVAL, "\"wait\" is neither true nor false");
        *ret_wait = wait && json_object_get_boolean(wait);
        if (wait)
                json_object_object_del(arguments, "wait");
        return 0;
}

static int scan(struct service *service, struct json_object *arguments, struct control_reply *reply,
                struct json_object **ret_value, struct failure *failure)
{
        struct request request;
        uint64_t id = 0;
        bool wait = false;
        int r = take_wait(arguments, &wait, failure);

        request_init(&request, REQUEST_SCAN, REQUEST_BY_CONTROL, service->config);
        if (r == 0)
                r = request_read(&request, arguments, failure);
        if (r == 0 && request.mode != SCAN_MODE_LIVE)
                r = service_check_gap(service, &request, failure);
        if (r < 0) {
                request_deinit(&request);
                return r;
        }
        r = queue_add(service->queue, &request, wait ? reply : NULL, &id, failure);
        if (r < 0)
                return r;
        if (wait)
                return CONTROL_E_LATER;
        *ret_value = json_object_new_object();
        json_add_int(*ret_value, "id", (int64_t)id);
        return 0;
}

static int cancel(struct service *service, struct json_object *arguments, struct control_reply *reply,
                  struct json_object **ret_value, struct failure *failure)
{
        struct json_object *id = get(arguments, "id");

        (void)reply;
        (void)ret_value;
        if (!json_object_is_type(id, json_type_int) || json_object_object_length(arguments) != 1)
                return failure_set(failure, -EINVAL, "cancel takes the \"id\" of a scan, a number");
        if (queue_cancel(service->queue, (uint64_t)json_object_get_int64(id)) < 0)
                return failure_set(failure, -ENOENT, "no scan of this id runs or waits");
        return 0;
}

static int query_scan(struct service *service, struct json_object *arguments, struct control_reply *reply,
                      struct json_object **ret_value, struct failure *failure)
{
        const struct task *tasks[QUEUE_MAX + 1];
        const struct task *running = queue_running(service->queue);
        const size_t n = queue_waiting(service->queue, tasks);
        struct json_object *waiting = NULL;
        int r = take_none(arguments, failure);

        (void)reply;
        if (r < 0)
                return r;
        waiting = json_object_new_array();
        for (size_t i = 0; i < n; i++)
                (void)json_object_array_add(waiting, service_task_to_json(tasks[i]));
        *ret_value = json_object_new_object();
        json_add(*ret_value, "running", running ? service_task_to_json(running) : NULL);
        json_add(*ret_value, "waiting", waiting);
        return 0;
}

static int query_report(struct service *service, struct json_object *arguments, struct control_reply *reply,
                        struct json_object **ret_value, struct failure *failure)
{
        struct json_object *id = get(arguments, "id");

        (void)reply;
        if (arguments && json_object_object_length(arguments) != (id ? 1 : 0))
                return failure_set(failure, -EINVAL, "query-report takes the \"id\" of a report, or nothing");
        if (id && !json_object_is_type(id, json_type_string))
                return failure_set(failure, -EINVAL, "the \"id\" of a report is a string");
        if (id && !service->history)
                return failure_set(failure, -ENOENT, "no history is kept");
        if (id) {
                int r = history_get(service->history, json_object_get_string(id), ret_value, failure);

                return r <= 0 && *ret_value ? r
                                            : failure_set(failure, -ENOENT, "there is no report of this id");
        }
        if (!service->last_report)
                return failure_set(failure, -ENOENT, "there has been no scan since the service started");
        *ret_value = json_object_get(service->last_report);
        return 0;
}

static int query_commands(struct service *service, struct json_object *arguments, struct control_reply *reply,
                          struct json_object **ret_value, struct failure *failure);

static const struct command commands[] = {
        {"query-version", query_version},
        {"query-commands", query_commands},
        {"query-guests", query_guests},
        {"query-scan", query_scan},
        {"query-report", query_report},
        {"query-history", service_history_query},
        {"scan", scan},
        {"cancel", cancel},
};

static int query_commands(struct service *service, struct json_object *arguments, struct control_reply *reply,
                          struct json_object **ret_value, struct failure *failure)
{
        int r = take_none(arguments, failure);

        (void)service;
        (void)reply;
        if (r < 0)
                return r;
        *ret_value = json_object_new_array();
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                (void)json_object_array_add(*ret_value, json_object_new_string(commands[i].name));
        return 0;
}

static int execute(void *context, const char *command, struct json_object *arguments,
                   struct control_reply *reply, struct json_object **ret_value, struct failure *failure)
{
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                if (strcmp(commands[i].name, command) == 0)
                        return commands[i].execute(context, arguments, reply, ret_value, failure);
        return CONTROL_E_UNKNOWN;
}

struct control_server service_control_server(struct service *service)
{
        return (struct control_server){execute, service};
}
