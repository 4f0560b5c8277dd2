/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/report_merge.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"
#include "report/report.h"
#include "report/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One size of a printf() argument list. */
#define SIZE(bytes) table_format_bytes((bytes), (char[TABLE_SIZE_BYTES]){""})

struct report_merge *report_merge_new(size_t n_guests)
{
        struct report_merge *merge = calloc(1, sizeof(*merge));

        if (!merge)
                return NULL;
        merge->n_guests = n_guests;
        merge->reached_bytes = REPORT_UNKNOWN;
        merge->guests = calloc(n_guests + 1, sizeof(*merge->guests));
        return merge->guests ? merge : report_merge_free(merge);
}

struct report_merge *report_merge_free(struct report_merge *merge)
{
        if (!merge)
                return NULL;
        free(merge->group);
        free(merge->guests);
        free(merge);
        return NULL;
}

/* The whole numbers, in JSON by these names. */
static const struct {
        const char *key;
        size_t offset;
} numbers[] = {
        {"self_bytes", offsetof(struct report_merge, self_bytes)},
        {"inter_bytes", offsetof(struct report_merge, inter_bytes)},
        {"zero_bytes", offsetof(struct report_merge, zero_bytes)},
        {"scanned_bytes", offsetof(struct report_merge, scanned_bytes)},
        {"bookkeeping_bytes", offsetof(struct report_merge, bookkeeping_bytes)},
        {"net_bytes", offsetof(struct report_merge, net_bytes)},
        {"isolation_bytes", offsetof(struct report_merge, isolation_bytes)},
        {"mergeable_bytes", offsetof(struct report_merge, mergeable_bytes)},
        {"sharable_bytes", offsetof(struct report_merge, sharable_bytes)},
        {"huge_pages", offsetof(struct report_merge, huge_pages)},
        {"reached_bytes", offsetof(struct report_merge, reached_bytes)},
};

static int64_t *number_at(const struct report_merge *merge, size_t i)
{
        return (int64_t *)(void *)((char *)(uintptr_t)merge + numbers[i].offset);
}

static struct json_object *guest_to_json(const char *name, const struct report_merge_guest *from)
{
        struct json_object *guest = json_object_new_object();

        json_add_text(guest, "name", name);
        json_add_bool(guest, "scanned", from->is_known);
        json_add_bool(guest, "chosen", from->is_chosen);
        json_add_bool(guest, "left_out", from->left_out);
        json_add(guest, "saved_bytes", json_object_new_int64(from->saved_bytes));
        json_add(guest, "net_bytes", json_object_new_int64(from->net_bytes));
        json_add_text(guest, "change", plan_change_to_string(from->change));
        json_add_bool(guest, "done", from->is_done);
        json_add_text(guest, "error", from->failure.text);
        return guest;
}

static struct json_object *settings_to_json(const struct apply_settings *settings)
{
        struct json_object *object = json_object_new_object();

        for (size_t i = 0; i < settings->n; i++)
                json_add_text(object, settings->settings[i].name, settings->settings[i].value);
        return object;
}

struct json_object *report_merge_to_json(const struct report *report)
{
        const struct report_merge *merge = report->merge;
        struct json_object *object = NULL;
        struct json_object *guests = NULL;

        if (!merge)
                return NULL;
        object = json_object_new_object();
        guests = json_object_new_array();
        json_add_bool(object, "worthwhile", merge->merges);
        json_add_text(object, "group", merge->group);
        json_add_bool(object, "cross_group", merge->cross_group);
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                json_add(object, numbers[i].key,
                         *number_at(merge, i) == REPORT_UNKNOWN
                                 ? NULL
                                 : json_object_new_int64(*number_at(merge, i)));
        json_add(object, "converge_seconds", json_object_new_double(merge->cost.seconds));
        json_add(object, "converge_cpu_seconds", json_object_new_double(merge->cost.cpu_seconds));
        json_add(object, "cpu_seconds_per_hour", json_object_new_double(merge->cost.cpu_seconds_per_hour));
        json_add(object, "settings", settings_to_json(&merge->settings));
        json_add_bool(object, "acted", merge->acts);
        json_add_bool(object, "done", merge->is_done);
        json_add_text(object, "refusal", merge->refusal.text);
        json_add_bool(object, "refusal_may_pass", merge->may_pass);
        for (size_t i = 0; i < merge->n_guests; i++)
                (void)json_object_array_add(guests, guest_to_json(report->guests[i].name, &merge->guests[i]));
        json_add(object, "guests", guests);
        return object;
}

static double get_seconds(struct json_object *object, const char *key)
{
        struct json_object *value = json_get(object, key, json_type_double);

        return value ? json_object_get_double(value) : 0;
}

static void get_sentence(struct json_object *object, const char *key, struct failure *failure)
{
        const char *text = json_get_text(object, key);

        if (!text)
                return;
        (void)failure_set(failure, 0, "%s", text);
        text_make_printable(failure->text);
}

static enum plan_change change_of_name(const char *name)
{
        for (enum plan_change change = 0; name && change < PLAN_CHANGE_MAX_; change++)
                if (strcmp(name, plan_change_to_string(change)) == 0)
                        return change;
        return PLAN_CHANGE_NONE;
}

static void parse_guest(struct json_object *json, struct report_merge_guest *guest)
{
        guest->is_known = json_get_bool(json, "scanned");
        guest->is_chosen = json_get_bool(json, "chosen");
        guest->left_out = json_get_bool(json, "left_out");
        guest->saved_bytes = json_get_int(json, "saved_bytes", 0);
        guest->net_bytes = json_get_int(json, "net_bytes", 0);
        guest->change = change_of_name(json_get_text(json, "change"));
        guest->is_done = json_get_bool(json, "done");
        get_sentence(json, "error", &guest->failure);
}

static void parse_settings(struct json_object *json, struct apply_settings *settings)
{
        if (!json)
                return;
        json_object_object_foreach(json, key, value)
        {
                if (json_object_is_type(value, json_type_string))
                        apply_settings_add_text(settings, key, json_object_get_string(value));
        }
}

int report_merge_parse(struct json_object *json, size_t n_guests, struct report_merge **ret)
{
        struct json_object *guests = json_get(json, "guests", json_type_array);
        const char *group = json_get_text(json, "group");
        struct report_merge *merge = NULL;

        if (!guests || json_object_array_length(guests) != n_guests)
                return -EBADMSG;
        merge = report_merge_new(n_guests);
        if (!merge)
                return -ENOMEM;
        if (group) {
                merge->group = strdup(group);
                if (!merge->group) {
                        report_merge_free(merge);
                        return -ENOMEM;
                }
                text_make_printable(merge->group);
        }
        merge->merges = json_get_bool(json, "worthwhile");
        merge->cross_group = json_get_bool(json, "cross_group");
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                *number_at(merge, i) = json_get_int(json, numbers[i].key, REPORT_UNKNOWN);
        merge->cost.seconds = get_seconds(json, "converge_seconds");
        merge->cost.cpu_seconds = get_seconds(json, "converge_cpu_seconds");
        merge->cost.cpu_seconds_per_hour = get_seconds(json, "cpu_seconds_per_hour");
        parse_settings(json_get(json, "settings", json_type_object), &merge->settings);
        merge->acts = json_get_bool(json, "acted");
        merge->is_done = json_get_bool(json, "done");
        get_sentence(json, "refusal", &merge->refusal);
        merge->may_pass = json_get_bool(json, "refusal_may_pass");
        for (size_t i = 0; i < n_guests; i++)
                parse_guest(json_object_array_get_idx(guests, i), &merge->guests[i]);
        *ret = merge;
        return 0;
}

/* For a person */

static size_t count_chosen(const struct report_merge *merge)
{
        size_t n = 0;

        for (size_t i = 0; i < merge->n_guests; i++)
                n += merge->guests[i].is_chosen;
        return n;
}

static void print_whom(const struct report_merge *merge, FILE *out)
{
        const size_t n = count_chosen(merge);

        (void)fprintf(out, "%zu guest%s", n, n == 1 ? "" : "s");
        if (merge->cross_group)
                (void)fprintf(out, " across all groups");
        else if (merge->group)
                (void)fprintf(out, " of group %s", merge->group);
        else
                (void)fprintf(out, " without a group, which shares with no other");
}

static void print_forecast(const struct report_merge *merge, FILE *out)
{
        (void)fprintf(out, "Forecast  merging ");
        print_whom(merge, out);
        (void)fprintf(out, " saves %s: self %s, inter %s; zero pages %s besides\n",
                      SIZE(merge->self_bytes + merge->inter_bytes), SIZE(merge->self_bytes),
                      SIZE(merge->inter_bytes), SIZE(merge->zero_bytes));
        (void)fprintf(out, "  costs   %s of bookkeeping for %s; %lld huge pages split; ",
                      SIZE(merge->bookkeeping_bytes), SIZE(merge->scanned_bytes),
                      (long long)merge->huge_pages);
        (void)fprintf(out, "%.1f s until it is done, %.1f s of CPU time; then %.0f s an hour\n",
                      merge->cost.seconds, merge->cost.cpu_seconds, merge->cost.cpu_seconds_per_hour);
        (void)fprintf(out, "  net     %s", SIZE(merge->net_bytes));
        if (merge->reached_bytes != REPORT_UNKNOWN)
                (void)fprintf(out, "; %s are saved now", SIZE(merge->reached_bytes));
        (void)fputc('\n', out);
        if (merge->isolation_bytes > 0)
                (void)fprintf(
                        out,
                        "  apart   keeping groups from each other costs %s, which all guests together would "
                        "save besides\n",
                        SIZE(merge->isolation_bytes));
}

static const char *word_of_change(enum plan_change change)
{
        return change == PLAN_CHANGE_MERGE ? "mark its RAM mergeable" : "take the mark off its RAM";
}

static void print_guests(const struct report *report, FILE *out)
{
        const struct report_merge *merge = report->merge;

        for (size_t i = 0; i < merge->n_guests; i++) {
                const struct report_merge_guest *guest = &merge->guests[i];
                const char *name = report->guests[i].name;

                if (guest->left_out)
                        (void)fprintf(out, "  %s: left out, merging it would cost %s more than it saves\n",
                                      name, SIZE(-guest->net_bytes));
                if (guest->change == PLAN_CHANGE_NONE)
                        continue;
                (void)fprintf(out, "  %s: %s%s%s%s\n", name, word_of_change(guest->change),
                              guest->is_done ? ": done" : "", guest->failure.text[0] ? ": " : "",
                              guest->failure.text);
        }
}

/* What a setting of KSM is now. */
static const char *found_value(const struct report *report, const char *name)
{
        const struct ksm_file *file = ksm_find(&report->ksm, name);

        return file ? file->text : "?";
}

static void print_settings(const struct report *report, FILE *out)
{
        const struct report_merge *merge = report->merge;

        for (size_t i = 0; i < merge->settings.n; i++) {
                const struct apply_setting *setting = &merge->settings.settings[i];
                const char *found = found_value(report, setting->name);

                if (strcmp(found, setting->value) != 0)
                        (void)fprintf(out, "  KSM: %s %s, was %s%s\n", setting->name, setting->value, found,
                                      merge->is_done ? ": done" : "");
        }
}

void report_merge_print(const struct report *report, FILE *out)
{
        const struct report_merge *merge = report->merge;

        if (!merge)
                return;
        if (!merge->merges) {
                (void)fputs("Forecast  merging would save no more than it costs: nothing is to be done\n",
                            out);
                return;
        }
        print_forecast(merge, out);
        (void)fputs(merge->acts ? "Done\n" : "To be done\n", out);
        print_guests(report, out);
        print_settings(report, out);
        if (merge->refusal.text[0])
                (void)fprintf(out, "  not done: %s\n", merge->refusal.text);
}
