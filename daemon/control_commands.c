/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/control_commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "base/version.h"
#include "daemon/control.h"
#include "daemon/history_queries.h"
#include "daemon/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct control_commands {
        sd_event *event;
        const struct options *config; /* NULL before the first one */
        struct jobs *jobs;
        struct records *records;
        struct history_queries *queries;
        struct control *control;         /* NULL when there is no control socket */
        struct json_object *last_report; /* of the last scan that has one, as JSON; may be NULL */
};

struct command {
        const char *name;
        int (*execute)(struct control_commands *commands, const struct control_command *command,
                       struct json_object **ret_value, struct failure *failure);
};

static struct json_object *task_to_json(const struct task *task)
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

/* The value of @key in @arguments, which may be NULL; NULL when it is missing. */
static struct json_object *get_argument(struct json_object *arguments, const char *key)
{
        struct json_object *value = NULL;

        if (arguments)
                (void)json_object_object_get_ex(arguments, key, &value);
        return value;
}

static int query_version(struct control_commands *commands, const struct control_command *command,
                         struct json_object **ret_value, struct failure *failure)
{
        int r = take_none(command->arguments, failure);

        (void)commands;
        if (r < 0)
                return r;
        *ret_value = json_object_new_object();
        json_add_text(*ret_value, "version", SAMEPAGE_VERSION);
        return 0;
}

static int query_guests(struct control_commands *commands, const struct control_command *command,
                        struct json_object **ret_value, struct failure *failure)
{
        struct request request;
        int r = 0;

        (void)ret_value;
        request_init(&request, REQUEST_GUESTS, REQUEST_BY_CONTROL, commands->config);
        r = request_read(&request, command->arguments, failure);
        if (r < 0) {
                request_deinit(&request);
                return r;
        }
        r = jobs_add(commands->jobs, &request, command->reply, NULL, failure);
        return r < 0 ? r : CONTROL_E_LATER;
}

/* Takes "wait" out of the arguments. */
static int take_wait(struct json_object *arguments, bool *ret_wait, struct failure *failure)
{
        struct json_object *wait = get_argument(arguments, "wait");

        if (wait && !json_object_is_type(wait, json_type_boolean))
                return failure_set(failure, -EINVAL, "\"wait\" is neither true nor false");
        *ret_wait = wait && json_object_get_boolean(wait);
        if (wait)
                json_object_object_del(arguments, "wait");
        return 0;
}

static int scan_guests(struct control_commands *commands, const struct control_command *command,
                       struct json_object **ret_value, struct failure *failure)
{
        struct request request;
        uint64_t id = 0;
        bool wait = false;
        int r = take_wait(command->arguments, &wait, failure);

        request_init(&request, REQUEST_SCAN, REQUEST_BY_CONTROL, commands->config);
        if (r == 0)
                r = request_read(&request, command->arguments, failure);
        if (r == 0 && request.mode != SCAN_MODE_LIVE)
                r = jobs_check_gap(commands->jobs, &request, failure);
        if (r < 0) {
                request_deinit(&request);
                return r;
        }
        r = jobs_add(commands->jobs, &request, wait ? command->reply : NULL, &id, failure);
        if (r < 0)
                return r;
        if (wait)
                return CONTROL_E_LATER;
        *ret_value = json_object_new_object();
        json_add_int(*ret_value, "id", (int64_t)id);
        return 0;
}

static int cancel_job(struct control_commands *commands, const struct control_command *command,
                      struct json_object **ret_value, struct failure *failure)
{
        struct json_object *id = get_argument(command->arguments, "id");

        (void)ret_value;
        if (!json_object_is_type(id, json_type_int) || json_object_object_length(command->arguments) != 1)
                return failure_set(failure, -EINVAL, "cancel takes the \"id\" of a scan, a number");
        if (jobs_cancel(commands->jobs, (uint64_t)json_object_get_int64(id)) < 0)
                return failure_set(failure, -ENOENT, "no scan of this id runs or waits");
        return 0;
}

static int query_scan(struct control_commands *commands, const struct control_command *command,
                      struct json_object **ret_value, struct failure *failure)
{
        const struct task *tasks[QUEUE_MAX + 1];
        const struct task *running = jobs_running(commands->jobs);
        const size_t n = jobs_waiting(commands->jobs, tasks);
        struct json_object *waiting = NULL;
        int r = take_none(command->arguments, failure);

        if (r < 0)
                return r;
        waiting = json_object_new_array();
        for (size_t i = 0; i < n; i++)
                (void)json_object_array_add(waiting, task_to_json(tasks[i]));
        *ret_value = json_object_new_object();
        json_add(*ret_value, "running", running ? task_to_json(running) : NULL);
        json_add(*ret_value, "waiting", waiting);
        return 0;
}

static int query_report(struct control_commands *commands, const struct control_command *command,
                        struct json_object **ret_value, struct failure *failure)
{
        struct json_object *id = get_argument(command->arguments, "id");

        if (command->arguments && json_object_object_length(command->arguments) != (id ? 1 : 0))
                return failure_set(failure, -EINVAL, "query-report takes the \"id\" of a report, or nothing");
        if (id && !json_object_is_type(id, json_type_string))
                return failure_set(failure, -EINVAL, "the \"id\" of a report is a string");
        if (id && !records_history(commands->records))
                return failure_set(failure, -ENOENT, "no history is kept");
        if (id) {
                int r = history_get(records_history(commands->records), json_object_get_string(id), ret_value,
                                    failure);

                return r <= 0 && *ret_value ? r
                                            : failure_set(failure, -ENOENT, "there is no report of this id");
        }
        if (!commands->last_report)
                return failure_set(failure, -ENOENT, "there has been no scan since the service started");
        *ret_value = json_object_get(commands->last_report);
        return 0;
}

static int query_history(struct control_commands *commands, const struct control_command *command,
                         struct json_object **ret_value, struct failure *failure)
{
        (void)ret_value;
        if (!records_history(commands->records))
                return failure_set(failure, -ENOENT, "no history is kept");
        return history_queries_start(commands->queries, commands->config->history_file, command->arguments,
                                     command->reply, failure);
}

static int query_commands(struct control_commands *commands, const struct control_command *command,
                          struct json_object **ret_value, struct failure *failure);

static const struct command table[] = {
        {"query-version", query_version},
        {"query-commands", query_commands},
        {"query-guests", query_guests},
        {"query-scan", query_scan},
        {"query-report", query_report},
        {"query-history", query_history},
        {"scan", scan_guests},
        {"cancel", cancel_job},
};

static int query_commands(struct control_commands *commands, const struct control_command *command,
                          struct json_object **ret_value, struct failure *failure)
{
        int r = take_none(command->arguments, failure);

        (void)commands;
        if (r < 0)
                return r;
        *ret_value = json_object_new_array();
        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                (void)json_object_array_add(*ret_value, json_object_new_string(table[i].name));
        return 0;
}

static int execute_command(void *context, const struct control_command *command,
                           struct json_object **ret_value, struct failure *failure)
{
        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if (strcmp(table[i].name, command->name) == 0)
                        return table[i].execute(context, command, ret_value, failure);
        return CONTROL_E_UNKNOWN;
}

/* An observer of jobs */

static void send_task_event(const struct control_commands *commands, const char *event,
                            const struct task *task)
{
        if (commands->control && task->request.kind == REQUEST_SCAN)
                control_broadcast(commands->control, event, task_to_json(task));
}

static void commands_on_begun(void *context, const struct task *task)
{
        send_task_event(context, "SCAN_STARTED", task);
}

static void commands_on_progress(void *context, const struct task *task)
{
        send_task_event(context, "SCAN_PROGRESS", task);
}

static void commands_on_ended(void *context, const struct jobs_outcome *outcome)
{
        struct control_commands *commands = context;

        if (outcome->report) {
                json_object_put(commands->last_report);
                commands->last_report = json_object_get(outcome->result);
        }
        send_task_event(commands, "SCAN_ENDED", outcome->task);
        if (outcome->task->context)
                control_reply_send(outcome->task->context, json_object_get(outcome->result),
                                   outcome->failure);
}

struct jobs_observer control_commands_observer(struct control_commands *commands)
{
        return (struct jobs_observer){.begun = commands_on_begun,
                                      .progress = commands_on_progress,
                                      .ended = commands_on_ended,
                                      .context = commands};
}

/* Life */

static int open_control(struct control_commands *commands)
{
        const struct control_server server = {execute_command, commands};
        struct failure failure = {0};
        int r = 0;

        commands->control = control_free(commands->control);
        if (!commands->config->control_socket)
                return 0;
        r = control_new(commands->event, commands->config->control_socket, commands->config->control_group,
                        &server, &commands->control, &failure);
        if (r < 0)
                log_say(LOG_LEVEL_ERROR, "%s", failure.text);
        return r;
}

int control_commands_configure(struct control_commands *commands, const struct options *config)
{
        const struct options *old = commands->config;

        commands->config = config;
        if (old && text_is_same(old->control_socket, config->control_socket) &&
            text_is_same(old->control_group, config->control_group) && commands->control)
                return 0;
        return open_control(commands);
}

int control_commands_new(sd_event *event, struct jobs *jobs, struct records *records,
                         struct control_commands **ret)
{
        struct control_commands *commands = calloc(1, sizeof(*commands));

        if (!commands)
                return -ENOMEM;
        *commands = (struct control_commands){.event = event, .jobs = jobs, .records = records};
        if (history_queries_new(event, &commands->queries) < 0) {
                control_commands_free(commands);
                return -ENOMEM;
        }
        *ret = commands;
        return 0;
}

struct control_commands *control_commands_free(struct control_commands *commands)
{
        if (!commands)
                return NULL;
        history_queries_free(commands->queries);
        control_free(commands->control);
        json_object_put(commands->last_report);
        free(commands);
        return NULL;
}
