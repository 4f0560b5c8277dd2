/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon has done in a process of its own: a command of samepage(1), or watching libvirt. */
#pragma once

#include "base/failure.h"

#include <json-c/json.h>
#include <systemd/sd-event.h>

struct worker;

/**
 * struct worker_observer - who waits for it
 * @event: called for each event that it prints (see report/events.h); @data is borrowed
 * @end: called once, when the process is gone; @failure is empty if it ended with a report. May free the
 * worker.
 */
struct worker_observer {
        void (*event)(void *context, const char *event, struct json_object *data);
        void (*end)(void *context, const struct failure *failure);
        void *context;
};

/**
 * worker_start() - start a process
 * @event: whose loop calls the observer
 * @arguments: NULL-terminated; [0] says what to be, see samepaged.c; borrowed for the call
 * @ret: worker_free() it
 *
 * The process dies with this one.
 *
 * Return: 0, or a negative errno with a sentence.
 */
int worker_start(sd_event *event, char *const arguments[], const struct worker_observer *observer,
                 struct worker **ret, struct failure *failure);

/**
 * worker_send() - send it a line on its standard input
 * @line: borrowed
 *
 * Return: 0, also when it is still to be sent; -ENOBUFS when it reads nothing; another negative errno.
 */
int worker_send(struct worker *worker, struct json_object *line);

/* Has a scan that waits for its second look take it at once. */
void worker_hurry(struct worker *worker);

/* Ends it in the middle: its guard resumes what it has paused. The observer's end() says so, soon. */
void worker_cancel(struct worker *worker);

/* Frees it; a process that lives is killed and waited for, and end() is not called. */
struct worker *worker_free(struct worker *worker);
