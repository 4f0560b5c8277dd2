/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A command of samepage(1) that the daemon runs in a process of its own. */
#pragma once

#include "base/failure.h"

#include <json-c/json.h>
#include <systemd/sd-event.h>

struct worker;

/**
 * struct worker_observer - who waits for it
 * @event: called for each event that it prints (see daemon/events.h); @data is borrowed
 * @end: called once, when the process is gone; @failure is empty if it ended with a report. May free the worker.
 */
struct worker_observer {
        void (*event)(void *context, const char *event, struct json_object *data);
        void (*end)(void *context, const struct failure *failure);
        void *context;
};

/**
 * worker_start() - start a process
 * @event: whose loop calls the observer
 * @arguments: NULL-terminated; [0] is "samepage", then a command with --events; borrowed for the call
 * @ret: worker_free() it
 *
 * The process dies with this one.
 *
 * Return: 0, or a negative errno with a sentence.
 */
int worker_start(sd_event *event, char *const arguments[], const struct worker_observer *observer,
                 struct worker **ret, struct failure *failure);

/* Ends it in the middle: its guard resumes what it has paused. The observer's end() says so, soon. */
void worker_cancel(struct worker *worker);

/* Frees it; a process that lives is killed and waited for, and end() is not called. */
struct worker *worker_free(struct worker *worker);
