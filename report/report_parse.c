/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/report_parse.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"
#include "pages/page_reader.h"

#include <errno.h>
#include <string.h>

#define BLOCKS_MAX 1024

static struct json_object *get_object(struct json_object *object, const char *key)
{
        return json_get(object, key, json_type_object);
}

static size_t get_length(struct json_object *array)
{
        return array ? json_object_array_length(array) : 0;
}

static int64_t get_bytes(struct json_object *object, const char *key)
{
        const int64_t bytes = json_get_int(object, key, REPORT_UNKNOWN);

        return bytes < 0 ? REPORT_UNKNOWN : bytes;
}

static double get_seconds(struct json_object *object, const char *key)
{
        struct json_object *value = json_get(object, key, json_type_double);

        return value ? json_object_get_double(value) : REPORT_UNKNOWN;
}

/* Copies text into @to, cut to its @size; empty when there is none. */
static void copy_text(struct json_object *object, const char *key, char *to, size_t size)
{
        const char *text = json_get_text(object, key);

        (void)snprintf(to, size, "%s", text ? text : "");
        text_make_printable(to);
}

/* A copy of text in *@ret; NULL when there is none. */
static int dup_text(struct json_object *object, const char *key, char **ret)
{
        const char *text = json_get_text(object, key);

        if (!text)
                return 0;
        *ret = strdup(text);
        if (!*ret)
                return -ENOMEM;
        text_make_printable(*ret);
        return 0;
}

/* The name among @names that the text is; NULL when it is none of them. */
static const char *find_name(const char *text, const char *(*name_at)(int), int n)
{
        for (int i = 0; text && i < n; i++)
                if (strcmp(text, name_at(i)) == 0)
                        return name_at(i);
        return NULL;
}

static const char *reader_at(int i)
{
        return page_reader_to_string((enum page_reader_kind)i);
}

static const char *reason_at(int i)
{
        return i == GAP_REASON_MAX_ ? REPORT_NOT_MAPPED : gap_reason_to_string((enum gap_reason)i);
}

static const char *via_at(int i)
{
        return i == 0 ? REPORT_VIA_QMP : REPORT_VIA_LIBVIRT;
}

static int parse_block(struct json_object *json, struct report_block *block)
{
        int r = dup_text(json, "id", &block->id);

        if (r == 0)
                r = dup_text(json, "backend", &block->backend);
        if (r == 0 && !block->id)
                r = -EBADMSG;
        block->size_bytes = get_bytes(json, "size_bytes");
        block->present_bytes = get_bytes(json, "present_bytes");
        block->shared = json_get_bool(json, "shared");
        block->page_size = get_bytes(json, "page_size");
        block->reader = find_name(json_get_text(json, "reader"), reader_at, PAGE_READER_MAX_);
        block->ksm_eligible = json_get_bool(json, "ksm_eligible");
        block->reason = find_name(json_get_text(json, "reason"), reason_at, GAP_REASON_MAX_ + 1);
        return r;
}

static int parse_blocks(struct json_object *json, struct report_guest *guest)
{
        struct json_object *blocks = json_get(json, "blocks", json_type_array);
        const size_t n = get_length(blocks);
        int r = 0;

        if (n > BLOCKS_MAX)
                return -E2BIG;
        guest->blocks = calloc(n + 1, sizeof(*guest->blocks));
        if (!guest->blocks)
                return -ENOMEM;
        for (size_t i = 0; i < n && r == 0; i++) {
                guest->n_blocks++;
                r = parse_block(json_object_array_get_idx(blocks, i), &guest->blocks[i]);
        }
        return r;
}

static void parse_ideal(struct json_object *json, struct report_figures *figures)
{
        figures->present_bytes = get_bytes(json, "present_bytes");
        figures->zero_bytes = get_bytes(json, "zero_bytes");
        figures->distinct_bytes = get_bytes(json, "distinct_bytes");
        figures->self_sharing_bytes = get_bytes(json, "self_sharing_bytes");
        figures->inter_sharing_bytes = get_bytes(json, "inter_sharing_bytes");
}

static void parse_actual(struct json_object *json, struct report_figures *figures)
{
        figures->actual_saved_bytes = get_bytes(json, "saved_bytes");
        figures->actual_ksm_bytes = get_bytes(json, "ksm_bytes");
        figures->actual_self_bytes = get_bytes(json, "self_bytes");
        figures->actual_inter_bytes = get_bytes(json, "inter_bytes");
        figures->actual_zero_bytes = get_bytes(json, "zero_bytes");
}

/* Only guests that were scanned have a consistency. */
static void parse_consistency(struct json_object *json, struct report_guest *guest)
{
        const char *text = json_get_text(json, "consistency");

        for (int i = 0; text && i < REPORT_CONSISTENCY_MAX_; i++) {
                if (strcmp(text, report_consistency_to_string((enum report_consistency)i)) != 0)
                        continue;
                guest->consistency = (enum report_consistency)i;
                guest->scanned = true;
        }
}

static int parse_identity(struct json_object *json, struct report_guest *guest)
{
        const char *via = find_name(json_get_text(json, "via"), via_at, 2);
        int r = dup_text(json, "name", &guest->name);

        if (r == 0)
                r = dup_text(json, "uuid", &guest->uuid);
        if (r == 0)
                r = dup_text(json, "group", &guest->group);
        if (r == 0 && !guest->name)
                r = -EBADMSG;
        guest->pid = (pid_t)json_get_int(json, "pid", 0);
        guest->via = via ? via : REPORT_VIA_QMP;
        copy_text(json, "found_state", guest->found_state, sizeof(guest->found_state));
        copy_text(json, "error", guest->error.text, sizeof(guest->error.text));
        copy_text(json, "note", guest->note.text, sizeof(guest->note.text));
        return r;
}

static int parse_guest(struct json_object *json, struct report_guest *guest)
{
        int r = parse_identity(json, guest);

        parse_consistency(json, guest);
        guest->pause_seconds = get_seconds(json, "pause_seconds");
        guest->pauses = (unsigned int)json_get_int(json, "pauses", 0);
        guest->scan_seconds = get_seconds(json, "scan_seconds");
        guest->figures.ram_bytes = get_bytes(json, "ram_bytes");
        guest->figures.absent_bytes = get_bytes(json, "absent_bytes");
        guest->figures.swapped_bytes = get_bytes(json, "swapped_bytes");
        parse_ideal(json, &guest->figures);
        parse_actual(get_object(json, "actual"), &guest->figures);
        return r < 0 ? r : parse_blocks(json, guest);
}

static int parse_guests(struct json_object *json, struct report *report)
{
        struct json_object *guests = json_get(json, "guests", json_type_array);
        const size_t n = get_length(guests);
        int r = guests ? 0 : -EBADMSG;

        if (n > SETTINGS_MAX_GUESTS)
                return -E2BIG;
        report->guests = calloc(n + 1, sizeof(*report->guests));
        if (!report->guests)
                return -ENOMEM;
        for (size_t i = 0; i < n && r == 0; i++) {
                report->n_guests++;
                r = parse_guest(json_object_array_get_idx(guests, i), &report->guests[i]);
        }
        return r;
}

static int parse_scan(struct json_object *json, struct report *report)
{
        const char *mode = json_get_text(json, "mode");

        copy_text(json, "id", report->id, sizeof(report->id));
        copy_text(json, "started", report->started, sizeof(report->started));
        copy_text(json, "note", report->note.text, sizeof(report->note.text));
        report->together = json_get_bool(json, "together");
        report->complete = json_get_bool(json, "complete");
        report->duration_seconds = get_seconds(json, "duration_seconds");
        report->recheck_seconds = get_seconds(json, "recheck_seconds");
        if (report->recheck_seconds < 0)
                report->recheck_seconds = 0;
        for (int i = 0; mode && i < SCAN_MODE_MAX_; i++) {
                if (strcmp(mode, scan_mode_to_string((enum scan_mode)i)) != 0)
                        continue;
                report->mode = (enum scan_mode)i;
                return 0;
        }
        return -EBADMSG;
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
        /* Of two guests of one name the second one was not scanned. */
        for (size_t i = 0; name && i < report->n_guests; i++)
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
        const char *name = json_get_text(json, "reason");
        int which = 0;

        while (which < GAP_REASON_MAX_ && (!name || strcmp(name, reason_at(which)) != 0))
                which++;
        if (which == GAP_REASON_MAX_ || report->n_reasons == GAP_REASON_MAX_)
                return 0;
        reason->by_guest = calloc(report->n_guests + 1, sizeof(*reason->by_guest));
        if (!reason->by_guest)
                return -ENOMEM;
        reason->reason = (enum gap_reason)which;
        reason->bytes = get_bytes(json, "bytes");
        for (size_t i = 0; i < get_length(guests) && i < get_length(bytes); i++)
                add_to_guest(report, reason, json_object_get_string(json_object_array_get_idx(guests, i)),
                             json_object_get_int64(json_object_array_get_idx(bytes, i)));
        report->n_reasons++;
        return 0;
}

static int parse_gap(struct json_object *json, struct report *report)
{
        struct json_object *reasons = json_get(json, "reasons", json_type_array);
        int r = 0;

        report->gap_bytes = get_bytes(json, "bytes");
        for (size_t i = 0; i < get_length(reasons) && r == 0; i++)
                r = parse_reason(json_object_array_get_idx(reasons, i), report);
        return r;
}

static int parse(struct json_object *json, struct report *report)
{
        struct json_object *host = get_object(json, "host");
        int r = parse_scan(get_object(json, "scan"), report);

        copy_text(host, "name", report->host_name, sizeof(report->host_name));
        copy_text(host, "kernel", report->kernel, sizeof(report->kernel));
        report->host_memory_bytes = get_bytes(host, "memory_bytes");
        parse_ksm(get_object(json, "ksm"), &report->ksm);
        parse_ideal(get_object(json, "ideal"), &report->total);
        parse_actual(get_object(json, "actual"), &report->total);
        if (r == 0)
                r = parse_guests(json, report);
        if (r == 0)
                r = parse_gap(get_object(json, "gap"), report);
        if (r == 0 && get_object(json, "merge"))
                r = report_merge_parse(get_object(json, "merge"), report->n_guests, &report->merge);
        return r;
}

/* Runs @parser if @json says that it is of @schema. */
static int parse_schema(struct json_object *json, const char *schema,
                        int (*parser)(struct json_object *, struct report *), struct report **ret,
                        struct failure *failure)
{
        const char *said = json_get_text(json, "schema");
        struct report *report = NULL;
        int r = 0;

        if (!said || strcmp(said, schema) != 0)
                return failure_set(failure, -EBADMSG, "this is no report of the schema %s", schema);
        report = calloc(1, sizeof(*report));
        r = report ? parser(json, report) : -ENOMEM;
        if (r < 0) {
                report_free(report);
                return failure_errno(failure, r, "this report cannot be read");
        }
        *ret = report;
        return 0;
}

int report_parse(struct json_object *json, struct report **ret, struct failure *failure)
{
        return parse_schema(json, REPORT_SCHEMA_SCAN, parse, ret, failure);
}

static int parse_guest_list(struct json_object *json, struct report *report)
{
        parse_ksm(get_object(json, "ksm"), &report->ksm);
        return parse_guests(json, report);
}

int report_parse_guests(struct json_object *json, struct report **ret, struct failure *failure)
{
        return parse_schema(json, REPORT_SCHEMA_GUESTS, parse_guest_list, ret, failure);
}
