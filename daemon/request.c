/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/request.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strv.h"
#include "daemon/virt_uri.h"

#include <assert.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECONDS_SUFFIX "_seconds"
/* Upper limit of a request's durations. */
#define SECONDS_MOST 1e6
/* QEMU's and libvirt's names are far shorter. */
#define NAME_MAX_BYTES 4096

const char *request_kind_to_string(enum request_kind kind)
{
        static const char *const names[] = {
                [REQUEST_SCAN] = "scan",
                [REQUEST_GUESTS] = "guests",
                [REQUEST_RESUME] = "resume",
        };

        static_assert(ARRAY_SIZE(names) == REQUEST_KIND_COUNT_, "every kind has a name");
        return names[kind];
}

const char *request_origin_to_string(enum request_origin origin)
{
        static const char *const names[] = {
                [REQUEST_BY_SCHEDULE] = "schedule", [REQUEST_BY_CONTROL] = "control",
                [REQUEST_BY_METADATA] = "metadata", [REQUEST_BY_SUSPEND] = "suspend",
                [REQUEST_BY_SERVICE] = "service",
        };

        static_assert(ARRAY_SIZE(names) == REQUEST_ORIGIN_COUNT_, "every origin has a name");
        return names[origin];
}

void request_init(struct request *request, enum request_kind kind, enum request_origin origin,
                  const struct options *config)
{
        *request = (struct request){
                .kind = kind,
                .origin = origin,
                .mode = config->scan.mode,
                .max_pause_usec = config->scan.max_pause_usec,
                .together = config->scan.together,
                .forecast = config->merge_policy >= MERGING_POLICY_ADVISE,
                .recheck_usec = config->scan.recheck_usec,
        };
}

void request_deinit(struct request *request)
{
        patterns_deinit(&request->guests);
        free(request->domain_uuid);
        request->domain_uuid = NULL;
}

int request_add_guest(struct request *request, const char *name)
{
        if (strlen(name) > NAME_MAX_BYTES)
                return -EINVAL;
        for (size_t i = 0; i < request->guests.n; i++)
                if (strcmp(request->guests.words[i], name) == 0)
                        return 0;
        return patterns_add(&request->guests, name, NULL);
}

static int read_guests(struct request *request, struct json_object *value, struct failure *failure)
{
        if (!json_object_is_type(value, json_type_array))
                return failure_set(failure, -EINVAL, "\"guests\" is no list of names");
        for (size_t i = 0; i < json_object_array_length(value); i++) {
                struct json_object *name = json_object_array_get_idx(value, i);
                int r = 0;

                if (!json_object_is_type(name, json_type_string))
                        return failure_set(failure, -EINVAL, "\"guests\" is no list of names");
                r = request_add_guest(request, json_object_get_string(name));
                if (r < 0)
                        return failure_errno(failure, r, "cannot take the names of the guests");
        }
        return 0;
}

/* The row of a key that a request may have. */
static const struct option_row *find_row(const char *key, size_t length)
{
        for (const struct option_row *row = options_table; row->type; row++)
                if (row->flags & OPTION_ON_REQUEST && strlen(row->key) == length &&
                    strncmp(row->key, key, length) == 0)
                        return row;
        return NULL;
}

/* A value in the form a file has; the caller frees it. NULL for one of the wrong type. */
static char *text_of(struct json_object *value, bool is_bool, bool in_seconds)
{
        const bool is_number =
                json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int);
        const double seconds = in_seconds && is_number ? json_object_get_double(value) : -1;
        char *text = NULL;

        /* Written so that NaN counts as no number. */
        if (seconds >= 0 && seconds <= SECONDS_MOST)
                return asprintf(&text, "%.0fus", seconds * USEC_PER_SEC) < 0 ? NULL : text;
        if (in_seconds || !json_object_is_type(value, is_bool ? json_type_boolean : json_type_string))
                return NULL;
        if (is_bool)
                return strdup(json_object_get_boolean(value) ? "yes" : "no");
        return strdup(json_object_get_string(value));
}

/* Finds a value by the row's key. A duration may also be a number, under the key with "_seconds" appended. */
static int read_option(struct options *wish, const char *key, struct json_object *value,
                       struct failure *failure)
{
        const size_t length = strlen(key);
        const size_t suffix = strlen(SECONDS_SUFFIX);
        const bool in_seconds = length > suffix && strcmp(key + length - suffix, SECONDS_SUFFIX) == 0;
        const struct option_row *row = find_row(key, in_seconds ? length - suffix : length);
        CLEANUP_FREE char *text = NULL;
        struct failure reason = {0};

        if (!row || (in_seconds && row->type != &option_type_duration))
                return failure_set(failure, -EINVAL, "\"%s\" is no argument of this command", key);
        text = text_of(value, row->type == &option_type_bool, in_seconds);
        if (!text)
                return failure_set(failure, -EINVAL, "\"%s\" is not %s", key,
                                   in_seconds                       ? "a number of seconds"
                                   : row->type == &option_type_bool ? "true or false"
                                                                    : row->type->description);
        if (options_set_key(wish, row, NULL, text, &reason) < 0)
                return failure_set(failure, -EINVAL, "\"%s\": %s", key, reason.text);
        return 0;
}

int request_read(struct request *request, struct json_object *arguments, struct failure *failure)
{
        struct options wish = {
                .scan = {.mode = request->mode,
                         .max_pause_usec = request->max_pause_usec,
                         .together = request->together,
                         .recheck_usec = request->recheck_usec},
                .merging.forecast = request->forecast,
        };

        if (!arguments)
                return 0;
        json_object_object_foreach(arguments, key, value)
        {
                int r = strcmp(key, "guests") == 0 ? read_guests(request, value, failure)
                                                   : read_option(&wish, key, value, failure);

                if (r < 0)
                        return r;
        }
        if (wish.scan.max_pause_usec > request->max_pause_usec)
                return failure_set(failure, -EINVAL,
                                   "a pause of %.3f s is longer than the configuration allows (%.3f s)",
                                   (double)wish.scan.max_pause_usec / USEC_PER_SEC,
                                   (double)request->max_pause_usec / USEC_PER_SEC);
        request->mode = wish.scan.mode;
        request->max_pause_usec = wish.scan.max_pause_usec;
        request->together = wish.scan.together;
        request->recheck_usec = wish.scan.recheck_usec;
        request->forecast = wish.merging.forecast;
        return 0;
}

/* A pattern that matches this name only. */
static void add_literally(struct strv *strv, const char *name)
{
        CLEANUP_FREE char *escaped = calloc(2, strlen(name) + 1);
        char *to = escaped;

        if (!escaped) {
                strv->error = -ENOMEM;
                return;
        }
        for (; *name; name++) {
                if (strchr("\\*?[", *name))
                        *to++ = '\\';
                *to++ = *name;
        }
        strv_add(strv, "--exclude=%s", escaped);
}

static void add_sockets(struct strv *strv, const struct options *config)
{
        glob_t found = {0};
        int flags = GLOB_NOSORT;

        for (size_t i = 0; i < config->guests.qmp_sockets.n; i++) {
                (void)glob(config->guests.qmp_sockets.words[i], flags, NULL, &found);
                flags |= GLOB_APPEND;
        }
        for (size_t i = 0; i < found.gl_pathc && i < GUEST_CHOICE_MAX; i++) {
                bool is_twice = false;

                for (size_t j = 0; j < i && !is_twice; j++)
                        is_twice = strcmp(found.gl_pathv[i], found.gl_pathv[j]) == 0;
                if (!is_twice)
                        strv_add(strv, "--qmp=%s", found.gl_pathv[i]);
        }
        globfree(&found);
}

int request_arguments(const struct request *request, const struct options *config, bool libvirt_has_answered,
                      const struct patterns *skip, char ***ret)
{
        static const unsigned int commands[] = {
                [REQUEST_SCAN] = OPTION_FOR_SCAN,
                [REQUEST_GUESTS] = OPTION_FOR_GUESTS,
                [REQUEST_RESUME] = OPTION_FOR_RESUME,
        };
        const char *uri =
                virt_uri_find(config->guests.libvirt_uri, "", libvirt_has_answered && request->guests.n == 0);
        CLEANUP_FREE char *uri_copy = uri ? strdup(uri) : NULL;
        /* A forecast for some guests would leave out what the others share with them. */
        const bool forecasts = request->forecast && request->guests.n == 0;
        struct options child = *config; /* nothing of it is freed */
        struct strv strv = {.error = uri && !uri_copy ? -ENOMEM : 0};

        child.guests.qmp_sockets = (struct patterns){0}; /* they are found below */
        child.guests.libvirt_uri = uri_copy;
        child.guests.libvirt_monitor &= uri != NULL;
        child.guests.names = request->guests;
        child.scan.mode = request->mode;
        child.scan.max_pause_usec = request->max_pause_usec;
        child.scan.together = request->together;
        child.scan.recheck_usec = request->recheck_usec;
        child.merging.forecast = forecasts;
        child.merging.service_pid = forecasts ? getpid() : 0;
        child.control_socket = NULL; /* that is the service itself */
        child.stale = true;
        child.events = true;
        strv_add(&strv, "samepage");
        strv_add(&strv, "%s", request->acts ? "tune" : request_kind_to_string(request->kind));
        options_write(&child, request->acts ? OPTION_FOR_TUNE : commands[request->kind], &strv);
        if (request->kind != REQUEST_RESUME)
                add_sockets(&strv, config);
        for (size_t i = 0; skip && i < skip->n; i++)
                add_literally(&strv, skip->words[i]);
        return strv_end(&strv, ret);
}
