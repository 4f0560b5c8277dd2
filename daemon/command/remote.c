/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/command/remote.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "report/report_json.h"

#include <errno.h>
#include <string.h>

static void free_call(struct control_call **call)
{
        control_call_free(*call);
}

#define CLEANUP_CALL CLEANUP(free_call)

bool remote_is_wanted(const struct options *options)
{
        return options->guests.qmp_sockets.n == 0 && !options->guests.libvirt_uri && options->control_socket;
}

static int open_call(const struct options *options, struct control_call **ret, struct failure *failure)
{
        int r = control_call_open(options->control_socket, options->guests.timeout_usec, ret, failure);

        if (!options->control_socket || (r != -ENOENT && r != -ECONNREFUSED))
                return r;
        return failure_set(
                failure, r,
                "no samepaged runs (nobody listens on %s): start it, or name each guest by its QMP "
                "socket, --qmp SOCKET (a QEMU opens one with -qmp unix:SOCKET,server=on,wait=off)",
                options->control_socket);
}

/* The service decides how guests are read and what is merged. Ignoring such an option would mislead. */
static int refuse_local_options(const struct options *options, struct failure *failure)
{
        for (const struct option_row *row = options_table; row->type; row++)
                if (row->flags & OPTION_SERVICE_DECIDES && options_is_given(options, row))
                        return failure_set(failure, -EINVAL,
                                           "--%s goes with --qmp or --libvirt only: samepaged has it in its "
                                           "configuration",
                                           row->name);
        return 0;
}

/* The service acts as its configuration says, not on request. */
static int refuse_acting(const struct options *options, struct failure *failure)
{
        if (options->merging.acts)
                return failure_set(
                        failure, -EINVAL,
                        "samepaged acts by itself where its configuration says [merge] policy = act; "
                        "ask it for a forecast by --dry-run, or name guests by --qmp or --libvirt");
        if (options->merging.forecast && options->guests.names.n > 0)
                return failure_set(failure, -EINVAL, "a forecast by samepaged is about all its guests");
        return 0;
}

static void add_guests(struct json_object *arguments, const struct options *options)
{
        struct json_object *guests = json_object_new_array();

        for (size_t i = 0; i < options->guests.names.n; i++)
                (void)json_object_array_add(guests, json_object_new_string(options->guests.names.words[i]));
        json_add(arguments, "guests", guests);
}

/* Adds the option by its key. */
static void add_option(struct json_object *arguments, const struct options *options,
                       const struct option_row *row)
{
        CLEANUP_FREE char *text = NULL;

        if (options_print(options, row, 0, &text) <= 0)
                return;
        if (row->word)
                json_add_text(arguments, row->key, text);
        else if (strcmp(text, "yes") == 0)
                json_add_bool(arguments, row->key, true);
}

static struct json_object *scan_arguments(const struct options *options)
{
        struct json_object *arguments = json_object_new_object();

        json_add_bool(arguments, "wait", true);
        add_guests(arguments, options);
        for (const struct option_row *row = options_table; row->type; row++)
                if (row->flags & OPTION_ON_REQUEST && (!row->word || options_is_given(options, row)))
                        add_option(arguments, options, row);
        return arguments;
}

static void on_service_event(void *context, const char *event, struct json_object *data)
{
        const struct job_observer *observer = context;
        int64_t left_seconds = 0;

        if (strcmp(event, "SCAN_PROGRESS") != 0)
                return;
        left_seconds = json_get_int(data, "recheck_in_seconds", 0);
        if (left_seconds > 0 && observer->waiting)
                observer->waiting(observer->context, (uint64_t)left_seconds * USEC_PER_SEC);
        else if (left_seconds <= 0 && observer->progress)
                observer->progress(observer->context, (uint64_t)json_get_int(data, "done_bytes", 0),
                                   (uint64_t)json_get_int(data, "total_bytes", 0));
}

int remote_scan(const struct options *options, const struct job_observer *observer, struct report **ret,
                struct failure *failure)
{
        CLEANUP_CALL struct control_call *call = NULL;
        CLEANUP_JSON struct json_object *report = NULL;
        struct job_observer copy = observer ? *observer : (struct job_observer){0};
        int r = refuse_local_options(options, failure);

        if (r == 0)
                r = refuse_acting(options, failure);
        if (r == 0)
                r = open_call(options, &call, failure);
        if (r == 0)
                r = control_call_execute(call, "scan", scan_arguments(options), USEC_INFINITY,
                                         on_service_event, &copy, &report, failure);
        return r < 0 ? r : report_parse(report, ret, failure);
}

int remote_guests(const struct options *options, struct report **ret, struct failure *failure)
{
        CLEANUP_CALL struct control_call *call = NULL;
        CLEANUP_JSON struct json_object *guests = NULL;
        struct json_object *arguments = NULL;
        int r = refuse_local_options(options, failure);

        if (r == 0)
                r = open_call(options, &call, failure);
        if (r < 0)
                return r;
        arguments = json_object_new_object();
        add_guests(arguments, options);
        /* The request waits for a scan that runs. */
        r = control_call_execute(call, "query-guests", arguments, USEC_INFINITY, NULL, NULL, &guests,
                                 failure);
        return r < 0 ? r : report_parse_guests(guests, ret, failure);
}

static struct json_object *history_arguments(const struct options *options)
{
        struct json_object *arguments = json_object_new_object();

        if (options->guests.names.n > 0)
                json_add_text(arguments, "guest", options->guests.names.words[0]);
        if (options->since > 0)
                json_add_int(arguments, "since", (int64_t)options->since);
        if (options->until > 0)
                json_add_int(arguments, "until", (int64_t)options->until);
        if (options->limit > 0)
                json_add_int(arguments, "limit", options->limit);
        return arguments;
}

int remote_history(const struct options *options, struct json_object **ret, struct failure *failure)
{
        CLEANUP_CALL struct control_call *call = NULL;
        struct json_object *arguments = NULL;
        const uint64_t deadline_usec = clock_now_usec() + 10 * options->guests.timeout_usec;
        int r = open_call(options, &call, failure);

        if (r < 0)
                return r;
        if (!options->scan_id)
                return control_call_execute(call, "query-history", history_arguments(options), deadline_usec,
                                            NULL, NULL, ret, failure);
        arguments = json_object_new_object();
        json_add_text(arguments, "id", options->scan_id);
        return control_call_execute(call, "query-report", arguments, deadline_usec, NULL, NULL, ret, failure);
}
