/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/reclaim/reclaim_job.h"

#include "base/clock.h"
#include "pages/page.h"
#include "qmp/virt/bridge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* How far the search is, over all files. */
struct search {
        const struct job_observer *observer;
        uint64_t done_bytes; /* of the guests before this one */
        uint64_t total_bytes;
};

static uint64_t searched_bytes(const struct reclaim_guest *guest)
{
        uint64_t bytes = 0;

        for (size_t i = 0; i < guest->n_parts; i++)
                if (guest->parts[i].is_open)
                        bytes += guest->parts[i].mapping.size_bytes;
        return bytes;
}

static void on_search_tick(void *context, uint64_t n_pages)
{
        const struct search *search = context;

        if (search->observer && search->observer->progress)
                search->observer->progress(search->observer->context,
                                           search->done_bytes + n_pages * PAGE_BYTES, search->total_bytes);
}

static void find_all(struct reclaim_result *result, const struct job_observer *observer)
{
        struct search search = {.observer = observer};

        for (size_t i = 0; i < result->n_guests; i++)
                search.total_bytes += searched_bytes(&result->guests[i]);
        for (size_t i = 0; i < result->n_guests; i++) {
                reclaim_guest_find(&result->guests[i], on_search_tick, &search);
                search.done_bytes += searched_bytes(&result->guests[i]);
        }
}

static void leave_trace(struct reclaim_trace *trace, const struct reclaim_result *result, size_t n_done)
{
        if (!trace)
                return;
        trace->n_done = n_done;
        trace->n_guests = result->n_guests;
        (void)snprintf(trace->guest, sizeof(trace->guest), "%s",
                       n_done < result->n_guests ? result->guests[n_done].source->name : "");
}

static void apply_all(struct reclaim_result *result, const struct reclaim_wish *wish,
                      struct reclaim_trace *trace, struct guard *guard, const struct failure *guard_failure)
{
        for (size_t i = 0; i < result->n_guests; i++) {
                leave_trace(trace, result, i);
                if (!result->guests[i].source->ram)
                        continue;
                reclaim_guest_apply(&result->guests[i], wish->scan->max_pause_usec, guard, guard_failure);
                reclaim_guest_measure_after(&result->guests[i]);
        }
}

static int run(const struct reclaim_wish *wish, const struct job_observer *observer,
               struct reclaim_trace *trace, struct reclaim_result *result, struct guard *guard,
               const struct failure *guard_failure)
{
        struct failure bridge_failure = {0};
        int r = 0;

        result->bridge = inventory_start_bridge(wish->guests, &bridge_failure);
        r = inventory_new(wish->guests, wish->scan, result->bridge, &bridge_failure, &result->inventory);
        if (r < 0)
                return r;
        result->guests = calloc(result->inventory->n_guests + 1, sizeof(*result->guests));
        if (!result->guests)
                return -ENOMEM;
        for (size_t i = 0; i < result->inventory->n_guests; i++)
                reclaim_guest_open(&result->guests[result->n_guests++], &result->inventory->guests[i],
                                   wish->guests->libvirt_monitor);
        find_all(result, observer);
        if (wish->apply)
                apply_all(result, wish, trace, guard, guard_failure);
        return 0;
}

int reclaim_job_run(const struct reclaim_wish *wish, const struct job_observer *observer,
                    struct reclaim_trace *trace, struct reclaim_result *ret_result, struct failure *failure)
{
        const uint64_t begun_usec = clock_now_usec();
        struct reclaim_result result = {.applied = wish->apply};
        struct failure guard_failure = {0};
        struct guard *guard = NULL;
        int r = 0;

        if (wish->apply)
                (void)guard_start(wish->runtime_dir, &guard, &guard_failure);
        r = run(wish, observer, trace, &result, guard, &guard_failure);
        guard_free(guard);
        result.duration_seconds = (double)(clock_now_usec() - begun_usec) / USEC_PER_SEC;
        if (r < 0) {
                reclaim_result_deinit(&result);
                return failure_errno(failure, r, "nothing could be looked at");
        }
        *ret_result = result;
        return 0;
}

void reclaim_result_deinit(struct reclaim_result *result)
{
        for (size_t i = 0; i < result->n_guests; i++)
                reclaim_guest_deinit(&result->guests[i]);
        free(result->guests);
        inventory_free(result->inventory);
        bridge_free(result->bridge);
        *result = (struct reclaim_result){0};
}
