/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/job/figures.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/job/merge_plan.h"
#include "merge/actual.h"
#include "merge/census.h"
#include "merge/gap.h"
#include "merge/ksm/ksm.h"
#include "merge/ksm/ksm_clock.h"
#include "merge/ksm/ksmd.h"
#include "pages/page.h"
#include "scanner/frames.h"
#include "scanner/numa_read.h"
#include "scanner/pins_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* The scanned guests, and the index of each in the report. */
struct scanned {
        struct pages **pages;
        size_t *indexes;
        struct gap_guest_facts *facts;
        size_t n;
};

static void scanned_deinit(struct scanned *scanned)
{
        free(scanned->pages);
        free(scanned->indexes);
        for (size_t i = 0; i < scanned->n; i++)
                pins_deinit(&scanned->facts[i].pins);
        free(scanned->facts);
}

static uint64_t ram_bytes(const struct pages *pages)
{
        uint64_t n_pages = 0;

        for (size_t i = 0; i < pages->n_blocks; i++)
                n_pages += pages->blocks[i].n_pages;
        return n_pages * PAGE_BYTES;
}

static bool ram_is_locked(const struct guest_ram *ram)
{
        for (size_t b = 0; b < ram->pages.n_blocks; b++)
                for (size_t r = 0; r < ram->pages.blocks[b].n_ranges; r++)
                        if (ram->mappings[b][r].locked)
                                return true;
        return false;
}

/* When its QEMU started, by the clock of ksm_clock_tick()'s samples. */
static uint64_t started_usec(const struct qmp_guest *guest)
{
        const long ticks_per_sec = sysconf(_SC_CLK_TCK);

        return ticks_per_sec > 0 ? guest->start_ticks * USEC_PER_SEC / (uint64_t)ticks_per_sec : 0;
}

static int learn_facts(struct gap_guest_facts *facts, const struct inventory_guest *guest,
                       const struct ksm *ksm, const struct ksm_clock *clock)
{
        int64_t full_scans = 0;

        if (ksm_visited_pages(guest->qmp->proc_fd, &facts->visited_pages) < 0)
                facts->visited_pages = UINT64_MAX;
        facts->passes = ksm_get(ksm, "full_scans", &full_scans)
                                ? ksm_clock_passes_since(clock, started_usec(guest->qmp), full_scans)
                                : -1;
        return pins_read(guest->qmp->proc_fd, ram_bytes(&guest->ram->pages), ram_is_locked(guest->ram),
                         &facts->pins);
}

static int scanned_init(struct scanned *scanned, const struct ksm_settings_place *place,
                        const struct inventory *inventory, const struct report *report)
{
        struct ksm_clock clock = {0};
        int r = 0;

        scanned->pages = calloc(report->n_guests + 1, sizeof(struct pages *));
        scanned->indexes = calloc(report->n_guests + 1, sizeof(*scanned->indexes));
        scanned->facts = calloc(report->n_guests + 1, sizeof(*scanned->facts));
        if (!scanned->pages || !scanned->indexes || !scanned->facts)
                return -ENOMEM;
        (void)ksm_clock_tick(place->runtime_dir, place->ksm_dir, &clock);
        for (size_t i = 0; i < report->n_guests && r == 0; i++) {
                const struct inventory_guest *guest = &inventory->guests[i];

                if (!report->guests[i].scanned)
                        continue;
                scanned->indexes[scanned->n] = i;
                scanned->pages[scanned->n] = &guest->ram->pages;
                r = learn_facts(&scanned->facts[scanned->n++], guest, &report->ksm, &clock);
        }
        return r;
}

static struct report_figures to_figures(const struct census_figures *ideal,
                                        const struct actual_figures *actual, bool actual_known)
{
        struct report_figures figures = {
                .ram_bytes = page_bytes(ideal->ram),
                .present_bytes = page_bytes(ideal->present),
                .absent_bytes = page_bytes(ideal->absent),
                .swapped_bytes = page_bytes(ideal->swapped),
                .zero_bytes = page_bytes(ideal->zero),
                .distinct_bytes = page_bytes(ideal->distinct),
                .self_sharing_bytes = page_bytes(ideal->self_sharing),
                .inter_sharing_bytes = page_bytes(ideal->inter_sharing),
                .actual_saved_bytes = REPORT_UNKNOWN,
                .actual_ksm_bytes = REPORT_UNKNOWN,
                .actual_self_bytes = REPORT_UNKNOWN,
                .actual_inter_bytes = REPORT_UNKNOWN,
                .actual_zero_bytes = REPORT_UNKNOWN,
        };

        if (actual_known) {
                figures.actual_saved_bytes = page_bytes(actual_saved(actual));
                figures.actual_ksm_bytes = page_bytes(actual->ksm);
                figures.actual_self_bytes = page_bytes(actual->self);
                figures.actual_inter_bytes = page_bytes(actual->inter);
                figures.actual_zero_bytes = page_bytes(actual->zero);
        }
        return figures;
}

static uint64_t count_present(const struct pages_block *block)
{
        uint64_t n = 0;

        for (uint64_t page = 0; page < block->n_pages; page++)
                n += page_is_present(block->fingerprints[page]);
        return n;
}

static void fill_blocks(struct report_guest *guest, const struct pages *pages)
{
        for (size_t i = 0; i < guest->n_blocks; i++)
                for (size_t b = 0; b < pages->n_blocks; b++)
                        if (strcmp(guest->blocks[i].id, pages->blocks[b].id) == 0)
                                guest->blocks[i].present_bytes = page_bytes(count_present(&pages->blocks[b]));
}

static void fill_guests(struct report *report, const struct scanned *scanned, const struct census *census,
                        const struct actual *actual)
{
        for (size_t i = 0; i < scanned->n; i++) {
                struct report_guest *guest = &report->guests[scanned->indexes[i]];
                const bool known = scanned->pages[i]->frames_known;

                guest->figures = to_figures(&census->guests[i], &actual->guests[i], known);
                fill_blocks(guest, scanned->pages[i]);
                if (!known && guest->note.text[0] == '\0')
                        (void)failure_set(&guest->note, 0,
                                          "the kernel does not show which frames stand behind its pages "
                                          "(this needs CAP_SYS_ADMIN): what is merged stays unknown");
        }
        report->total = to_figures(&census->total, &actual->total, actual->known);
}

static uint64_t count_users(const void *context, uint64_t pfn)
{
        return frame_users_of_ksm_page(context, pfn);
}

static struct gap_facts gather_facts(const struct ksm_settings_place *place, const struct ksm *ksm,
                                     const struct scanned *scanned)
{
        struct gap_facts facts = {.full_scans = -1, .guests = scanned->facts};
        int64_t run = 0;
        int64_t max_page_sharing = 0;
        int64_t smart_scan = 0;

        facts.ksm_known = ksm_get(ksm, "run", &run);
        facts.ksm_runs = ksmd_is_at_work(ksm, place);
        facts.passes_over = ksm_get(ksm, "smart_scan", &smart_scan) && smart_scan != 0;
        (void)ksm_get(ksm, "full_scans", &facts.full_scans);
        if (ksm_get(ksm, "max_page_sharing", &max_page_sharing) && max_page_sharing > 0)
                facts.max_page_sharing = (uint64_t)max_page_sharing;
        return facts;
}

/* Nodes matter only where KSM does not merge across them and the host has several. */
static bool learn_nodes(const struct ksm *ksm, struct numa *ret)
{
        CLEANUP_CLOSE int fd = -1;
        int64_t across = 1;

        if (!ksm_get(ksm, "merge_across_nodes", &across) || across != 0)
                return false;
        fd = open(NUMA_SYSTEM_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd >= 0 && numa_read(fd, ret) == 0;
}

static int fill_reason(struct report *report, const struct scanned *scanned, const struct gap *gap,
                       enum gap_reason reason)
{
        struct report_reason *entry = &report->reasons[report->n_reasons];

        *entry = (struct report_reason){.reason = reason, .bytes = page_bytes(gap->by_reason[reason])};
        entry->by_guest = calloc(report->n_guests + 1, sizeof(*entry->by_guest));
        if (!entry->by_guest)
                return -ENOMEM;
        report->n_reasons++;
        for (size_t i = 0; i < scanned->n; i++)
                entry->by_guest[scanned->indexes[i]] =
                        page_bytes(gap->by_guest[i * GAP_REASON_COUNT_ + reason]);
        return 0;
}

static int fill_reasons(struct report *report, const struct scanned *scanned, const struct gap *gap)
{
        int r = 0;

        report->gap_bytes = page_bytes(gap->pages);
        for (enum gap_reason reason = 0; reason < GAP_REASON_COUNT_ && r == 0; reason++)
                if (gap->by_reason[reason] > 0)
                        r = fill_reason(report, scanned, gap, reason);
        return r;
}

static void find_users(struct frame_users *users, int kpageflags_fd)
{
        CLEANUP_CLOSE int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

        frame_users_init(users, proc_fd, kpageflags_fd);
}

static int fill_gap(const struct first_look *first, struct report *report, const struct scanned *scanned,
                    const struct census *census)
{
        struct gap_facts facts = gather_facts(first->place, &report->ksm, scanned);
        CLEANUP(frame_users_deinit) struct frame_users users = {-1, -1};
        struct numa numa = {0};
        struct gap *gap = NULL;
        struct second_look second = {0};
        int r = second_look_run(first, census, &report->ksm, &second);

        report->recheck_seconds = second.seconds;
        facts.was_met_twice = second.was_met_twice;
        facts.numa = learn_nodes(&report->ksm, &numa) ? &numa : NULL;
        find_users(&users, first->kpageflags_fd);
        facts.count_users = count_users;
        facts.users_context = &users;
        if (r == 0)
                r = gap_new(census, first->pool, &facts, &gap);
        if (r == 0)
                r = fill_reasons(report, scanned, gap);
        gap_free(gap);
        numa_deinit(&numa);
        return r;
}

static int fill_report(const struct first_look *first, const struct merging *merging, struct report *report,
                       const struct scanned *scanned)
{
        struct census *census = NULL;
        struct actual *actual = NULL;
        int r = census_new(first->pool, scanned->pages, scanned->n, &census);

        if (r == 0)
                r = actual_new(census, first->pool, &actual);
        if (r == 0)
                fill_guests(report, scanned, census, actual);
        if (r == 0 && actual->known)
                r = fill_gap(first, report, scanned, census);
        if (r == 0 && merging->forecast)
                r = merge_plan_run(
                        &(struct merge_plan_input){merging, census, actual, scanned->indexes, report},
                        first->pool);
        actual_free(actual);
        census_free(census);
        return r;
}

int figures_fill(const struct first_look *first, const struct merging *merging,
                 const struct inventory *inventory, struct report *report)
{
        struct scanned scanned = {0};
        int r = ksm_read(first->place->ksm_dir, &report->ksm);

        /* Unreadable settings do not lose the scan: reasons that need them become "unexplained". */
        if (r < 0)
                report->ksm.available = false;
        r = scanned_init(&scanned, first->place, inventory, report);
        if (r == 0)
                r = fill_report(first, merging, report, &scanned);
        scanned_deinit(&scanned);
        return r;
}
