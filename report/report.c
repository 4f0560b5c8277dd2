/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/report.h"

#include "base/cleanup.h"

#include <assert.h>
#include <stdlib.h>

const char *report_consistency_to_string(enum report_consistency consistency)
{
        static const char *const names[] = {
                [REPORT_CONSISTENCY_EXACT] = "exact",
                [REPORT_CONSISTENCY_SLICED] = "sliced",
                [REPORT_CONSISTENCY_LIVE] = "live",
        };

        static_assert(ARRAY_SIZE(names) == REPORT_CONSISTENCY_COUNT_, "every consistency has a name");
        return names[consistency];
}

static void free_report_guest(struct report_guest *guest)
{
        for (size_t i = 0; guest->blocks && i < guest->n_blocks; i++) {
                free(guest->blocks[i].id);
                free(guest->blocks[i].backend);
        }
        free(guest->blocks);
        free(guest->name);
        free(guest->uuid);
        free(guest->group);
}

struct report *report_free(struct report *report)
{
        if (!report)
                return NULL;
        for (size_t i = 0; i < report->n_guests; i++)
                free_report_guest(&report->guests[i]);
        for (size_t i = 0; i < report->n_reasons; i++)
                free(report->reasons[i].by_guest);
        report_merge_free(report->merge);
        free(report->guests);
        free(report);
        return NULL;
}

size_t report_n_scanned(const struct report *report)
{
        size_t n = 0;

        for (size_t i = 0; i < report->n_guests; i++)
                n += report->guests[i].scanned;
        return n;
}

static int64_t add_bytes(int64_t a, int64_t b)
{
        return a < 0 || b < 0 ? REPORT_UNKNOWN : a + b;
}

int64_t report_ideal_bytes(const struct report_figures *figures)
{
        return add_bytes(figures->self_sharing_bytes, figures->inter_sharing_bytes);
}

int64_t report_merged_bytes(const struct report_figures *figures)
{
        return add_bytes(figures->actual_self_bytes, figures->actual_inter_bytes);
}
