/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reports made by hand, and a folder for the history that a test may break as it likes. */
#pragma once

#include "base/cleanup.h"
#include "history/history.h"
#include "report/report_json.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MADE_MAX_GUESTS 8
#define MADE_MIB        (INT64_C(1) << 20)

/* A report whose parts live in itself: nothing to free. */
struct made_report {
        struct report report;
        struct report_guest guests[MADE_MAX_GUESTS];
        int64_t gap_by_guest[MADE_MAX_GUESTS];
        char names[MADE_MAX_GUESTS][256];
};

/* Figures that are all different, made from one number. */
static inline struct report_figures made_figures(int64_t base)
{
        return (struct report_figures){
                .ram_bytes = 100 * base,
                .present_bytes = 10 * base,
                .absent_bytes = 90 * base,
                .swapped_bytes = 0,
                .zero_bytes = 2 * base,
                .distinct_bytes = 5 * base,
                .self_sharing_bytes = 3 * base,
                .inter_sharing_bytes = 4 * base,
                .actual_saved_bytes = base,
                .actual_ksm_bytes = base,
                .actual_self_bytes = base,
                .actual_inter_bytes = 0,
                .actual_zero_bytes = 0,
        };
}

static inline void made_report_init(struct made_report *made, const char *id, const char *started)
{
        *made = (struct made_report){
                .report.mode = SCAN_MODE_SNAPSHOT,
                .report.complete = true,
                .report.duration_seconds = 1.5,
                .report.host_memory_bytes = 1024 * MADE_MIB,
                .report.n_reasons = 1,
                .report.reasons[0].reason = GAP_REASON_KSM_OFF,
        };
        (void)snprintf(made->report.id, sizeof(made->report.id), "%s", id);
        (void)snprintf(made->report.started, sizeof(made->report.started), "%s", started);
        (void)snprintf(made->report.host_name, sizeof(made->report.host_name), "host");
        made->report.guests = made->guests;
        made->report.reasons[0].by_guest = made->gap_by_guest;
}

/* A guest whose figures are made_figures(base), with a gap of 6 * base. */
static inline struct report_guest *made_report_add(struct made_report *made, const char *name, int64_t base,
                                                   double pause_seconds)
{
        const size_t n = made->report.n_guests++;
        struct report_guest *guest = &made->guests[n];

        (void)snprintf(made->names[n], sizeof(made->names[n]), "%s", name);
        *guest = (struct report_guest){
                .name = made->names[n],
                .via = REPORT_VIA_QMP,
                .pause_seconds = pause_seconds,
                .pauses = 1,
                .scanned = true,
                .figures = made_figures(base),
        };
        made->gap_by_guest[n] = 6 * base;
        made->report.gap_bytes += 6 * base;
        made->report.reasons[0].bytes += 6 * base;
        return guest;
}

static inline void made_report_add_failed(struct made_report *made, const char *name, const char *error)
{
        struct report_guest *guest = made_report_add(made, name, 0, REPORT_UNKNOWN);

        guest->scanned = false;
        guest->pauses = 0;
        made->report.complete = false;
        (void)failure_set(&guest->error, 0, "%s", error);
}

/* A folder of the test's own, and in it the path of a history. */
struct made_folder {
        char folder[256];
        char path[512];
};

/* In memory where that can be had: thousands of reports are thousands of syncs. */
static inline void made_folder_init(struct made_folder *made)
{
        const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

        (void)snprintf(made->folder, sizeof(made->folder), "%s/samepage-history-XXXXXX", parent);
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(made->folder));
        (void)snprintf(made->path, sizeof(made->path), "%s/history.db", made->folder);
}

/* How many files in the folder have @part in their name and do not end in @but; the last one's path. */
static inline int made_folder_find(const struct made_folder *made, const char *part, const char *but,
                                   char ret_path[1024])
{
        DIR *folder = opendir(made->folder);
        const struct dirent *entry = NULL;
        int n = 0;

        CU_ASSERT_PTR_NOT_NULL(folder);
        if (!folder)
                return -1;
        while ((entry = readdir(folder))) {
                const char *end = strrchr(entry->d_name, '-');

                if (entry->d_name[0] == '.' || !strstr(entry->d_name, part) || (end && strstr(but, end)))
                        continue;
                n++;
                if (ret_path)
                        (void)snprintf(ret_path, 1024, "%s/%s", made->folder, entry->d_name);
        }
        (void)closedir(folder);
        return n;
}

static inline int made_folder_count(const struct made_folder *made, const char *part, char ret_path[1024])
{
        return made_folder_find(made, part, "", ret_path);
}

/* The damaged databases that were set aside, without their logs. */
static inline int made_folder_count_aside(const struct made_folder *made, char ret_path[1024])
{
        return made_folder_find(made, ".corrupt-", "-wal -shm", ret_path);
}

static inline void made_folder_deinit(struct made_folder *made)
{
        char path[1024] = "";

        while (made_folder_count(made, "", path) > 0)
                if (unlink(path) < 0 && rmdir(path) < 0)
                        break;
        CU_ASSERT_EQUAL(rmdir(made->folder), 0);
}

/* The member at a path like "summary/host/zero_bytes/min"; a number is an index. NULL when there is none. */
static inline struct json_object *made_find(struct json_object *json, const char *path)
{
        char copy[256] = "";
        char *rest = copy;
        const char *step = NULL;

        (void)snprintf(copy, sizeof(copy), "%s", path);
        while (json && (step = strsep(&rest, "/"))) {
                struct json_object *next = NULL;

                if (json_object_is_type(json, json_type_array))
                        next = json_object_array_get_idx(json, strtoul(step, NULL, 10));
                else
                        (void)json_object_object_get_ex(json, step, &next);
                json = next;
        }
        return json;
}

static inline int64_t made_number(struct json_object *json, const char *path)
{
        struct json_object *value = made_find(json, path);

        return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : -1;
}

static inline const char *made_text(struct json_object *json, const char *path)
{
        struct json_object *value = made_find(json, path);

        return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "(none)";
}

/* Whether the member is there and null. */
static inline bool made_is_null(struct json_object *json, const char *path)
{
        char parent[256] = "";
        char *slash = NULL;

        (void)snprintf(parent, sizeof(parent), "%s", path);
        slash = strrchr(parent, '/');
        if (!slash)
                return json_object_object_get_ex(json, path, NULL) && !made_find(json, path);
        *slash = '\0';
        return json_object_object_get_ex(made_find(json, parent), slash + 1, NULL) && !made_find(json, path);
}

static inline bool made_is_seconds(struct json_object *json, const char *path, double seconds)
{
        struct json_object *value = made_find(json, path);
        const double difference = json_object_get_double(value) - seconds;

        return json_object_is_type(value, json_type_double) && difference < 1e-6 && difference > -1e-6;
}

/* Adds a report, as the service does. */
static inline int made_keep(struct history *history, const struct report *report, struct failure *failure)
{
        struct json_object *json = report_to_json(report);
        const int r = history_add(history, report, json_object_to_json_string(json), failure);

        json_object_put(json);
        return r;
}

/* Adds a scan of one guest, whose figures are made from @base. */
static inline int made_add(struct history *history, const char *id, const char *started, int64_t base,
                           struct failure *failure)
{
        struct made_report made;

        made_report_init(&made, id, started);
        (void)made_report_add(&made, "web1", base, 0.1);
        made.report.total = made_figures(base);
        return made_keep(history, &made.report, failure);
}

/* How many scans the history has; negative when it cannot be asked. */
static inline int64_t made_count(struct history *history)
{
        struct json_object *json = NULL;
        int64_t n = 0;
        int r = history_query(history, &(struct history_filter){0}, &json, NULL);

        if (r < 0)
                return r;
        n = made_number(json, "summary/scans");
        json_object_put(json);
        return n;
}

static inline struct history *made_open(const char *path, enum history_access access)
{
        struct history *history = NULL;
        struct failure failure = {0};

        CU_ASSERT_EQUAL_FATAL(history_open(path, access, &history, &failure), 0);
        CU_ASSERT_STRING_EQUAL(failure.text, "");
        return history;
}
