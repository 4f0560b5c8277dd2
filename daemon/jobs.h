/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs what the service is asked for, from a request to its result: one job after the other, each in a child
 * process. Observers learn of the jobs; this module knows none of them.
 */
#pragma once

#include "conf/config.h"
#include "daemon/guest_list.h"
#include "daemon/queue.h"
#include "daemon/virt_source.h"
#include "report/report.h"

struct jobs;

/**
 * struct jobs_outcome - how a job ended; everything is borrowed
 * @report: of a scan that has one; NULL otherwise
 * @result: JSON for the client that asked; NULL with a @failure
 * @is_refused: it was a scan for which min_gap left no guest: no failure
 * @has_skipped: min_gap left a guest out
 */
struct jobs_outcome {
        const struct task *task;
        const struct report *report;
        struct json_object *result;
        const struct failure *failure;
        bool is_refused;
        bool has_skipped;
};

/**
 * struct jobs_observer - any function may be NULL
 * @begun, @progress: as of the queue
 * @reported: a scan has a report. Called before others receive it or anything of it is kept; may add to the
 *            report what is done now
 * @ended: also for a job that never began. May add other jobs
 */
struct jobs_observer {
        void (*begun)(void *context, const struct task *task);
        void (*progress)(void *context, const struct task *task);
        void (*reported)(void *context, const struct task *task, struct report *report);
        void (*ended)(void *context, const struct jobs_outcome *outcome);
        void *context;
};

/**
 * jobs_new() - an empty queue
 * @guest_list: says which guests min_gap spares; learns of pauses that no report mentions; borrowed
 * @libvirt: learns whether libvirt answered; borrowed
 */
int jobs_new(sd_event *event, struct guest_list *guest_list, struct virt_source *libvirt, struct jobs **ret);

/* Frees it. Kills a process that runs; no observer is called. */
struct jobs *jobs_free(struct jobs *jobs);

/* Uses @config from now on; borrowed until the next one. */
void jobs_configure(struct jobs *jobs, const struct options *config);

/* Adds an observer, to be called after the earlier ones. Return: 0 or -ENOMEM. */
int jobs_observe(struct jobs *jobs, const struct jobs_observer *observer);

/* As queue_add(). */
int jobs_add(struct jobs *jobs, struct request *request, void *context, uint64_t *ret_id,
             struct failure *failure);

/* Queues a request without a client; logs a failure. @request is moved. */
void jobs_request(struct jobs *jobs, struct request *request);

/* Queues resuming what a dead scan left paused, before everything else. */
void jobs_resume_left_overs(struct jobs *jobs);

/* When jobs_resume_left_overs() was last called. */
uint64_t jobs_resumed_usec(const struct jobs *jobs);

/* As queue_cancel(), queue_stop(), queue_running() and queue_waiting(). */
int jobs_cancel(struct jobs *jobs, uint64_t id);
void jobs_stop(struct jobs *jobs);
const struct task *jobs_running(const struct jobs *jobs);
size_t jobs_waiting(const struct jobs *jobs, const struct task *ret_tasks[QUEUE_MAX + 1]);

/**
 * jobs_check_gap() - refuse a scan that would pause a guest again too soon, if it asks for the guest by name
 *
 * Return: 0, or -EAGAIN with a sentence.
 */
int jobs_check_gap(const struct jobs *jobs, const struct request *request, struct failure *failure);
