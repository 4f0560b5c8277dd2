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
bool remote_is_wanted(const struct settings *settings)
{
        return settings->qmp_sockets.n == 0 && !settings->libvirt_uri &&
               strcmp(settings->control_socket, SETTINGS_CONTROL_NONE) != 0;
}

static int open_call(const struct settings *settings, struct control_call **ret, struct failure *failure)
{
        int r = control_call_open(settings->control_socket, settings->timeout_usec, ret, failure);

        if (r != -ENOENT && r != -ECONNREFUSED)
                return r;
        return failure_set(
                failure, r,
                "no samepaged runs (nobody listens on %s): start it, or name each guest by its QMP "
                "socket, --qmp SOCKET (a QEMU opens one with -qmp unix:SOCKET,server=on,wait=off)",
                settings->control_socket);
}

/* Options that say how to read are the service's business: silently leaving them out would be a lie. */
static int refuse_local_options(const struct settings *settings, struct failure *failure)
{
        const char *option = settings->careful         ? "careful"
                             : settings->threads > 0   ? "threads"
                             : settings->cpus_chosen   ? "cpus"
                             : settings->include.n > 0 ? "include"
                             : settings->exclude.n > 0 ? "exclude"
                                                       : NULL;

        if (!option)
                return 0;
        return failure_set(failure, -EINVAL,
                           "--%s goes with --qmp or --libvirt only: samepaged has it in its configuration",
                           option);
}

/* Acting through the service is the business of its configuration, and so is what is merged with what. */
static int refuse_acting(const struct settings *settings, struct failure *failure)
{
        const char *option = settings->groups.n > 0          ? "group"
                             : settings->merging.cross_group ? "cross-group"
                             : settings->merging.group       ? "only-group"
                                                             : NULL;

        if (option)
                return failure_set(
                        failure, -EINVAL,
                        "--%s goes with --qmp or --libvirt only: samepaged has it in its configuration",
                        option);
        if (settings->acts)
                return failure_set(
                        failure, -EINVAL,
                        "samepaged acts by itself where its configuration says [merge] policy = act; "
                        "ask it for a forecast by --dry-run, or name guests by --qmp or --libvirt");
        if (settings->forecast && settings->guests.n > 0)
                return failure_set(failure, -EINVAL, "a forecast by samepaged is about all its guests");
        return 0;
}

static void add_guests(struct json_object *arguments, const struct settings *settings)
{
        struct json_object *guests = json_object_new_array();

        for (size_t i = 0; i < settings->guests.n; i++)
                (void)json_object_array_add(guests, json_object_new_string(settings->guests.words[i]));
        json_add(arguments, "guests", guests);
}

static struct json_object *scan_arguments(const struct settings *settings)
{
        struct json_object *arguments = json_object_new_object();

        json_add_bool(arguments, "wait", true);
        add_guests(arguments, settings);
        if (settings->mode_chosen)
                json_add_text(arguments, "mode", scan_mode_to_string(settings->mode));
        if (settings->max_pause_chosen)
                json_add_seconds(arguments, "max_pause_seconds",
                                 (double)settings->max_pause_usec / USEC_PER_SEC);
        if (settings->together)
                json_add_bool(arguments, "together", true);
        if (settings->forecast)
                json_add_bool(arguments, "forecast", true);
        if (settings->recheck_chosen)
                json_add_seconds(arguments, "recheck_seconds", (double)settings->recheck_usec / USEC_PER_SEC);
        return arguments;
}

static void on_event(void *context, const char *event, struct json_object *data)
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

int remote_scan(const struct settings *settings, const struct job_observer *observer, struct report **ret,
                struct failure *failure)
{
        CLEANUP_CALL struct control_call *call = NULL;
        CLEANUP_JSON struct json_object *report = NULL;
        struct job_observer copy = observer ? *observer : (struct job_observer){0};
        int r = refuse_local_options(settings, failure);

        if (r == 0)
                r = refuse_acting(settings, failure);
        if (r == 0)
                r = open_call(settings, &call, failure);
        if (r == 0)
                r = control_call_execute(call, "scan", scan_arguments(settings), USEC_INFINITY, on_event,
                                         &copy, &report, failure);
        return r < 0 ? r : report_parse(report, ret, failure);
}

int remote_guests(const struct settings *settings, struct report **ret, struct failure *failure)
{
        CLEANUP_CALL struct control_call *call = NULL;
        CLEANUP_JSON struct json_object *guests = NULL;
        struct json_object *arguments = NULL;
        int r = refuse_local_options(settings, failure);

        if (r == 0)
                r = open_call(settings, &call, failure);
        if (r < 0)
                return r;
        arguments = json_object_new_object();
        add_guests(arguments, settings);
        /* Behind a scan it waits for the end of that. */
        r = control_call_execute(call, "query-guests", arguments, USEC_INFINITY, NULL, NULL, &guests,
                                 failure);
        return r < 0 ? r : report_parse_guests(guests, ret, failure);
}

static struct json_object *history_arguments(const struct settings *settings)
{
        struct json_object *arguments = json_object_new_object();

        if (settings->guests.n > 0)
                json_add_text(arguments, "guest", settings->guests.words[0]);
        if (settings->since > 0)
                json_add_int(arguments, "since", (int64_t)settings->since);
        if (settings->until > 0)
                json_add_int(arguments, "until", (int64_t)settings->until);
        if (settings->limit > 0)
                json_add_int(arguments, "limit", settings->limit);
        return arguments;
}

int remote_history(const struct settings *settings, struct json_object **ret, struct failure *failure)
{
        CLEANUP_CALL struct control_call *call = NULL;
        struct json_object *arguments = NULL;
        const uint64_t deadline_usec = clock_now_usec() + 10 * settings->timeout_usec;
        int r = open_call(settings, &call, failure);

        if (r < 0)
                return r;
        if (!settings->scan_id)
                return control_call_execute(call, "query-history", history_arguments(settings), deadline_usec,
                                            NULL, NULL, ret, failure);
        arguments = json_object_new_object();
        json_add_text(arguments, "id", settings->scan_id);
        return control_call_execute(call, "query-report", arguments, deadline_usec, NULL, NULL, ret, failure);
}
