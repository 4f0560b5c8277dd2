/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/tally.h"

#include "base/cleanup.h"
#include "daemon/forecasting.h"
#include "merge/actual.h"
#include "merge/census.h"
#include "merge/gap.h"
#include "merge/ksm.h"
#include "scanner/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The scanned guests, and where each stands in the report. */
struct scanned {
        struct guest_ram **rams;
        size_t *indexes;
        uint64_t *visited_pages;
        size_t n;
};

static void scanned_deinit(struct scanned *scanned)
{
        free(scanned->rams);
        free(scanned->indexes);
        free(scanned->visited_pages);
}

static int scanned_init(struct scanned *scanned, const struct inventory *inventory,
                        const struct report *report)
{
        scanned->rams = calloc(report->n_guests + 1, sizeof(struct guest_ram *));
        scanned->indexes = calloc(report->n_guests + 1, sizeof(*scanned->indexes));
        scanned->visited_pages = calloc(report->n_guests + 1, sizeof(*scanned->visited_pages));
        if (!scanned->rams || !scanned->indexes || !scanned->visited_pages)
                return -ENOMEM;
        for (size_t i = 0; i < report->n_guests; i++) {
                const struct inventory_guest *guest = &inventory->guests[i];
                uint64_t *visited = &scanned->visited_pages[scanned->n];

                if (!report->guests[i].scanned)
                        continue;
                if (ksm_visited_pages(guest->qmp->proc_fd, visited) < 0)
                        *visited = UINT64_MAX;
                scanned->indexes[scanned->n] = i;
                scanned->rams[scanned->n++] = guest->ram;
        }
        return 0;
}

static int64_t to_bytes(uint64_t pages)
{
        return (int64_t)(pages * PAGE_BYTES);
}

static struct report_figures to_figures(const struct census_figures *ideal,
                                        const struct actual_figures *actual, bool actual_known)
{
        struct report_figures figures = {
                .ram_bytes = to_bytes(ideal->ram),
                .present_bytes = to_bytes(ideal->present),
                .absent_bytes = to_bytes(ideal->absent),
                .swapped_bytes = to_bytes(ideal->swapped),
                .zero_bytes = to_bytes(ideal->zero),
                .distinct_bytes = to_bytes(ideal->distinct),
                .self_sharing_bytes = to_bytes(ideal->self_sharing),
                .inter_sharing_bytes = to_bytes(ideal->inter_sharing),
                .actual_saved_bytes = REPORT_UNKNOWN,
                .actual_ksm_bytes = REPORT_UNKNOWN,
                .actual_self_bytes = REPORT_UNKNOWN,
                .actual_inter_bytes = REPORT_UNKNOWN,
                .actual_zero_bytes = REPORT_UNKNOWN,
        };

        if (actual_known) {
                figures.actual_saved_bytes = to_bytes(actual_saved(actual));
                figures.actual_ksm_bytes = to_bytes(actual->ksm);
                figures.actual_self_bytes = to_bytes(actual->self);
                figures.actual_inter_bytes = to_bytes(actual->inter);
                figures.actual_zero_bytes = to_bytes(actual->zero);
        }
        return figures;
}

static uint64_t count_present(const struct guest_block *block)
{
        uint64_t n = 0;

        for (uint64_t page = 0; page < block->n_pages; page++)
                n += page_is_present(block->fingerprints[page]);
        return n;
}

static void fill_blocks(struct report_guest *guest, const struct guest_ram *ram)
{
        for (size_t i = 0; i < guest->n_blocks; i++)
                for (size_t b = 0; b < ram->n_blocks; b++)
                        if (strcmp(guest->blocks[i].id, ram->blocks[b].id) == 0)
                                guest->blocks[i].present_bytes = to_bytes(count_present(&ram->blocks[b]));
}

static void fill_guests(struct report *report, const struct scanned *scanned, const struct census *census,
                        const struct actual *actual)
{
        for (size_t i = 0; i < scanned->n; i++) {
                struct report_guest *guest = &report->guests[scanned->indexes[i]];
                const bool known = scanned->rams[i]->frames_known;

                guest->figures = to_figures(&census->guests[i], &actual->guests[i], known);
                fill_blocks(guest, scanned->rams[i]);
                if (!known && guest->note.text[0] == '\0')
                        (void)failure_set(&guest->note, 0,
                                          "the kernel does not show which frames stand behind its pages "
                                          "(this needs CAP_SYS_ADMIN): what is merged stays unknown");
        }
        report->total = to_figures(&census->total, &actual->total, actual->known);
}

static struct gap_facts gather_facts(const struct ksm *ksm, const struct scanned *scanned)
{
        struct gap_facts facts = {.full_scans = -1, .visited_pages = scanned->visited_pages};
        int64_t run = 0;
        int64_t max_page_sharing = 0;

        facts.ksm_known = ksm_get(ksm, "run", &run);
        facts.ksm_runs = run == 1;
        (void)ksm_get(ksm, "full_scans", &facts.full_scans);
        if (ksm_get(ksm, "max_page_sharing", &max_page_sharing) && max_page_sharing > 0)
                facts.max_page_sharing = (uint64_t)max_page_sharing;
        return facts;
}

static int fill_reason(struct report *report, const struct scanned *scanned, const struct gap *gap,
                       enum gap_reason reason)
{
        struct report_reason *entry = &report->reasons[report->n_reasons];

        *entry = (struct report_reason){.reason = reason, .bytes = to_bytes(gap->by_reason[reason])};
        entry->by_guest = calloc(report->n_guests + 1, sizeof(*entry->by_guest));
        if (!entry->by_guest)
                return -ENOMEM;
        report->n_reasons++;
        for (size_t i = 0; i < scanned->n; i++)
                entry->by_guest[scanned->indexes[i]] = to_bytes(gap->by_guest[i * GAP_REASON_MAX_ + reason]);
        return 0;
}

static int fill_gap(struct pool *pool, struct report *report, const struct scanned *scanned,
                    const struct census *census)
{
        const struct gap_facts facts = gather_facts(&report->ksm, scanned);
        struct gap *gap = NULL;
        int r = gap_new(census, pool, &facts, &gap);

        if (r < 0)
                return r;
        report->gap_bytes = to_bytes(gap->pages);
        for (enum gap_reason reason = 0; reason < GAP_REASON_MAX_ && r == 0; reason++)
                if (gap->by_reason[reason] > 0)
                        r = fill_reason(report, scanned, gap, reason);
        gap_free(gap);
        return r;
}

static int fill_report(struct pool *pool, const struct settings *settings, struct report *report,
                       const struct scanned *scanned)
{
        struct census *census = NULL;
        struct actual *actual = NULL;
        int r = census_new(pool, scanned->rams, scanned->n, &census);

        if (r == 0)
                r = actual_new(census, pool, &actual);
        if (r == 0)
                fill_guests(report, scanned, census, actual);
        if (r == 0 && actual->known)
                r = fill_gap(pool, report, scanned, census);
        if (r == 0 && settings->forecast)
                r = forecasting_run(pool, settings, census, actual, scanned->indexes, report);
        actual_free(actual);
        census_free(census);
        return r;
}

int tally(struct pool *pool, const struct settings *settings, const struct inventory *inventory,
          struct report *report)
{
        struct scanned scanned = {0};
        int r = ksm_read(settings->ksm_dir, &report->ksm);

        /* Unreadable settings are no reason to lose the scan: reasons that need them become "unexplained". */
        if (r < 0)
                report->ksm.available = false;
        r = scanned_init(&scanned, inventory, report);
        if (r == 0)
                r = fill_report(pool, settings, report, &scanned);
        scanned_deinit(&scanned);
        return r;
}
