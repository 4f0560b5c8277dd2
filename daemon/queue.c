/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/queue.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/strv.h"
#include "daemon/worker.h"
#include "report/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct queue {
        sd_event *event;
        struct queue_observer observer;
        sd_event_source *turn; /* begins the next task from the loop, not from a callback */
        struct worker *worker;
        struct task *running;
        struct json_object *result;          /* of the running one */
        struct task *waiting[QUEUE_MAX + 1]; /* one more place, for a request to resume guests */
        size_t n_waiting;
        uint64_t last_id;
        bool is_stopped;
};

static struct task *free_task(struct task *task)
{
        if (task)
                request_deinit(&task->request);
        free(task);
        return NULL;
}

static void wake_turn(struct queue *queue)
{
        (void)sd_event_source_set_enabled(queue->turn, SD_EVENT_ONESHOT);
}

/* Calls the owner, which may add another task meanwhile, and frees the task. */
static void end_task(struct queue *queue, struct task *task, struct json_object *result,
                     const struct failure *failure)
{
        queue->observer.ended(queue->observer.context, task, result, failure);
        free_task(task);
}

/* A waiting task does not wait for a second look. */
static void hurry_task(struct queue *queue)
{
        if (queue->n_waiting > 0 && queue->running && queue->running->recheck_in_seconds > 0)
                worker_hurry(queue->worker);
}

static void on_worker_event(void *context, const char *event, struct json_object *data)
{
        struct queue *queue = context;
        struct task *task = queue->running;

        if (strcmp(event, EVENT_REPORT) == 0) {
                queue->result = json_object_get(data);
        } else if (strcmp(event, EVENT_PROGRESS) == 0) {
                task->done_bytes = (uint64_t)json_get_int(data, "done_bytes", 0);
                task->total_bytes = (uint64_t)json_get_int(data, "total_bytes", 0);
                task->recheck_in_seconds = (uint64_t)json_get_int(data, "recheck_in_seconds", 0);
                if (queue->observer.progress)
                        queue->observer.progress(queue->observer.context, task);
                hurry_task(queue);
        }
}

static void on_worker_end(void *context, const struct failure *failure)
{
        struct queue *queue = context;
        struct task *task = queue->running;
        struct json_object *result = queue->result;

        queue->worker = worker_free(queue->worker);
        queue->running = NULL;
        queue->result = NULL;
        end_task(queue, task, result, failure);
        json_object_put(result);
        wake_turn(queue);
}

static int start_task(struct queue *queue, struct failure *failure)
{
        const struct worker_observer observer = {on_worker_event, on_worker_end, queue};
        char **arguments = NULL;
        int r = queue->observer.arguments(queue->observer.context, queue->running, &arguments, failure);

        if (r < 0)
                return r;
        queue->running->begun_usec = clock_now_usec();
        r = worker_start(queue->event, arguments, &observer, &queue->worker, failure);
        strv_free(arguments);
        return r;
}

static struct task *take_out(struct queue *queue, size_t index)
{
        struct task *task = queue->waiting[index];

        queue->n_waiting--;
        for (size_t i = index; i < queue->n_waiting; i++)
                queue->waiting[i] = queue->waiting[i + 1];
        return task;
}

static int on_turn(sd_event_source *source, void *context)
{
        struct queue *queue = context;
        struct failure failure = {0};
        struct task *task = NULL;

        (void)source;
        if (queue->running || queue->n_waiting == 0)
                return 0;
        task = take_out(queue, 0);
        queue->running = task;
        if (start_task(queue, &failure) < 0) {
                queue->running = NULL;
                end_task(queue, task, NULL, &failure);
                wake_turn(queue);
        } else if (queue->observer.begun) {
                queue->observer.begun(queue->observer.context, task);
        }
        return 0;
}

int queue_new(sd_event *event, const struct queue_observer *observer, struct queue **ret)
{
        struct queue *queue = calloc(1, sizeof(*queue));
        int r = 0;

        if (!queue)
                return -ENOMEM;
        queue->observer = *observer;
        queue->event = sd_event_ref(event);
        r = sd_event_add_defer(event, &queue->turn, on_turn, queue);
        if (r >= 0)
                r = sd_event_source_set_enabled(queue->turn, SD_EVENT_OFF);
        if (r < 0) {
                queue_free(queue);
                return r;
        }
        *ret = queue;
        return 0;
}

struct queue *queue_free(struct queue *queue)
{
        if (!queue)
                return NULL;
        worker_free(queue->worker);
        json_object_put(queue->result);
        free_task(queue->running);
        for (size_t i = 0; i < queue->n_waiting; i++)
                free_task(queue->waiting[i]);
        sd_event_source_disable_unref(queue->turn);
        sd_event_unref(queue->event);
        free(queue);
        return NULL;
}

static int check_room(const struct queue *queue, enum request_kind kind, struct failure *failure)
{
        if (queue->is_stopped)
                return failure_set(failure, -EBUSY, "the service is ending");
        if (kind != REQUEST_RESUME && queue->n_waiting >= QUEUE_MAX)
                return failure_set(failure, -EBUSY, "%d requests are waiting already", QUEUE_MAX);
        return 0;
}

/* A request to resume guests goes before everything else. */
static void put_in(struct queue *queue, struct task *task)
{
        size_t at = queue->n_waiting++;

        for (; task->request.kind == REQUEST_RESUME && at > 0; at--)
                queue->waiting[at] = queue->waiting[at - 1];
        queue->waiting[at] = task;
}

int queue_add(struct queue *queue, struct request *request, void *context, uint64_t *ret_id,
              struct failure *failure)
{
        struct task *task = calloc(1, sizeof(*task));
        int r = check_room(queue, request->kind, failure);

        if (r == 0 && !task)
                r = failure_errno(failure, -ENOMEM, "cannot take the request");
        /* A request to resume guests stands first in the queue, and one is enough. */
        if (r < 0 || !task ||
            (request->kind == REQUEST_RESUME && queue->n_waiting > 0 &&
             queue->waiting[0]->request.kind == REQUEST_RESUME)) {
                request_deinit(request);
                free(task);
                return r;
        }
        *task = (struct task){.id = ++queue->last_id, .request = *request, .context = context};
        *request = (struct request){0};
        put_in(queue, task);
        if (ret_id)
                *ret_id = task->id;
        hurry_task(queue);
        wake_turn(queue);
        return 0;
}

static void cancel_waiting(struct queue *queue, size_t index)
{
        const struct failure failure = {"it was cancelled"};
        struct task *task = take_out(queue, index);

        task->is_cancelled = true;
        end_task(queue, task, NULL, &failure);
}

static void cancel_running(struct queue *queue)
{
        queue->running->is_cancelled = true;
        worker_cancel(queue->worker);
}

int queue_cancel(struct queue *queue, uint64_t id)
{
        if (queue->running && queue->running->id == id && queue->running->request.kind != REQUEST_RESUME) {
                cancel_running(queue);
                return 0;
        }
        for (size_t i = 0; i < queue->n_waiting; i++)
                if (queue->waiting[i]->id == id && queue->waiting[i]->request.kind != REQUEST_RESUME) {
                        cancel_waiting(queue, i);
                        return 0;
                }
        return -ENOENT;
}

void queue_stop(struct queue *queue)
{
        queue->is_stopped = true;
        while (queue->n_waiting > 0)
                cancel_waiting(queue, 0);
        if (queue->running)
                cancel_running(queue);
}

const struct task *queue_running(const struct queue *queue)
{
        return queue->running;
}

size_t queue_waiting(const struct queue *queue, const struct task *ret_tasks[QUEUE_MAX + 1])
{
        for (size_t i = 0; i < queue->n_waiting; i++)
                ret_tasks[i] = queue->waiting[i];
        return queue->n_waiting;
}
