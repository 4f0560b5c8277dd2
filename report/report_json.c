/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The schema is a contract: keys are added, never renamed. Tables of fields define it, except for KSM's files
 * and settings, which are whatever the kernel has, and for lists in the order of the report's guests.
 */
#include "report/report_json.h"

#include "base/json.h"
#include "base/text.h"
#include "pages/page.h"
#include "pages/page_reader.h"
#include "report/advice.h"
#include "report/fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS_MAX 1024

/* The names of an enum, for a row. */
#define NAMES(function, type, to_string)   \
        static const char *function(int i) \
        {                                  \
                return to_string((type)i); \
        }

NAMES(mode_at, enum scan_mode, scan_mode_to_string)
NAMES(consistency_at, enum report_consistency, report_consistency_to_string)
NAMES(reader_at, enum page_reader_kind, page_reader_to_string)
NAMES(change_at, enum plan_change, plan_change_to_string)

static const char *via_at(int i)
{
        return i == 0 ? REPORT_VIA_QMP : REPORT_VIA_LIBVIRT;
}

static const char *reason_at(int i)
{
        return i == GAP_REASON_COUNT_ ? REPORT_NOT_MAPPED : gap_reason_to_string((enum gap_reason)i);
}

#define BLOCK(member) FIELD(#member, struct report_block, member)

static const struct field block_fields[] = {
        {BLOCK(id), .is_needed = true},
        {BLOCK(size_bytes)},
        {BLOCK(present_bytes)},
        {BLOCK(backend)},
        {BLOCK(shared)},
        {BLOCK(page_size)},
        {FIELD_AS(FIELD_TYPE_WORD, "reader", struct report_block, reader),
         FIELD_NAMES(reader_at, PAGE_READER_COUNT_)},
        {BLOCK(ksm_eligible)},
        {FIELD_AS(FIELD_TYPE_WORD, "reason", struct report_block, reason),
         FIELD_NAMES(reason_at, GAP_REASON_COUNT_ + 1)},
        {},
};

#define GUEST(key, member) FIELD(key, struct report_guest, member)
/* Only scanned guests have figures and a consistency, which marks them as scanned. */
#define IF_SCANNED       .flag = offsetof(struct report_guest, scanned)
#define FIGURE(member)   GUEST(#member, figures.member), IF_SCANNED
#define ACTUALLY(member) GUEST(#member, figures.actual_##member), IF_SCANNED, .within = "actual"
#define BLOCKS           FIELD_LIST("blocks", struct report_guest, blocks, n_blocks, BLOCKS_MAX, block_fields)
/* The rows with which both schemas begin. */
#define IDENTITY                                                                                        \
        {GUEST("name", name), .is_needed = true}, {GUEST("uuid", uuid)}, {GUEST("group", group)},       \
                {GUEST("pid", pid)},                                                                    \
                {FIELD_AS(FIELD_TYPE_CHOICE, "via", struct report_guest, via), FIELD_NAMES(via_at, 2)}, \
        {                                                                                               \
                GUEST("found_state", found_state)                                                       \
        }

static const struct field guest_fields[] = {
        IDENTITY,
        {FIELD_AS(FIELD_TYPE_NAME, "consistency", struct report_guest, consistency),
         FIELD_NAMES(consistency_at, REPORT_CONSISTENCY_COUNT_), IF_SCANNED},
        {GUEST("pause_seconds", pause_seconds)},
        {GUEST("pauses", pauses)},
        {GUEST("scan_seconds", scan_seconds), IF_SCANNED},
        {FIGURE(ram_bytes)},
        {FIGURE(present_bytes)},
        {FIGURE(absent_bytes)},
        {FIGURE(swapped_bytes)},
        {FIGURE(zero_bytes)},
        {FIGURE(distinct_bytes)},
        {FIGURE(self_sharing_bytes)},
        {FIGURE(inter_sharing_bytes)},
        {ACTUALLY(saved_bytes)},
        {ACTUALLY(ksm_bytes)},
        {ACTUALLY(self_bytes)},
        {ACTUALLY(inter_bytes)},
        {ACTUALLY(zero_bytes)},
        {BLOCKS},
        {GUEST("error", error.text)},
        {GUEST("note", note.text)},
        {},
};

/* Without figures. */
static const struct field listed_fields[] = {
        IDENTITY,
        {BLOCKS},
        {GUEST("error", error.text)},
        {},
};

#define SCAN(key, member) FIELD(key, struct report, member), .within = "scan"
#define HOST(key, member) FIELD(key, struct report, member), .within = "host"
#define IDEAL(member)     FIELD(#member, struct report, total.member), .within = "ideal"
#define ACTUAL(member)    FIELD(#member, struct report, total.actual_##member), .within = "actual"
#define GUESTS(table) \
        FIELD_LIST("guests", struct report, guests, n_guests, GUEST_CHOICE_MAX, table), .is_needed = true

static const struct field report_fields[] = {
        {SCAN("id", id)},
        {SCAN("started", started)},
        {FIELD_AS(FIELD_TYPE_NAME, "mode", struct report, mode), FIELD_NAMES(mode_at, SCAN_MODE_COUNT_),
         .within = "scan", .is_needed = true},
        {SCAN("together", together)},
        {SCAN("duration_seconds", duration_seconds)},
        {FIELD_AS(FIELD_TYPE_SPAN, "recheck_seconds", struct report, recheck_seconds), .within = "scan"},
        {.type = FIELD_TYPE_FIXED, .key = "page_size", .size = PAGE_BYTES, .within = "scan"},
        {SCAN("complete", complete)},
        {SCAN("note", note.text)},
        {HOST("name", host_name)},
        {HOST("kernel", kernel)},
        {HOST("memory_bytes", host_memory_bytes)},
        {GUESTS(guest_fields)},
        {IDEAL(present_bytes)},
        {IDEAL(zero_bytes)},
        {IDEAL(distinct_bytes)},
        {IDEAL(self_sharing_bytes)},
        {IDEAL(inter_sharing_bytes)},
        {ACTUAL(saved_bytes)},
        {ACTUAL(self_bytes)},
        {ACTUAL(inter_bytes)},
        {ACTUAL(zero_bytes)},
        {},
};

static const struct field list_fields[] = {{GUESTS(listed_fields)}, {}};

static const struct field gap_fields[] = {{FIELD("bytes", struct report, gap_bytes)}, {}};

static const struct field reason_fields[] = {
        {FIELD_AS(FIELD_TYPE_NAME, "reason", struct report_reason, reason),
         FIELD_NAMES(reason_at, GAP_REASON_COUNT_), .is_needed = true},
        {FIELD("bytes", struct report_reason, bytes)},
        {},
};

#define MERGE(key, member)      FIELD(key, struct report_merge, member)
#define MERGE_NUMBER(member)    FIELD_AS(FIELD_TYPE_SIGNED, #member, struct report_merge, member)
#define MERGE_COST(key, member) FIELD_AS(FIELD_TYPE_DOUBLE, key, struct report_merge, cost.member)

static const struct field forecast_fields[] = {
        {MERGE("worthwhile", merges)},
        {MERGE("group", group)},
        {MERGE("cross_group", cross_group)},
        {MERGE_NUMBER(self_bytes)},
        {MERGE_NUMBER(inter_bytes)},
        {MERGE_NUMBER(zero_bytes)},
        {MERGE_NUMBER(scanned_bytes)},
        {MERGE_NUMBER(bookkeeping_bytes)},
        {MERGE_NUMBER(net_bytes)},
        {MERGE_NUMBER(isolation_bytes)},
        {MERGE_NUMBER(mergeable_bytes)},
        {MERGE_NUMBER(sharable_bytes)},
        {MERGE_NUMBER(huge_pages)},
        {MERGE_NUMBER(reached_bytes)},
        {MERGE_COST("converge_seconds", seconds)},
        {MERGE_COST("converge_cpu_seconds", cpu_seconds)},
        {MERGE_COST("cpu_seconds_per_hour", cpu_seconds_per_hour)},
        {},
};

static const struct field outcome_fields[] = {
        {MERGE("acted", acts)},
        {MERGE("done", is_done)},
        {MERGE("refusal", refusal.text)},
        {MERGE("refusal_may_pass", may_pass)},
        {},
};

#define MERGE_GUEST(key, member) FIELD(key, struct report_merge_guest, member)

static const struct field merge_guest_fields[] = {
        {MERGE_GUEST("scanned", is_known)},
        {MERGE_GUEST("chosen", is_chosen)},
        {MERGE_GUEST("left_out", left_out)},
        {FIELD_AS(FIELD_TYPE_SIGNED, "saved_bytes", struct report_merge_guest, saved_bytes)},
        {FIELD_AS(FIELD_TYPE_SIGNED, "net_bytes", struct report_merge_guest, net_bytes)},
        {FIELD_AS(FIELD_TYPE_NAME, "change", struct report_merge_guest, change),
         FIELD_NAMES(change_at, PLAN_CHANGE_COUNT_)},
        {MERGE_GUEST("done", is_done)},
        {MERGE_GUEST("error", failure.text)},
        {},
};

/* Writing */

static struct json_object *ksm_to_json(const struct ksm *ksm)
{
        struct json_object *object = NULL;

        if (!ksm->available)
                return NULL;
        object = json_object_new_object();
        for (size_t i = 0; i < ksm->n_files; i++)
                json_add(object, ksm->files[i].name,
                         ksm->files[i].is_number ? json_object_new_int64(ksm->files[i].value)
                                                 : json_object_new_string(ksm->files[i].text));
        return object;
}

static struct json_object *reason_to_json(const struct report *report, const struct report_reason *from)
{
        struct json_object *reason = json_object_new_object();
        struct json_object *guests = json_object_new_array();
        struct json_object *guest_bytes = json_object_new_array();
        char remedy[ADVICE_REMEDY_BYTES] = "";

        fields_write(reason, reason_fields, from);
        for (size_t i = 0; i < report->n_guests; i++) {
                if (from->by_guest[i] == 0)
                        continue;
                (void)json_object_array_add(guests, json_object_new_string(report->guests[i].name));
                (void)json_object_array_add(guest_bytes, json_object_new_int64(from->by_guest[i]));
        }
        json_add(reason, "guests", guests);
        json_add(reason, "guest_bytes", guest_bytes);
        advice_remedy(from->reason, &report->ksm, report->recheck_seconds, remedy, sizeof(remedy));
        json_add_text(reason, "remedy", remedy);
        return reason;
}

static struct json_object *gap_to_json(const struct report *report)
{
        struct json_object *gap = json_object_new_object();
        struct json_object *reasons = json_object_new_array();

        fields_write(gap, gap_fields, report);
        for (size_t i = 0; i < report->n_reasons; i++)
                (void)json_object_array_add(reasons, reason_to_json(report, &report->reasons[i]));
        json_add(gap, "reasons", reasons);
        return gap;
}

static struct json_object *merge_to_json(const struct report *report, const struct report_merge *merge)
{
        struct json_object *object = json_object_new_object();
        struct json_object *settings = json_object_new_object();
        struct json_object *guests = json_object_new_array();

        fields_write(object, forecast_fields, merge);
        for (size_t i = 0; i < merge->settings.n; i++)
                json_add_text(settings, merge->settings.settings[i].name, merge->settings.settings[i].value);
        json_add(object, "settings", settings);
        fields_write(object, outcome_fields, merge);
        for (size_t i = 0; i < merge->n_guests; i++) {
                struct json_object *guest = json_object_new_object();

                json_add_text(guest, "name", report->guests[i].name);
                fields_write(guest, merge_guest_fields, &merge->guests[i]);
                (void)json_object_array_add(guests, guest);
        }
        json_add(object, "guests", guests);
        return object;
}

struct json_object *report_to_json(const struct report *report)
{
        struct json_object *root = json_object_new_object();

        json_add_text(root, "schema", REPORT_SCHEMA_SCAN);
        fields_write(root, report_fields, report);
        json_add(root, "ksm", ksm_to_json(&report->ksm));
        json_add(root, "gap", gap_to_json(report));
        json_add(root, "merge", report->merge ? merge_to_json(report, report->merge) : NULL);
        return root;
}

struct json_object *report_guests_to_json(const struct report *report)
{
        struct json_object *root = json_object_new_object();

        json_add_text(root, "schema", REPORT_SCHEMA_GUESTS);
        fields_write(root, list_fields, report);
        json_add(root, "ksm", ksm_to_json(&report->ksm));
        return root;
}

/* Reading */

static size_t get_length(struct json_object *array)
{
        return array ? json_object_array_length(array) : 0;
}

static void parse_ksm(struct json_object *json, struct ksm *ksm)
{
        ksm->available = json != NULL;
        if (!json)
                return;
        json_object_object_foreach(json, name, value)
        {
                struct ksm_file *file = &ksm->files[ksm->n_files];

                if (ksm->n_files == KSM_MAX_FILES)
                        break;
                (void)snprintf(file->name, sizeof(file->name), "%s", name);
                (void)snprintf(file->text, sizeof(file->text), "%s", json_object_get_string(value));
                text_make_printable(file->name);
                text_make_printable(file->text);
                file->is_number = json_object_is_type(value, json_type_int);
                file->value = file->is_number ? json_object_get_int64(value) : 0;
                ksm->n_files++;
        }
}

static void add_to_guest(const struct report *report, struct report_reason *reason, const char *name,
                         int64_t bytes)
{
        /* The second of two guests with one name was not scanned. */
        for (size_t i = 0; name && bytes > 0 && bytes <= FIELD_BYTES_MAX && i < report->n_guests; i++)
                if (report->guests[i].scanned && strcmp(report->guests[i].name, name) == 0) {
                        reason->by_guest[i] = bytes;
                        return;
                }
}

static int parse_reason(struct json_object *json, struct report *report)
{
        struct report_reason *reason = &report->reasons[report->n_reasons];
        struct json_object *guests = json_get(json, "guests", json_type_array);
        struct json_object *bytes = json_get(json, "guest_bytes", json_type_array);

        if (report->n_reasons == GAP_REASON_COUNT_ || fields_read(json, reason_fields, reason) < 0)
                return 0;
        reason->by_guest = calloc(report->n_guests + 1, sizeof(*reason->by_guest));
        if (!reason->by_guest)
                return -ENOMEM;
        for (size_t i = 0; i < get_length(guests) && i < get_length(bytes); i++)
                add_to_guest(report, reason, json_object_get_string(json_object_array_get_idx(guests, i)),
                             json_object_get_int64(json_object_array_get_idx(bytes, i)));
        report->n_reasons++;
        return 0;
}

static int parse_gap(struct json_object *json, struct report *report)
{
        struct json_object *reasons = json_get(json, "reasons", json_type_array);
        int r = fields_read(json, gap_fields, report);

        for (size_t i = 0; i < get_length(reasons) && r == 0; i++)
                r = parse_reason(json_object_array_get_idx(reasons, i), report);
        return r;
}

static void parse_settings(struct json_object *json, struct ksm_settings *settings)
{
        if (!json)
                return;
        json_object_object_foreach(json, key, value)
        {
                if (json_object_is_type(value, json_type_string))
                        ksm_settings_add_text(settings, key, json_object_get_string(value));
        }
        for (size_t i = 0; i < settings->n; i++) {
                text_make_printable(settings->settings[i].name);
                text_make_printable(settings->settings[i].value);
        }
}

static int parse_merge(struct json_object *json, struct report *report)
{
        struct json_object *guests = json_get(json, "guests", json_type_array);
        struct report_merge *merge = NULL;
        int r = 0;

        if (!guests || json_object_array_length(guests) != report->n_guests)
                return -EBADMSG;
        report->merge = merge = report_merge_new(report->n_guests);
        if (!merge)
                return -ENOMEM;
        parse_settings(json_get(json, "settings", json_type_object), &merge->settings);
        r = fields_read(json, forecast_fields, merge);
        if (r == 0)
                r = fields_read(json, outcome_fields, merge);
        for (size_t i = 0; i < report->n_guests && r == 0; i++)
                r = fields_read(json_object_array_get_idx(guests, i), merge_guest_fields, &merge->guests[i]);
        return r;
}

static int parse_fields(struct json_object *json, const struct field *fields, struct report *report)
{
        struct json_object *merge = json_get(json, "merge", json_type_object);
        int r = fields_read(json, fields, report);

        parse_ksm(json_get(json, "ksm", json_type_object), &report->ksm);
        if (r == 0)
                r = parse_gap(json_get(json, "gap", json_type_object), report);
        if (r == 0 && merge)
                r = parse_merge(merge, report);
        return r;
}

static int parse_schema(struct json_object *json, const char *schema, const struct field *fields,
                        struct report **ret, struct failure *failure)
{
        const char *said = json_get_text(json, "schema");
        struct report *report = NULL;
        int r = 0;

        if (!said || strcmp(said, schema) != 0)
                return failure_set(failure, -EBADMSG, "this is no report of the schema %s", schema);
        report = calloc(1, sizeof(*report));
        r = report ? parse_fields(json, fields, report) : -ENOMEM;
        if (r < 0) {
                report_free(report);
                return failure_errno(failure, r, "this report cannot be read");
        }
        *ret = report;
        return 0;
}

int report_parse(struct json_object *json, struct report **ret, struct failure *failure)
{
        return parse_schema(json, REPORT_SCHEMA_SCAN, report_fields, ret, failure);
}

int report_parse_guests(struct json_object *json, struct report **ret, struct failure *failure)
{
        return parse_schema(json, REPORT_SCHEMA_GUESTS, list_fields, ret, failure);
}
