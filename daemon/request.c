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

#define MAX_PAUSE_SECONDS   60.0
#define MAX_RECHECK_SECONDS 3600.0
/* QEMU's and libvirt's names are far shorter. */
#define NAME_MAX_BYTES 4096

const char *request_kind_to_string(enum request_kind kind)
{
        static const char *const names[] = {
                [REQUEST_SCAN] = "scan",
                [REQUEST_GUESTS] = "guests",
                [REQUEST_RESUME] = "resume",
        };

        static_assert(ARRAY_SIZE(names) == REQUEST_KIND_MAX_, "every kind has a name");
        return names[kind];
}

const char *request_origin_to_string(enum request_origin origin)
{
        static const char *const names[] = {
                [REQUEST_BY_SCHEDULE] = "schedule", [REQUEST_BY_CONTROL] = "control",
                [REQUEST_BY_METADATA] = "metadata", [REQUEST_BY_SUSPEND] = "suspend",
                [REQUEST_BY_SERVICE] = "service",
        };

        static_assert(ARRAY_SIZE(names) == REQUEST_ORIGIN_MAX_, "every origin has a name");
        return names[origin];
}

void request_init(struct request *request, enum request_kind kind, enum request_origin origin,
                  const struct config *config)
{
        *request = (struct request){
                .kind = kind,
                .origin = origin,
                .mode = config->mode,
                .max_pause_usec = config->max_pause_usec,
                .together = config->together,
                .forecast = config->merge_policy >= MERGING_POLICY_ADVISE,
                .recheck_usec = config->recheck_usec,
        };
}

void request_deinit(struct request *request)
{
        for (size_t i = 0; i < request->guests.n; i++)
                free(request->guests.words[i]);
        free(request->guests.words);
        request->guests = (struct settings_list){0};
        free(request->domain_uuid);
        request->domain_uuid = NULL;
}

int request_add_guest(struct request *request, const char *name)
{
        struct settings_list *guests = &request->guests;
        char **larger = NULL;

        if (guests->n == SETTINGS_MAX_GUESTS)
                return -E2BIG;
        if (*name == '\0' || strlen(name) > NAME_MAX_BYTES)
                return -EINVAL;
        for (size_t i = 0; i < guests->n; i++)
                if (strcmp(guests->words[i], name) == 0)
                        return 0;
        larger = reallocarray(guests->words, guests->n + 1, sizeof(*larger));
        if (!larger)
                return -ENOMEM;
        guests->words = larger;
        guests->words[guests->n] = strdup(name);
        if (!guests->words[guests->n])
                return -ENOMEM;
        guests->n++;
        return 0;
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

static int read_mode(struct request *request, struct json_object *value, struct failure *failure)
{
        for (int mode = 0; mode < SCAN_MODE_MAX_ && json_object_is_type(value, json_type_string); mode++) {
                if (strcmp(json_object_get_string(value), scan_mode_to_string((enum scan_mode)mode)) != 0)
                        continue;
                request->mode = (enum scan_mode)mode;
                return 0;
        }
        return failure_set(failure, -EINVAL, "\"mode\" is none of snapshot, sliced, live");
}

/* Written so that NaN is no number. */
static int read_seconds(struct json_object *value, const char *key, double least, double most,
                        double *ret_seconds, struct failure *failure)
{
        const bool is_number =
                json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int);
        const double seconds = is_number ? json_object_get_double(value) : -1;

        if (!(seconds >= least && seconds <= most))
                return failure_set(failure, -EINVAL, "\"%s\" is no number from %g to %.0f", key, least, most);
        *ret_seconds = seconds;
        return 0;
}

static int read_recheck(struct request *request, struct json_object *value, struct failure *failure)
{
        double seconds = 0;
        int r = read_seconds(value, "recheck_seconds", 0, MAX_RECHECK_SECONDS, &seconds, failure);

        if (r == 0)
                request->recheck_usec = (uint64_t)(seconds * USEC_PER_SEC + 0.5);
        return r;
}

static int read_max_pause(struct request *request, struct json_object *value, struct failure *failure)
{
        uint64_t max_pause_usec = 0;
        double seconds = 0;
        int r = read_seconds(value, "max_pause_seconds", 0.001, MAX_PAUSE_SECONDS, &seconds, failure);

        if (r < 0)
                return r;
        max_pause_usec = (uint64_t)(seconds * USEC_PER_SEC + 0.5);
        if (max_pause_usec > request->max_pause_usec)
                return failure_set(failure, -EINVAL,
                                   "a pause of %.3f s is longer than the configuration allows (%.3f s)",
                                   seconds, (double)request->max_pause_usec / USEC_PER_SEC);
        request->max_pause_usec = max_pause_usec;
        return 0;
}

static int read_together(struct request *request, struct json_object *value, struct failure *failure)
{
        if (!json_object_is_type(value, json_type_boolean))
                return failure_set(failure, -EINVAL, "\"together\" is neither true nor false");
        request->together = json_object_get_boolean(value);
        return 0;
}

static int read_forecast(struct request *request, struct json_object *value, struct failure *failure)
{
        if (!json_object_is_type(value, json_type_boolean))
                return failure_set(failure, -EINVAL, "\"forecast\" is neither true nor false");
        request->forecast = json_object_get_boolean(value);
        return 0;
}

int request_read(struct request *request, struct json_object *arguments, struct failure *failure)
{
        static const struct {
                const char *key;
                int (*read)(struct request *request, struct json_object *value, struct failure *failure);
        } keys[] = {
                {"guests", read_guests},
                {"mode", read_mode},
                {"max_pause_seconds", read_max_pause},
                {"together", read_together},
                {"forecast", read_forecast},
                {"recheck_seconds", read_recheck},
        };

        if (!arguments)
                return 0;
        json_object_object_foreach(arguments, key, value)
        {
                size_t i = 0;
                int r = 0;

                while (i < ARRAY_SIZE(keys) && strcmp(keys[i].key, key) != 0)
                        i++;
                if (i == ARRAY_SIZE(keys))
                        return failure_set(failure, -EINVAL, "\"%s\" is no argument of this command", key);
                r = keys[i].read(request, value, failure);
                if (r < 0)
                        return r;
        }
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

static void add_sockets(struct strv *strv, const struct config *config)
{
        glob_t found = {0};
        int flags = GLOB_NOSORT;

        for (size_t i = 0; i < config->qmp_sockets.n; i++) {
                (void)glob(config->qmp_sockets.words[i], flags, NULL, &found);
                flags |= GLOB_APPEND;
        }
        for (size_t i = 0; i < found.gl_pathc && i < SETTINGS_MAX_GUESTS; i++) {
                bool is_twice = false;

                for (size_t j = 0; j < i && !is_twice; j++)
                        is_twice = strcmp(found.gl_pathv[i], found.gl_pathv[j]) == 0;
                if (!is_twice)
                        strv_add(strv, "--qmp=%s", found.gl_pathv[i]);
        }
        globfree(&found);
}

static void add_guests(struct strv *strv, const struct request *request, const struct config *config,
                       bool libvirt_has_answered, const struct settings_list *skip)
{
        const char *uri =
                virt_uri_find(config->libvirt_uri, "", libvirt_has_answered && request->guests.n == 0);

        add_sockets(strv, config);
        if (uri)
                strv_add(strv, "--libvirt=%s", uri);
        if (uri && config->libvirt_monitor)
                strv_add(strv, "--libvirt-monitor");
        for (size_t i = 0; i < request->guests.n; i++)
                strv_add(strv, "--guest=%s", request->guests.words[i]);
        for (size_t i = 0; i < config->include.n; i++)
                strv_add(strv, "--include=%s", config->include.words[i]);
        for (size_t i = 0; i < config->exclude.n; i++)
                strv_add(strv, "--exclude=%s", config->exclude.words[i]);
        for (size_t i = 0; skip && i < skip->n; i++)
                add_literally(strv, skip->words[i]);
        strv_add(strv, "--timeout=%llu", (unsigned long long)(config->timeout_usec / USEC_PER_SEC));
        strv_add(strv, "--ksm-dir=%s", config->ksm_dir);
        if (config->careful)
                strv_add(strv, "--careful");
        if (config->threads > 0)
                strv_add(strv, "--threads=%u", config->threads);
}

/* As --cpus takes it: numbers, one by one. */
static void add_cpus(struct strv *strv, const cpu_set_t *cpus)
{
        CLEANUP_FREE char *list = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&list, &length);

        if (!out) {
                strv->error = -ENOMEM;
                return;
        }
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
                if (CPU_ISSET(cpu, cpus))
                        (void)fprintf(out, "%s%d", ftell(out) > 0 ? "," : "", cpu);
        if (fclose(out) == 0)
                strv_add(strv, "--cpus=%s", list);
        else
                strv->error = -ENOMEM;
}

/* The groups and what is wanted of merging. */
static void add_merging(struct strv *strv, const struct config *config)
{
        for (size_t i = 0; i < config->groups.n; i++) {
                const struct group *group = &config->groups.groups[i];
                CLEANUP_FREE char *patterns = patterns_format(&group->members);

                if (!patterns)
                        strv->error = -ENOMEM;
                else
                        strv_add(strv, "--group=%s=%s", group->name, patterns);
        }
        if (config->merging.cross_group)
                strv_add(strv, "--cross-group");
        if (config->merging.group)
                strv_add(strv, "--only-group=%s", config->merging.group);
        strv_add(strv, "--ksm-cpu=%u", config->merging.cpu_percent);
        strv_add(strv, "--zero-pages=%s", merging_switch_to_string(config->merging.use_zero_pages));
        strv_add(strv, "--smart-scan=%s", merging_switch_to_string(config->merging.smart_scan));
}

static void add_scan(struct strv *strv, const struct request *request, const struct config *config)
{
        const uint64_t msec = request->max_pause_usec / USEC_PER_MSEC;

        strv_add(strv, "--mode=%s", scan_mode_to_string(request->mode));
        strv_add(strv, "--max-pause=%llu", (unsigned long long)(msec > 0 ? msec : 1));
        if (request->together)
                strv_add(strv, "--together");
        /* A forecast about some guests would leave out what the others share with them. */
        if (request->forecast && request->guests.n == 0) {
                if (!request->acts)
                        strv_add(strv, "--forecast");
                add_merging(strv, config);
                strv_add(strv, "--for-service=%d", (int)getpid());
        }
        /* Less than a second is one: 0 would be none. */
        if (request->recheck_usec > 0)
                strv_add(strv, "--recheck=%llu",
                         (unsigned long long)((request->recheck_usec + USEC_PER_SEC - 1) / USEC_PER_SEC));
        if (config->cpus.chosen)
                add_cpus(strv, &config->cpus.set);
}

int request_arguments(const struct request *request, const struct config *config, bool libvirt_has_answered,
                      const struct settings_list *skip, char ***ret)
{
        struct strv strv = {0};

        strv_add(&strv, "samepage");
        strv_add(&strv, "%s", request->acts ? "tune" : request_kind_to_string(request->kind));
        strv_add(&strv, "--events");
        if (request->kind != REQUEST_RESUME)
                strv_add(&strv, "--control=" SETTINGS_CONTROL_NONE); /* which would be the service itself */
        strv_add(&strv, "--runtime-dir=%s", config->runtime_dir);
        if (request->kind == REQUEST_RESUME) {
                strv_add(&strv, "--stale");
                strv_add(&strv, "--ksm-dir=%s", config->ksm_dir);
        } else {
                add_guests(&strv, request, config, libvirt_has_answered, skip);
        }
        if (request->kind == REQUEST_SCAN)
                add_scan(&strv, request, config);
        return strv_end(&strv, ret);
}
