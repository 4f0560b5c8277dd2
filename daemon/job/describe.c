/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/job/describe.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "merge/gap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* A random identifier: two scans of one second must differ. */
static void draw_id(char *id, size_t size)
{
        unsigned char bytes[8] = {0};

        (void)!getrandom(bytes, sizeof(bytes), 0);
        for (size_t i = 0; i < sizeof(bytes); i++)
                (void)snprintf(id + 2 * i, size - 2 * i, "%02x", bytes[i]);
}

static void describe_host(struct report *report)
{
        struct utsname system = {0};
        struct tm utc = {0};
        time_t now = time(NULL);

        draw_id(report->id, sizeof(report->id));
        if (gmtime_r(&now, &utc))
                (void)strftime(report->started, sizeof(report->started), "%Y-%m-%dT%H:%M:%SZ", &utc);
        (void)gethostname(report->host_name, sizeof(report->host_name) - 1);
        if (uname(&system) == 0)
                (void)snprintf(report->kernel, sizeof(report->kernel), "%s", system.release);
        report->host_memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

static const struct pages_block *find_scanned_block(const struct inventory_guest *guest, const char *id)
{
        for (size_t i = 0; guest->ram && i < guest->ram->pages.n_blocks; i++)
                if (strcmp(guest->ram->pages.blocks[i].id, id) == 0)
                        return &guest->ram->pages.blocks[i];
        return NULL;
}

/* A block is as eligible as its least eligible range. */
static enum gap_reason reason_of_block(const struct pages_block *block)
{
        enum gap_reason first = GAP_REASON_COUNT_;

        for (size_t i = 0; i < block->n_ranges; i++) {
                enum gap_reason reason = gap_reason_of_range(&block->ranges[i]);

                first = reason < first ? reason : first;
        }
        return first;
}

static int describe_block(const struct inventory_guest *guest, const struct ram_block *from,
                          struct report_block *block)
{
        const struct pages_block *scanned = find_scanned_block(guest, from->id);

        block->id = strdup(from->id);
        block->backend = from->backend ? strdup(from->backend) : NULL;
        if (!block->id || (from->backend && !block->backend))
                return -ENOMEM;
        block->size_bytes = (int64_t)from->size_bytes;
        block->present_bytes = REPORT_UNKNOWN;
        block->page_size = REPORT_UNKNOWN;
        block->shared = from->share;
        if (from->hva == 0)
                block->reason = REPORT_NOT_MAPPED;
        if (scanned) {
                const enum gap_reason reason = reason_of_block(scanned);
                const struct page_reader *reader = scanned->ranges[0].reader;

                block->shared = scanned->ranges[0].shared;
                block->page_size = (int64_t)mapping_of_reader(reader)->page_size_bytes;
                block->reader = page_reader_to_string(reader->kind);
                block->ksm_eligible = reason == GAP_REASON_COUNT_;
                block->reason = block->ksm_eligible ? NULL : gap_reason_to_string(reason);
        }
        return 0;
}

static int describe_guest(const struct inventory_guest *from, struct report_guest *guest)
{
        guest->name = strdup(from->name);
        guest->via = from->by_libvirt ? REPORT_VIA_LIBVIRT : REPORT_VIA_QMP;
        guest->pause_seconds = REPORT_UNKNOWN;
        guest->error = from->failure;
        if (!guest->name)
                return -ENOMEM;
        /* The name may be a path, so any bytes; JSON and terminals take UTF-8. */
        text_make_printable(guest->name);
        if (!from->qmp)
                return 0;
        guest->uuid = from->qmp->uuid ? strdup(from->qmp->uuid) : NULL;
        guest->group = from->qmp->group ? strdup(from->qmp->group) : NULL;
        if (guest->group)
                text_make_printable(guest->group);
        guest->pid = from->qmp->pid;
        memcpy(guest->found_state, from->qmp->found_state, sizeof(guest->found_state));
        guest->blocks = calloc(from->qmp->blocks.count + 1, sizeof(*guest->blocks));
        if (!guest->blocks)
                return -ENOMEM;
        for (size_t i = 0; i < from->qmp->blocks.count; i++) {
                int r = describe_block(from, &from->qmp->blocks.blocks[i], &guest->blocks[i]);

                guest->n_blocks++;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int describe_guests(const struct inventory *inventory, struct report *report)
{
        int r = 0;

        report->guests = calloc(inventory->n_guests + 1, sizeof(*report->guests));
        if (!report->guests)
                return -ENOMEM;
        for (size_t i = 0; i < inventory->n_guests && r == 0; i++) {
                report->n_guests++;
                r = describe_guest(&inventory->guests[i], &report->guests[i]);
        }
        return r;
}

int describe_inventory(const struct scan_wish *scan, const struct inventory *inventory, struct report **ret)
{
        struct report *report = calloc(1, sizeof(*report));
        int r = 0;

        if (!report)
                return -ENOMEM;
        report->mode = scan->mode;
        report->together = scan->together;
        report->gap_bytes = REPORT_UNKNOWN;
        describe_host(report);
        r = describe_guests(inventory, report);
        if (r < 0) {
                report_free(report);
                return r;
        }
        *ret = report;
        return 0;
}
