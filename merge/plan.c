/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KSM merges across all processes that opted in, and merged pages are a side channel: the time that a write
 * takes shows a guest that somebody else has the same page. So only the guests of one trust group are
 * mergeable at a time. The plan chooses the group with the largest net gain, and says in bytes what all
 * guests together would save in addition.
 *
 * KSM must meet a page twice before it merges it: once to note its checksum, and once to see that the
 * checksum is unchanged. KSM may meet the copy later in the same pass, and a pass may have begun before the
 * guest was marked. So the plan counts three passes.
 */
#include "merge/plan.h"

#include "base/cleanup.h"
#include "pages/page.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PASSES 3
/*
 * Pages that ksmd scans between two sleeps at full speed. It holds KSM's lock for the milliseconds this
 * takes.
 */
#define BATCH_PAGES 4000
/* The kernel's defaults (Documentation/admin-guide/mm/ksm.rst). */
#define DEFAULT_PAGES  100
#define DEFAULT_SLEEP  20
#define SECONDS_A_HOUR 3600.0

const char *plan_change_to_string(enum plan_change change)
{
        static const char *const names[] = {
                [PLAN_CHANGE_NONE] = "none",
                [PLAN_CHANGE_MERGE] = "merge",
                [PLAN_CHANGE_UNMERGE] = "unmerge",
        };

        static_assert(ARRAY_SIZE(names) == PLAN_CHANGE_COUNT_, "every change has a name");
        return names[change];
}

/* Whether the plan merges the guest. */
static bool is_to_be_merged(const struct plan *plan, const struct plan_guest *guest)
{
        return plan->merges && guest->group == plan->group && guest->can_merge && !guest->left_out;
}

static enum plan_change change_of(const struct plan *plan, const struct plan_guest *guest)
{
        if (is_to_be_merged(plan, guest))
                return guest->is_whole ? PLAN_CHANGE_NONE : PLAN_CHANGE_MERGE;
        return plan->merges && guest->is_mergeable ? PLAN_CHANGE_UNMERGE : PLAN_CHANGE_NONE;
}

/* Chooses the group to merge: the pinned one, else the one with the largest net gain. */
static void choose_group(struct plan *plan, const struct plan_rules *rules, const struct forecast *forecast)
{
        int64_t best = 0;

        for (uint32_t i = 0; i < forecast->n_groups; i++) {
                const int64_t net = forecast_net_bytes(&forecast->groups[i]);

                if (net <= best || (rules->pinned >= 0 && rules->pinned != i))
                        continue;
                best = net;
                plan->merges = true;
                plan->group = i;
        }
}

int plan_new(const struct plan_rules *rules, const struct forecast *forecast, const struct plan_guest *guests,
             size_t n_guests, struct plan **ret)
{
        struct plan *plan = calloc(1, sizeof(*plan));

        if (!plan)
                return -ENOMEM;
        plan->n_guests = n_guests;
        plan->changes = calloc(n_guests + 1, sizeof(*plan->changes));
        if (!plan->changes) {
                plan_free(plan);
                return -ENOMEM;
        }
        choose_group(plan, rules, forecast);
        if (plan->merges) {
                plan->figures = forecast->groups[plan->group];
                if (!rules->cross_group)
                        plan->isolation_bytes = forecast_saved_bytes(&forecast->across) -
                                                forecast_saved_bytes(&plan->figures);
        }
        for (size_t i = 0; i < n_guests; i++) {
                plan->changes[i] = change_of(plan, &guests[i]);
                if (is_to_be_merged(plan, &guests[i]))
                        plan->huge_pages += forecast->huge_pages[i];
        }
        *ret = plan;
        return 0;
}

struct plan *plan_free(struct plan *plan)
{
        if (!plan)
                return NULL;
        free(plan->changes);
        free(plan);
        return NULL;
}

struct plan_cost plan_cost(uint64_t pages, const struct plan_rate *rate, double page_seconds)
{
        const double batch_cpu = (double)rate->pages_to_scan * page_seconds;
        const double batch = batch_cpu + (double)rate->sleep_millisecs / 1000;
        const double batches = (double)pages * PASSES / (double)rate->pages_to_scan;

        return (struct plan_cost){
                .seconds = batches * batch,
                .cpu_seconds = (double)pages * PASSES * page_seconds,
                .cpu_seconds_per_hour = SECONDS_A_HOUR * batch_cpu / batch,
        };
}

struct plan_rate plan_rate_for(uint64_t pages)
{
        const uint64_t wanted = pages * DEFAULT_SLEEP / (UINT64_C(1000) * PLAN_PASS_SECONDS);

        return (struct plan_rate){
                .pages_to_scan = wanted < DEFAULT_PAGES ? DEFAULT_PAGES : (int64_t)wanted,
                .sleep_millisecs = DEFAULT_SLEEP,
        };
}

struct plan_rate plan_rate_of_cpu(unsigned int cpu_percent, double page_seconds)
{
        const double batch_millisecs = BATCH_PAGES * page_seconds * 1000;

        return (struct plan_rate){
                .pages_to_scan = BATCH_PAGES,
                .sleep_millisecs = (int64_t)(batch_millisecs * (100.0 - cpu_percent) / cpu_percent + 0.5),
        };
}

static void add_switch(struct ksm_settings *settings, const char *name, enum tristate wanted)
{
        if (wanted != TRISTATE_KEEP)
                ksm_settings_add(settings, name, wanted == TRISTATE_YES);
}

struct ksm_settings plan_settings(const struct plan_rules *rules, const struct ksm *now,
                                  const struct plan_rate *rate)
{
        struct ksm_settings settings = {0};
        const struct ksm_file *advisor = now ? ksm_find(now, "advisor_mode") : NULL;

        if (!rate) {
                ksm_settings_add(&settings, "run", 0);
                return settings;
        }
        if (advisor && !strstr(advisor->text, "[none]"))
                ksm_settings_add_text(&settings, "advisor_mode", "none");
        add_switch(&settings, "use_zero_pages", rules->use_zero_pages);
        add_switch(&settings, "smart_scan", rules->smart_scan);
        ksm_settings_add(&settings, "pages_to_scan", rate->pages_to_scan);
        ksm_settings_add(&settings, "sleep_millisecs", rate->sleep_millisecs);
        ksm_settings_add(&settings, "run", 1);
        return settings;
}
