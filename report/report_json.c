/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The schema is a contract: keys are added, never renamed. Unknown values are null. */
#include "report/report_json.h"

#include "base/json.h"
#include "pages/page.h"
#include "report/advice.h"

static void add_bytes(struct json_object *object, const char *key, int64_t bytes)
{
        json_add(object, key, bytes == REPORT_UNKNOWN ? NULL : json_object_new_int64(bytes));
}

static void add_seconds(struct json_object *object, const char *key, double seconds)
{
        if (seconds < 0)
                json_add(object, key, NULL);
        else
                json_add_seconds(object, key, seconds);
}

static struct json_object *scan_to_json(const struct report *report)
{
        struct json_object *scan = json_object_new_object();

        json_add_text(scan, "id", report->id);
        json_add_text(scan, "started", report->started);
        json_add_text(scan, "mode", scan_mode_to_string(report->mode));
        json_add_bool(scan, "together", report->together);
        add_seconds(scan, "duration_seconds", report->duration_seconds);
        add_seconds(scan, "recheck_seconds",
                    report->recheck_seconds > 0 ? report->recheck_seconds : REPORT_UNKNOWN);
        add_bytes(scan, "page_size", PAGE_BYTES);
        json_add_bool(scan, "complete", report->complete);
        json_add_text(scan, "note", report->note.text);
        return scan;
}

static struct json_object *host_to_json(const struct report *report)
{
        struct json_object *host = json_object_new_object();

        json_add_text(host, "name", report->host_name);
        json_add_text(host, "kernel", report->kernel);
        add_bytes(host, "memory_bytes", report->host_memory_bytes);
        return host;
}

static struct json_object *blocks_to_json(const struct report_guest *guest)
{
        struct json_object *blocks = json_object_new_array();

        for (size_t i = 0; i < guest->n_blocks; i++) {
                const struct report_block *from = &guest->blocks[i];
                struct json_object *block = json_object_new_object();

                json_add_text(block, "id", from->id);
                add_bytes(block, "size_bytes", from->size_bytes);
                add_bytes(block, "present_bytes", from->present_bytes);
                json_add_text(block, "backend", from->backend);
                json_add_bool(block, "shared", from->shared);
                add_bytes(block, "page_size", from->page_size);
                json_add_text(block, "reader", from->reader);
                json_add_bool(block, "ksm_eligible", from->ksm_eligible);
                json_add_text(block, "reason", from->reason);
                (void)json_object_array_add(blocks, block);
        }
        return blocks;
}

/* The figures that a guest and the whole have in common. */
static void add_ideal(struct json_object *object, const struct report_figures *figures)
{
        add_bytes(object, "zero_bytes", figures->zero_bytes);
        add_bytes(object, "distinct_bytes", figures->distinct_bytes);
        add_bytes(object, "self_sharing_bytes", figures->self_sharing_bytes);
        add_bytes(object, "inter_sharing_bytes", figures->inter_sharing_bytes);
}

static struct json_object *guest_actual_to_json(const struct report_figures *figures)
{
        struct json_object *actual = json_object_new_object();

        add_bytes(actual, "saved_bytes", figures->actual_saved_bytes);
        add_bytes(actual, "ksm_bytes", figures->actual_ksm_bytes);
        add_bytes(actual, "self_bytes", figures->actual_self_bytes);
        add_bytes(actual, "inter_bytes", figures->actual_inter_bytes);
        add_bytes(actual, "zero_bytes", figures->actual_zero_bytes);
        return actual;
}

static void add_identity(struct json_object *object, const struct report_guest *guest)
{
        json_add_text(object, "name", guest->name);
        json_add_text(object, "uuid", guest->uuid);
        json_add_text(object, "group", guest->group);
        json_add(object, "pid", guest->pid > 0 ? json_object_new_int64(guest->pid) : NULL);
        json_add_text(object, "via", guest->via);
        json_add_text(object, "found_state", guest->found_state);
}

static struct json_object *guest_to_json(const struct report_guest *from)
{
        static const struct report_figures unknown = {
                REPORT_UNKNOWN, REPORT_UNKNOWN, REPORT_UNKNOWN, REPORT_UNKNOWN, REPORT_UNKNOWN,
                REPORT_UNKNOWN, REPORT_UNKNOWN, REPORT_UNKNOWN, REPORT_UNKNOWN, REPORT_UNKNOWN,
                REPORT_UNKNOWN, REPORT_UNKNOWN, REPORT_UNKNOWN,
        };
        const struct report_figures *figures = from->scanned ? &from->figures : &unknown;
        struct json_object *guest = json_object_new_object();

        add_identity(guest, from);
        json_add_text(guest, "consistency",
                      from->scanned ? report_consistency_to_string(from->consistency) : NULL);
        add_seconds(guest, "pause_seconds", from->pause_seconds);
        json_add(guest, "pauses", json_object_new_int64(from->pauses));
        add_seconds(guest, "scan_seconds", from->scanned ? from->scan_seconds : REPORT_UNKNOWN);
        add_bytes(guest, "ram_bytes", figures->ram_bytes);
        add_bytes(guest, "present_bytes", figures->present_bytes);
        add_bytes(guest, "absent_bytes", figures->absent_bytes);
        add_bytes(guest, "swapped_bytes", figures->swapped_bytes);
        add_ideal(guest, figures);
        json_add(guest, "actual", guest_actual_to_json(figures));
        json_add(guest, "blocks", blocks_to_json(from));
        json_add_text(guest, "error", from->error.text);
        json_add_text(guest, "note", from->note.text);
        return guest;
}

static struct json_object *ideal_to_json(const struct report_figures *figures)
{
        struct json_object *ideal = json_object_new_object();

        add_bytes(ideal, "present_bytes", figures->present_bytes);
        add_ideal(ideal, figures);
        return ideal;
}

static struct json_object *actual_to_json(const struct report_figures *figures)
{
        struct json_object *actual = json_object_new_object();

        add_bytes(actual, "saved_bytes", figures->actual_saved_bytes);
        add_bytes(actual, "self_bytes", figures->actual_self_bytes);
        add_bytes(actual, "inter_bytes", figures->actual_inter_bytes);
        add_bytes(actual, "zero_bytes", figures->actual_zero_bytes);
        return actual;
}

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

        json_add_text(reason, "reason", gap_reason_to_string(from->reason));
        add_bytes(reason, "bytes", from->bytes);
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

        add_bytes(gap, "bytes", report->gap_bytes);
        for (size_t i = 0; i < report->n_reasons; i++)
                (void)json_object_array_add(reasons, reason_to_json(report, &report->reasons[i]));
        json_add(gap, "reasons", reasons);
        return gap;
}

struct json_object *report_to_json(const struct report *report)
{
        struct json_object *root = json_object_new_object();
        struct json_object *guests = json_object_new_array();

        json_add_text(root, "schema", REPORT_SCHEMA_SCAN);
        json_add(root, "scan", scan_to_json(report));
        json_add(root, "host", host_to_json(report));
        for (size_t i = 0; i < report->n_guests; i++)
                (void)json_object_array_add(guests, guest_to_json(&report->guests[i]));
        json_add(root, "guests", guests);
        json_add(root, "ideal", ideal_to_json(&report->total));
        json_add(root, "actual", actual_to_json(&report->total));
        json_add(root, "ksm", ksm_to_json(&report->ksm));
        json_add(root, "gap", gap_to_json(report));
        json_add(root, "merge", report_merge_to_json(report));
        return root;
}

struct json_object *report_guests_to_json(const struct report *report)
{
        struct json_object *root = json_object_new_object();
        struct json_object *guests = json_object_new_array();

        json_add_text(root, "schema", REPORT_SCHEMA_GUESTS);
        for (size_t i = 0; i < report->n_guests; i++) {
                struct json_object *guest = json_object_new_object();

                add_identity(guest, &report->guests[i]);
                json_add(guest, "blocks", blocks_to_json(&report->guests[i]));
                json_add_text(guest, "error", report->guests[i].error.text);
                (void)json_object_array_add(guests, guest);
        }
        json_add(root, "guests", guests);
        json_add(root, "ksm", ksm_to_json(&report->ksm));
        return root;
}
