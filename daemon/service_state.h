/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that the service owns, which one thread does; private to the service_*.c files:
 *
 *      service.c            start, signals, the configuration, the end
 *      service_timers.c     the schedule, and guests that are paused
 *      service_requests.c   what is to be done, from its beginning to its end
 *      service_results.c    what is done with what comes of it
 *      service_commands.c   the commands of the control socket
 *      service_domains.c    requests of libvirt's domains, and their results
 *      service_history.c    questions to the history
 *      service_merge.c      what KSM does, where the policy is to act
 */
#pragma once

#include "base/clock.h"
#include "conf/config.h"
#include "daemon/control.h"
#include "daemon/domains.h"
#include "daemon/queue.h"
#include "daemon/roster.h"
#include "history/history.h"
#include "metrics/metrics.h"
#include "metrics/metrics_server.h"
#include "report/report.h"

#include <systemd/sd-event.h>

struct service_query;
struct service_merge;

/* Questions to the history that are answered at the same time. */
#define SERVICE_QUERIES_MAX 4

struct service {
        sd_event *event;
        const char *config_path;
        bool must_exist;
        struct config *config;
        struct queue *queue;
        struct roster *roster;
        struct domains *domains;   /* NULL without libvirt */
        bool libvirt_answers;      /* the last that was heard of it */
        bool libvirt_has_answered; /* so that its silence is no host without libvirt */
        struct history *history;   /* NULL when none is kept */
        struct metrics *metrics;
        struct metrics_server *metrics_server; /* NULL when there are no metrics */
        struct control *control;               /* NULL when there is no control socket */
        struct service_merge *merge;
        sd_event_source *schedule; /* the next scan */
        sd_event_source *passes;   /* looks how far KSM is */
        sd_event_source *paused;   /* looks how many guests are paused, while some may be */
        struct service_query *queries[SERVICE_QUERIES_MAX];
        size_t n_queries;
        struct json_object *last_report; /* of the last scan that has one, as JSON; may be NULL */
        struct failure skipped;          /* whom the running scan leaves out, for min_gap; empty: nobody */
        bool is_refused;                 /* the running scan is none, for that gap: no failure */
        uint64_t resumed_usec;           /* when left-overs were last looked for */
        bool is_stopping;
};

/* service_timers.c */

/* Starts the timers. */
int service_timers_init(struct service *service);
void service_timers_deinit(struct service *service);
/* Has the schedule begin anew, as after a start or with another interval. */
void service_timers_begin(struct service *service);
/* Counts guests that are paused, now and as long as there are any. */
void service_timers_count_paused(struct service *service);

/* service_requests.c */

/**
 * service_request() - have something done for nobody in particular
 * @request: moved
 */
void service_request(struct service *service, struct request *request);

/* min_gap in whole seconds, as it is told. */
static inline unsigned long long service_gap_seconds(const struct service *service)
{
        return service->config->min_gap_usec / USEC_PER_SEC;
}

/* Has what a dead scan left paused resumed, before anything else is done. */
void service_resume_left_overs(struct service *service);

/* The queue's observer. */
struct queue_observer service_queue_observer(struct service *service);

/* The roster's: a guest's process ended. */
void service_guest_gone(void *context, const char *name);

/**
 * service_check_gap() - refuse a scan that would pause a guest again too soon, where it was asked for by name
 *
 * Return: 0, or -EAGAIN with a sentence.
 */
int service_check_gap(const struct service *service, const struct request *request, struct failure *failure);

/* service_results.c */

/**
 * service_take_result() - take over what came of a request
 * @result: JSON of the process that did it; NULL when there is none, @failure then says why already
 *
 * Return: the result for whoever asked; the caller owns it. NULL with a sentence.
 */
struct json_object *service_take_result(struct service *service, const struct task *task,
                                        struct json_object *result, struct failure *failure);

/* service_domains.c */

/* Begins to watch the libvirt of the configuration, in place of another one. */
int service_domains_open(struct service *service);
/* Whether libvirt answers, as a scan or its watcher has just seen. */
void service_domains_heard(struct service *service, bool answers);
/* A libvirt that does not answer now was removed for good. */
void service_domains_forget(struct service *service);
/* Puts the end of a scan that a domain asked for into its metadata; of other scans, does nothing. */
void service_domains_scanned(struct service *service, const struct task *task, const struct report *report);
void service_domains_failed(struct service *service, const struct task *task, const struct failure *failure);

/* service_merge.c */

int service_merge_init(struct service *service);
void service_merge_deinit(struct service *service);
/* Acts by the configuration, which is new: begins, or ends and puts back what was found. */
void service_merge_begin(struct service *service);
/* Ends, and puts back what was found. */
void service_merge_end(struct service *service);
/* A guest has come, or gone. */
void service_merge_arrived(struct service *service);
/* A scan has ended, with a report or (NULL) without. */
void service_merge_tuned(struct service *service, const struct task *task, const struct report *report);

/* service_history.c */

/* The command query-history; as control_server's execute(). */
int service_history_query(struct service *service, struct json_object *arguments, struct control_reply *reply,
                          struct json_object **ret_value, struct failure *failure);
/* Answers what is still asked. */
void service_history_deinit(struct service *service);

/* service_commands.c */

/* Who executes the commands of the control socket. */
struct control_server service_control_server(struct service *service);

/* A task as JSON. */
struct json_object *service_task_to_json(const struct task *task);

/* service.c */

/* Ends the loop once nothing runs any more. */
void service_end_if_idle(struct service *service);
