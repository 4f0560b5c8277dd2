/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is to be done, one thing after the other: QEMU talks to one client at a time, and two scans at once would only
 * halve each other's speed.
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
 * @arguments: the command line of a task that is about to begin, for strv_free(); or a negative errno with a sentence
 *             when it cannot
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

/* Frees it; a process that runs is killed, and nobody is told. */
struct queue *queue_free(struct queue *queue);

/**
 * queue_add() - have something done
 * @request: moved into the task, also on failure
 * @context: of the task
 * @ret_id: its id; may be NULL
 *
 * It begins in the loop's next turn, when nothing else runs; a scan that waits for its second look takes that at once.
 * REQUEST_RESUME goes before all others, finds room however many wait, and is not done twice in a row.
 *
 * Return: 0; -EBUSY when too many wait; -ENOMEM; with a sentence.
 */
int queue_add(struct queue *queue, struct request *request, void *context, uint64_t *ret_id,
              struct failure *failure);

/* Ends a task that runs, or drops one that waits; the observer is told. Return: 0; -ENOENT, for REQUEST_RESUME too. */
int queue_cancel(struct queue *queue, uint64_t id);

/* The same for all of them; from now on none is taken. */
void queue_stop(struct queue *queue);

/* The task that runs; NULL when none does. */
const struct task *queue_running(const struct queue *queue);

/* Those that wait, in their order. */
size_t queue_waiting(const struct queue *queue, const struct task *ret_tasks[QUEUE_MAX + 1]);
