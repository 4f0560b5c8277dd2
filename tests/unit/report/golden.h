/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A report in which every field has a value of its own, as tests write, read and print it. */
#pragma once

#include "report/report.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file of this folder. The caller frees it. */
static inline char *golden_read(const char *name)
{
        char path[1024] = "";
        char *text = calloc(1, 1 << 16);
        FILE *file = NULL;

        (void)snprintf(path, sizeof(path), "%s/%s", GOLDEN_FOLDER, name);
        file = fopen(path, "re");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        text[fread(text, 1, (1 << 16) - 1, file)] = '\0';
        (void)fclose(file);
        return text;
}

static inline struct report_block golden_block(const char *id, const char *backend, const char *reader,
                                               const char *reason)
{
        return (struct report_block){
                .id = strdup(id),
                .size_bytes = INT64_C(1) << 30,
                .present_bytes = reader ? 777 << 20 : REPORT_UNKNOWN,
                .backend = backend ? strdup(backend) : NULL,
                .shared = reason,
                .page_size = reader ? 4096 : 2 << 20,
                .reader = reader,
                .ksm_eligible = !reason,
                .reason = reason,
        };
}

/* Scanned, with three blocks. */
static inline struct report_guest golden_guest(const char *name, const char *group)
{
        struct report_guest guest = {
                .name = strdup(name),
                .uuid = strdup("5f1c2c9e-0000-4000-8000-000000000001"),
                .group = group ? strdup(group) : NULL,
                .via = REPORT_VIA_LIBVIRT,
                .pid = 4711,
                .found_state = "running",
                .consistency = REPORT_CONSISTENCY_SLICED,
                .pause_seconds = 0.0841,
                .pauses = 2,
                .scan_seconds = 1.5,
                .scanned = true,
                .figures = {101 << 20, 102 << 20, 103, 104, 5 << 20, 106, 7 << 20, 8 << 20, 109, 110, 3 << 20,
                            2 << 20, 113},
                .blocks = calloc(3, sizeof(*guest.blocks)),
                .n_blocks = 3,
                .note = {"it was hot-plugged"},
        };

        guest.blocks[0] = golden_block("pc.ram", "memory-backend-memfd", "mapped", "shared-mapping");
        guest.blocks[1] = golden_block("dimm/\"1\"", NULL, "proc-mem", NULL);
        guest.blocks[2] = golden_block("vga.vram", NULL, NULL, REPORT_NOT_MAPPED);
        return guest;
}

static inline struct report_merge *golden_merge(size_t n_guests)
{
        struct report_merge *merge = report_merge_new(n_guests);

        merge->merges = true;
        merge->group = strdup("acme");
        merge->self_bytes = 201 << 20;
        merge->inter_bytes = 202 << 20;
        merge->zero_bytes = 203 << 20;
        merge->scanned_bytes = 204 << 20;
        merge->bookkeeping_bytes = 205;
        merge->net_bytes = -206;
        merge->isolation_bytes = 207 << 20;
        merge->mergeable_bytes = 208;
        merge->sharable_bytes = 209;
        merge->huge_pages = 210;
        merge->reached_bytes = REPORT_UNKNOWN;
        merge->cost = (struct plan_cost){120.25, 3.5, 36};
        ksm_settings_add(&merge->settings, "pages_to_scan", 1250);
        ksm_settings_add_text(&merge->settings, "advisor_mode", "none");
        merge->acts = true;
        merge->is_done = true;
        merge->refusal = (struct failure){"KSM is not ours"};
        merge->may_pass = true;
        merge->guests[0] =
                (struct report_merge_guest){true, true, false, 301, 302, PLAN_CHANGE_MERGE, true, {""}};
        merge->guests[2] = (struct report_merge_guest){
                true, false, true, -303, -304, PLAN_CHANGE_UNMERGE, false, {"QEMU refused it"}};
        return merge;
}

static inline void golden_reason(struct report *report, enum gap_reason reason, int64_t first, int64_t last)
{
        struct report_reason *entry = &report->reasons[report->n_reasons++];

        *entry = (struct report_reason){
                .reason = reason,
                .bytes = first + last,
                .by_guest = calloc(report->n_guests + 1, sizeof(int64_t)),
        };
        entry->by_guest[0] = first;
        entry->by_guest[report->n_guests - 1] = last;
}

/* Of three guests: one that is scanned, one that is gone, and one that ran and whose frames nobody knows. */
static inline struct report *golden_new(void)
{
        struct report *report = calloc(1, sizeof(*report));

        *report = (struct report){
                .id = "0123456789abcdef",
                .started = "2026-11-24T17:00:00Z",
                .mode = SCAN_MODE_SLICED,
                .together = true,
                .complete = true,
                .duration_seconds = 2.25,
                .note = {"web3 was left out"},
                .recheck_seconds = 30.000001,
                .host_name = "host",
                .kernel = "6.1.0-28-amd64",
                .host_memory_bytes = INT64_C(1) << 40,
                .guests = calloc(4, sizeof(*report->guests)),
                .n_guests = 3,
                .total = {REPORT_UNKNOWN, 422 << 20, REPORT_UNKNOWN, REPORT_UNKNOWN, 25 << 20, 426, 27 << 20,
                          28 << 20, 429, REPORT_UNKNOWN, 6 << 20, 5 << 20, 433},
                .ksm = {.files = {{.name = "advisor_mode", .text = "[none] scan-time"},
                                  {.name = "general_profit", .text = "-5", .value = -5, .is_number = true},
                                  {.name = "pages_to_scan", .text = "100", .value = 100, .is_number = true}},
                        .n_files = 3,
                        .available = true},
                .gap_bytes = 99 << 20,
        };
        report->guests[0] = golden_guest("web \"1\"/\xc3\xa4", "acme");
        report->guests[1] = (struct report_guest){.name = strdup("lost"),
                                                  .via = REPORT_VIA_QMP,
                                                  .consistency = REPORT_CONSISTENCY_LIVE,
                                                  .pause_seconds = REPORT_UNKNOWN,
                                                  .scan_seconds = 7,
                                                  .figures = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
                                                  .error = {"it does not answer"}};
        report->guests[2] = golden_guest("web2", NULL);
        report->guests[2].consistency = REPORT_CONSISTENCY_LIVE;
        report->guests[2].pause_seconds = REPORT_UNKNOWN;
        report->guests[2].pauses = 0;
        for (int64_t *actual = &report->guests[2].figures.actual_saved_bytes;
             actual <= &report->guests[2].figures.actual_zero_bytes; actual++)
                *actual = REPORT_UNKNOWN;
        golden_reason(report, GAP_REASON_SHARED_MAPPING, 60 << 20, 0);
        golden_reason(report, GAP_REASON_VOLATILE, 19 << 20, 20 << 20);
        report->merge = golden_merge(report->n_guests);
        return report;
}
