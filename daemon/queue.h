/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is to be done, one task after the other. QEMU serves one client at a time, and two scans at once would
 * only halve each other's speed.
 */
#pragma once

#include "base/failure.h"
#include "daemon/request.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

/* Requests that may wait. */
#define QUEUE_MAX 64

/**
 * struct task - one request on its way
 * @id: unique as long as the service runs
 * @context: the owner's
 */
struct task {
        uint64_t id;
        struct request request;
        void *context;
        uint64_t begun_usec; /* 0 while it waits */
        uint64_t done_bytes;
        uint64_t total_bytes;
        uint64_t recheck_in_seconds; /* 0 while it does not wait for its second look */
        bool is_cancelled;
};

/**
 * struct queue_observer - the owner
 * @arguments: the command line of a task that is about to begin, for strv_free(); a negative errno with a
 *             sentence when there is none
 * @begun, @progress: may be NULL
 * @ended: @result is the JSON of its report, or NULL with a @failure; both are borrowed
 */
struct queue_observer {
        int (*arguments)(void *context, const struct task *task, char ***ret, struct failure *failure);
        void (*begun)(void *context, const struct task *task);
        void (*progress)(void *context, const struct task *task);
        void (*ended)(void *context, struct task *task, struct json_object *result,
                      const struct failure *failure);
        void *context;
};

struct queue;

int queue_new(sd_event *event, const struct queue_observer *observer, struct queue **ret);

/* Frees it. Kills a process that runs; the observer is not called. */
struct queue *queue_free(struct queue *queue);

/**
 * queue_add() - add a task
 * @request: moved into the task, also on failure
 * @context: of the task
 * @ret_id: its id; may be NULL
 *
 * The task begins in the loop's next turn, if nothing else runs. A scan that waits for its second look takes
 * it at once then. REQUEST_RESUME goes before all others, has room however many tasks wait, and is not queued
 * twice.
 *
 * Return: 0; -EBUSY when too many wait; -ENOMEM; with a sentence.
 */
int queue_add(struct queue *queue, struct request *request, void *context, uint64_t *ret_id,
              struct failure *failure);

/* Ends a task that runs, or drops one that waits. Return: 0; -ENOENT, also for REQUEST_RESUME. */
int queue_cancel(struct queue *queue, uint64_t id);

/* Does so for all tasks, and takes no more. */
void queue_stop(struct queue *queue);

/* The task that runs; NULL when none does. */
const struct task *queue_running(const struct queue *queue);

/* The tasks that wait, in order. */
size_t queue_waiting(const struct queue *queue, const struct task *ret_tasks[QUEUE_MAX + 1]);
