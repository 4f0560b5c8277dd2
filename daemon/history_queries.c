/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions to the history. Summing up months of many guests takes seconds, so a child process, samepage(1),
 * reads the file and does it. The event loop and whoever scrapes metrics do not wait.
 */
#include "daemon/history_queries.h"

#include "base/cleanup.h"
#include "base/strv.h"
#include "daemon/worker.h"
#include "history/history.h"
#include "report/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Questions answered at the same time. */
#define QUERIES_MAX 4

struct query {
        struct history_queries *queries;
        struct worker *worker;
        struct control_reply *reply;
        struct json_object *result;
};

struct history_queries {
        sd_event *event;
        struct query *running[QUERIES_MAX];
        size_t n_running;
};

static void on_query_event(void *context, const char *event, struct json_object *data)
{
        struct query *query = context;

        if (strcmp(event, EVENT_REPORT) == 0)
                query->result = json_object_get(data);
}

static void free_query(struct query *query)
{
        worker_free(query->worker);
        json_object_put(query->result);
        free(query);
}

static void on_query_end(void *context, const struct failure *failure)
{
        struct query *query = context;
        struct history_queries *queries = query->queries;

        for (size_t i = 0; i < queries->n_running; i++)
                if (queries->running[i] == query) {
                        queries->running[i] = queries->running[--queries->n_running];
                        break;
                }
        control_reply_send(query->reply, json_object_get(query->result), failure);
        free_query(query);
}

int history_queries_new(sd_event *event, struct history_queries **ret)
{
        struct history_queries *queries = calloc(1, sizeof(*queries));

        if (!queries)
                return -ENOMEM;
        queries->event = event;
        *ret = queries;
        return 0;
}

struct history_queries *history_queries_free(struct history_queries *queries)
{
        while (queries && queries->n_running > 0) {
                struct query *query = queries->running[--queries->n_running];

                control_reply_send(query->reply, NULL, &(struct failure){"the service is ending"});
                free_query(query);
        }
        free(queries);
        return NULL;
}

/* A whole number under @key, if there is one. Return: 1 when there is, 0, or -EINVAL with a sentence. */
static int read_number(struct json_object *arguments, const char *key, int64_t most, int64_t *ret,
                       struct failure *failure)
{
        struct json_object *value = NULL;
        int64_t number = 0;

        if (!json_object_object_get_ex(arguments, key, &value))
                return 0;
        number = json_object_get_int64(value);
        if (!json_object_is_type(value, json_type_int) || number < 0 || number > most)
                return failure_set(failure, -EINVAL, "\"%s\" is no whole number up to %lld", key,
                                   (long long)most);
        *ret = number;
        return 1;
}

/* The last second of the year 9999. */
#define TIME_MOST INT64_C(253402300799)

static int add_time(struct strv *strv, struct json_object *arguments, const char *key,
                    struct failure *failure)
{
        int64_t seconds = 0;
        struct tm utc = {0};
        char text[32] = "";
        int r = read_number(arguments, key, TIME_MOST, &seconds, failure);

        if (r <= 0)
                return r;
        if (gmtime_r(&(time_t){seconds}, &utc))
                (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
        strv_add(strv, "--%s=%s", key, text);
        return 1;
}

static int add_guest(struct strv *strv, struct json_object *arguments, struct failure *failure)
{
        struct json_object *guest = NULL;

        if (!json_object_object_get_ex(arguments, "guest", &guest))
                return 0;
        if (!json_object_is_type(guest, json_type_string))
                return failure_set(failure, -EINVAL, "\"guest\" is no name");
        strv_add(strv, "--guest=%s", json_object_get_string(guest));
        return 1;
}

static int add_limit(struct strv *strv, struct json_object *arguments, struct failure *failure)
{
        int64_t limit = 0;
        int r = read_number(arguments, "limit", HISTORY_MAX_SCANS, &limit, failure);

        if (r > 0 && limit > 0)
                strv_add(strv, "--limit=%lld", (long long)limit);
        return r;
}

/* Return: 0, or -EINVAL with a sentence. */
static int add_arguments(struct strv *strv, struct json_object *arguments, struct failure *failure)
{
        const int known[] = {
                add_guest(strv, arguments, failure),
                add_time(strv, arguments, "since", failure),
                add_time(strv, arguments, "until", failure),
                add_limit(strv, arguments, failure),
        };
        int n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
                if (known[i] < 0)
                        return known[i];
                n += known[i];
        }
        if (arguments && json_object_object_length(arguments) != n)
                return failure_set(failure, -EINVAL, "query-history takes guest, since, until and limit");
        return 0;
}

static int start_query(struct history_queries *queries, char **words, struct control_reply *reply,
                       struct failure *failure)
{
        struct query *query = calloc(1, sizeof(*query));
        const struct worker_observer observer = {on_query_event, on_query_end, query};
        int r = 0;

        if (!query)
                return failure_errno(failure, -ENOMEM, "cannot read the history");
        *query = (struct query){.queries = queries, .reply = reply};
        r = worker_start(queries->event, words, &observer, &query->worker, failure);
        if (r < 0) {
                free_query(query);
                return r;
        }
        queries->running[queries->n_running++] = query;
        return CONTROL_E_LATER;
}

int history_queries_start(struct history_queries *queries, const char *file, struct json_object *arguments,
                          struct control_reply *reply, struct failure *failure)
{
        struct strv strv = {0};
        char **words = NULL;
        int r = 0;

        if (queries->n_running == QUERIES_MAX)
                return failure_set(failure, -EBUSY, "%d questions to the history are being answered already",
                                   QUERIES_MAX);
        strv_add(&strv, "samepage");
        strv_add(&strv, "history");
        strv_add(&strv, "--events");
        strv_add(&strv, "--file=%s", file);
        r = add_arguments(&strv, arguments, failure);
        if (strv_end(&strv, &words) < 0 && r == 0)
                r = failure_errno(failure, -ENOMEM, "cannot read the history");
        if (r == 0)
                r = start_query(queries, words, reply, failure);
        strv_free(words);
        return r;
}
