/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers the groups that have names. A guest without a group trusts nobody, so it is a group of its own.
 * Where guests of different groups may share, all guests are one group and the names do not matter.
 */
#include "daemon/job/merge_plan.h"

#include "base/cleanup.h"
#include "merge/forecast.h"
#include "merge/ksm/ksmd.h"
#include "merge/plan.h"
#include "pages/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A group that no guest is in. */
#define NOBODY INT64_MAX

struct merge_plan {
        const struct merge_plan_input *in;
        uint32_t *groups; /* by scanned guest */
        size_t n_groups;
        bool *left_out;
        struct plan_guest *guests;
        struct forecast *forecast;
        struct plan *plan;
        int64_t reached_bytes;
};

static const char *group_of(const struct merge_plan *making, size_t guest)
{
        const struct report_guest *report = &making->in->report->guests[making->in->indexes[guest]];
        const char *group = groups_find(&making->in->merging->groups, report->name);

        return group ? group : report->group;
}

static void number_groups(struct merge_plan *making)
{
        const size_t n_guests = making->in->census->n_guests;

        if (making->in->merging->cross_group) {
                making->n_groups = 1;
                return;
        }
        for (size_t g = 0; g < n_guests; g++) {
                const char *group = group_of(making, g);
                size_t same = 0;

                while (group && same < g &&
                       (!group_of(making, same) || strcmp(group_of(making, same), group) != 0))
                        same++;
                making->groups[g] = group && same < g ? making->groups[same] : (uint32_t)making->n_groups++;
        }
}

static void observe_range(const struct pages_range *range, struct plan_guest *guest)
{
        if (range->shared || range->hugetlb)
                return;
        guest->can_merge = true;
        guest->is_mergeable = guest->is_mergeable || range->mergeable;
        guest->is_whole = guest->is_whole && range->mergeable;
}

static void observe_guest(const struct merge_plan *making, size_t g, struct plan_guest *guest)
{
        const struct pages *pages = making->in->census->pages[g];

        *guest = (struct plan_guest){
                .group = making->groups[g], .is_whole = true, .left_out = making->left_out[g]};
        for (size_t b = 0; b < pages->n_blocks; b++)
                for (size_t r = 0; r < pages->blocks[b].n_ranges; r++)
                        observe_range(&pages->blocks[b].ranges[r], guest);
}

/* The number of the wanted group; negative: any group. */
static int64_t pinned_group(const struct merge_plan *making)
{
        const struct merging *merging = making->in->merging;

        if (!merging->group || merging->cross_group)
                return -1;
        for (size_t g = 0; g < making->in->census->n_guests; g++) {
                const char *group = group_of(making, g);

                if (group && strcmp(group, merging->group) == 0)
                        return making->groups[g];
        }
        return NOBODY;
}

static struct plan_rules rules_of(const struct merge_plan *making)
{
        const struct merging *merging = making->in->merging;

        return (struct plan_rules){
                .cross_group = merging->cross_group,
                .pinned = pinned_group(making),
                .use_zero_pages = merging->use_zero_pages,
                .smart_scan = merging->smart_scan,
        };
}

static int reckon_forecast(struct merge_plan *making, struct pool *pool)
{
        const struct ksm *ksm = &making->in->report->ksm;
        int64_t max_page_sharing = 0;
        int64_t use_zero_pages = 0;
        struct forecast_request request = {.groups = making->groups, .n_groups = making->n_groups};

        (void)ksm_get(ksm, "max_page_sharing", &max_page_sharing);
        (void)ksm_get(ksm, "use_zero_pages", &use_zero_pages);
        request.max_page_sharing = max_page_sharing > 0 ? (uint64_t)max_page_sharing : 0;
        request.use_zero_pages = making->in->merging->use_zero_pages == TRISTATE_KEEP
                                         ? use_zero_pages == 1
                                         : making->in->merging->use_zero_pages == TRISTATE_YES;
        return forecast_leave_out_losses(making->in->census, pool, &request, making->left_out,
                                         &making->forecast);
}

static int decide_plan(struct merge_plan *making)
{
        const struct plan_rules rules = rules_of(making);

        for (size_t g = 0; g < making->in->census->n_guests; g++)
                observe_guest(making, g, &making->guests[g]);
        return plan_new(&rules, making->forecast, making->guests, making->in->census->n_guests,
                        &making->plan);
}

static bool is_chosen(const struct merge_plan *making, size_t g)
{
        const struct plan_guest *guest = &making->guests[g];

        return making->plan->merges && guest->group == making->plan->group && guest->can_merge &&
               !guest->left_out;
}

/* Pages of the chosen guests, less the frames behind them; copies are sorted by frame. */
static void count_saved(void *context, uint64_t *scratch, uint64_t *sums, const struct census_copy *copies,
                        size_t n_copies)
{
        const struct merge_plan *making = context;
        uint64_t last = FRAME_OWN;

        (void)scratch;
        for (size_t i = 0; i < n_copies; i++) {
                if (!is_chosen(making, copies[i].guest))
                        continue;
                sums[0] += copies[i].frame != FRAME_OWN && copies[i].frame == last;
                last = copies[i].frame;
        }
}

/* What the chosen guests save now, each with itself and with the others. */
static int count_reached(struct merge_plan *making, struct pool *pool)
{
        const struct actual *actual = making->in->actual;
        uint64_t pages = 0;
        int r = 0;

        making->reached_bytes = REPORT_UNKNOWN;
        if (!actual->known)
                return 0;
        r = census_count_duplicates(
                making->in->census, pool,
                &(struct census_counter){.count = count_saved, .context = making, .n_sums = 1}, &pages);
        for (size_t g = 0; g < making->in->census->n_guests; g++)
                if (is_chosen(making, g))
                        pages += actual->guests[g].zero;
        making->reached_bytes = page_bytes(pages);
        return r;
}

static void fill_figures(const struct merge_plan *making, struct report_merge *merge)
{
        const struct forecast_figures *figures = &making->plan->figures;
        const struct plan_rules rules = rules_of(making);
        int64_t pages_scanned = 0;
        const double page_seconds = ksm_get(&making->in->report->ksm, "pages_scanned", &pages_scanned)
                                            ? ksmd_page_seconds(pages_scanned)
                                            : KSMD_PAGE_SECONDS;
        const struct plan_rate fast = plan_rate_of_cpu(making->in->merging->cpu_percent, page_seconds);
        const struct plan_rate steady = plan_rate_for(figures->scanned);
        const struct plan_rate *rate = making->in->merging->service_pid > 0 ? &fast : &steady;

        merge->self_bytes = page_bytes(figures->self);
        merge->inter_bytes = page_bytes(figures->inter);
        merge->zero_bytes = page_bytes(figures->zero);
        merge->scanned_bytes = page_bytes(figures->scanned);
        merge->mergeable_bytes = page_bytes(figures->scanned + figures->zero_now);
        merge->sharable_bytes = page_bytes(figures->sharable + figures->zero);
        merge->bookkeeping_bytes = (int64_t)(figures->scanned * KSM_ITEM_BYTES);
        merge->net_bytes = forecast_net_bytes(figures);
        merge->isolation_bytes = making->plan->isolation_bytes;
        merge->huge_pages = (int64_t)making->plan->huge_pages;
        merge->reached_bytes = making->reached_bytes;
        merge->cost = plan_cost(figures->scanned, rate, page_seconds);
        merge->settings = plan_settings(&rules, &making->in->report->ksm, rate);
}

static void fill_merge_guest(const struct merge_plan *making, size_t g, struct report_merge_guest *guest)
{
        const struct forecast_figures *figures = &making->forecast->guests[g];

        guest->is_known = true;
        guest->is_chosen = is_chosen(making, g);
        guest->left_out = making->left_out[g];
        guest->saved_bytes = forecast_saved_bytes(figures);
        guest->net_bytes = forecast_net_bytes(figures);
        guest->change = making->plan->changes[g];
}

static int fill_merge(const struct merge_plan *making)
{
        struct report_merge *merge = report_merge_new(making->in->report->n_guests);

        if (!merge)
                return -ENOMEM;
        making->in->report->merge = merge;
        merge->merges = making->plan->merges;
        merge->cross_group = making->in->merging->cross_group;
        for (size_t g = 0; g < making->in->census->n_guests; g++) {
                const char *group = group_of(making, g);

                fill_merge_guest(making, g, &merge->guests[making->in->indexes[g]]);
                if (!is_chosen(making, g) || merge->cross_group || merge->group || !group)
                        continue;
                merge->group = strdup(group);
                if (!merge->group)
                        return -ENOMEM;
        }
        if (merge->merges)
                fill_figures(making, merge);
        if (rules_of(making).pinned == NOBODY)
                (void)failure_set(&merge->refusal, 0, "no guest is in the group \"%s\"",
                                  making->in->merging->group);
        return 0;
}

int merge_plan_run(const struct merge_plan_input *in, struct pool *pool)
{
        const size_t n_guests = in->census->n_guests;
        CLEANUP_FREE uint32_t *groups = calloc(n_guests + 1, sizeof(*groups));
        CLEANUP_FREE bool *left_out = calloc(n_guests + 1, sizeof(*left_out));
        CLEANUP_FREE struct plan_guest *guests = calloc(n_guests + 1, sizeof(*guests));
        struct merge_plan making = {
                .in = in,
                .groups = groups,
                .left_out = left_out,
                .guests = guests,
        };
        int r = groups && left_out && guests ? 0 : -ENOMEM;

        if (r == 0) {
                number_groups(&making);
                r = reckon_forecast(&making, pool);
        }
        if (r == 0)
                r = decide_plan(&making);
        if (r == 0)
                r = count_reached(&making, pool);
        if (r == 0)
                r = fill_merge(&making);
        forecast_free(making.forecast);
        plan_free(making.plan);
        return r;
}
