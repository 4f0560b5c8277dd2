/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the service has done, from a request to its result: one job after the other, each by a process of its
 * own. Whoever wants to know of them observes; nobody is known here.
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
 * @result: JSON for whoever asked; NULL with a @failure
 * @is_refused: it was a scan for which min_gap left nobody: no failure
 * @has_skipped: min_gap left somebody out
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
 * struct jobs_observer - who wants to know; any function may be NULL
 * @begun, @progress: as of the queue
 * @reported: a scan has a report; before anybody is told or anything kept of it, it may be added what is done
 * now
 * @ended: also of a job that never began. May add other jobs
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
 * @guest_list: says whom min_gap spares, and is told of pauses that no report tells of; borrowed
 * @libvirt: is told whether libvirt answered; borrowed
 */
int jobs_new(sd_event *event, struct guest_list *guest_list, struct virt_source *libvirt, struct jobs **ret);

/* Frees it; a process that runs is killed, and nobody is told. */
struct jobs *jobs_free(struct jobs *jobs);

/* Goes by @config from now on; borrowed until another one comes. */
void jobs_configure(struct jobs *jobs, const struct options *config);

/* Tells one more, after those that came before. Return: 0 or -ENOMEM. */
int jobs_observe(struct jobs *jobs, const struct jobs_observer *observer);

/* As queue_add(). */
int jobs_add(struct jobs *jobs, struct request *request, void *context, uint64_t *ret_id,
             struct failure *failure);

/* Has something done for nobody in particular: that it cannot be is logged. @request is moved. */
void jobs_request(struct jobs *jobs, struct request *request);

/* Has what a dead scan left paused resumed, before anything else is done. */
void jobs_resume_left_overs(struct jobs *jobs);

/* When that was asked for last. */
uint64_t jobs_resumed_usec(const struct jobs *jobs);

/* As queue_cancel(), queue_stop(), queue_running() and queue_waiting(). */
int jobs_cancel(struct jobs *jobs, uint64_t id);
void jobs_stop(struct jobs *jobs);
const struct task *jobs_running(const struct jobs *jobs);
size_t jobs_waiting(const struct jobs *jobs, const struct task *ret_tasks[QUEUE_MAX + 1]);

/**
 * jobs_check_gap() - refuse a scan that would pause a guest again too soon, where it was asked for by name
 *
 * Return: 0, or -EAGAIN with a sentence.
 */
int jobs_check_gap(const struct jobs *jobs, const struct request *request, struct failure *failure);
