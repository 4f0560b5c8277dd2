/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reports with figures that are made up and keep the identities of the sharing model. */
#pragma once

#include "daemon/job/describe.h"
#include "report/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MADE_MIB (INT64_C(1) << 20)

/* A name that has everything a format could stumble over, as describe_inventory() leaves it. */
#define MADE_WILD_NAME "a \"b\" \\n {c}=1,\xc3\xa4\xe6\x97\xa5 # EOF"

/* A complete scan of 2024-05-01T12:00:00Z (1714564800) that took 1.5 s, without guests. */
static inline struct report *made_report_new(void)
{
        struct report *report = calloc(1, sizeof(*report));

        if (!report)
                abort();
        (void)snprintf(report->id, sizeof(report->id), "made");
        (void)snprintf(report->started, sizeof(report->started), "2024-05-01T12:00:00Z");
        report->mode = SCAN_MODE_SNAPSHOT;
        report->complete = true;
        report->duration_seconds = 1.5;
        return report;
}

static inline struct report_guest *made_report_room(struct report *report, const char *name)
{
        struct report_guest *guests =
                realloc(report->guests, (report->n_guests + 1) * sizeof(*report->guests));

        if (!guests)
                abort();
        report->guests = guests;
        guests[report->n_guests] = (struct report_guest){
                .name = strdup(name),
                .via = REPORT_VIA_QMP,
                .pause_seconds = REPORT_UNKNOWN,
        };
        return &guests[report->n_guests++];
}

/* A scanned guest of @size MiB; it stood still for @size ms in one pause. */
static inline struct report_guest *made_report_guest(struct report *report, const char *name,
                                                     const char *uuid, const char *group, int64_t size)
{
        struct report_guest *guest = made_report_room(report, name);
        const int64_t unit = size * MADE_MIB / 64;

        guest->uuid = uuid ? strdup(uuid) : NULL;
        guest->group = group ? strdup(group) : NULL;
        guest->scanned = true;
        guest->pause_seconds = (double)size / 1000;
        guest->pauses = 1;
        guest->scan_seconds = 1;
        guest->figures = (struct report_figures){
                .ram_bytes = 64 * unit,
                .present_bytes = 48 * unit,
                .absent_bytes = 15 * unit,
                .swapped_bytes = 1 * unit,
                .zero_bytes = 8 * unit,
                .distinct_bytes = 30 * unit,
                .self_sharing_bytes = 10 * unit,
                .inter_sharing_bytes = 5 * unit,
                .actual_saved_bytes = 6 * unit,
                .actual_ksm_bytes = 7 * unit,
                .actual_self_bytes = 3 * unit,
                .actual_inter_bytes = 2 * unit,
                .actual_zero_bytes = 1 * unit,
        };
        return guest;
}

/* A guest that could not be scanned, about which nothing but its name is known. */
static inline struct report_guest *made_report_failed_guest(struct report *report, const char *name)
{
        struct report_guest *guest = made_report_room(report, name);

        report->complete = false;
        (void)failure_set(&guest->error, 0, "it does not answer");
        return guest;
}

static inline void made_report_reason(struct report *report, enum gap_reason reason, int64_t bytes)
{
        struct report_reason *entry = &report->reasons[report->n_reasons++];

        *entry = (struct report_reason){.reason = reason, .bytes = bytes};
        entry->by_guest = calloc(report->n_guests + 1, sizeof(*entry->by_guest));
        report->gap_bytes += bytes;
}

/* The figures of the host: those of its guests added up, which is enough for a made one. */
static inline void made_report_total(struct report *report)
{
        for (size_t i = 0; i < report->n_guests; i++) {
                const struct report_figures *from = &report->guests[i].figures;
                struct report_figures *total = &report->total;

                total->present_bytes += from->present_bytes;
                total->zero_bytes += from->zero_bytes;
                total->self_sharing_bytes += from->self_sharing_bytes;
                total->inter_sharing_bytes += from->inter_sharing_bytes;
                total->distinct_bytes += from->distinct_bytes - from->inter_sharing_bytes;
                total->actual_self_bytes += from->actual_self_bytes;
                total->actual_inter_bytes += from->actual_inter_bytes;
                total->actual_zero_bytes += from->actual_zero_bytes;
                total->actual_saved_bytes += from->actual_saved_bytes;
        }
}

/* Two guests of one group, one with a wild name and no group, and a gap of 110 MiB. */
static inline struct report *made_report_of_three(void)
{
        struct report *report = made_report_new();

        made_report_guest(report, "web2", "00000000-0000-0000-0000-000000000002", "acme", 256);
        made_report_guest(report, "web1", "00000000-0000-0000-0000-000000000001", "acme", 128);
        made_report_guest(report, MADE_WILD_NAME, NULL, NULL, 64);
        made_report_total(report);
        made_report_reason(report, GAP_REASON_SHARED_MAPPING, 100 * MADE_MIB);
        made_report_reason(report, GAP_REASON_UNEXPLAINED, 10 * MADE_MIB);
        return report;
}
