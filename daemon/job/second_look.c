/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * There is no second look while KSM is off: the gap then has one reason. When KSM runs, or samepaged stopped
 * it because there is nothing to merge, the pages of the gap that KSM may merge are chosen. They are examined
 * again the given number of seconds after their frames were read (scanner/recheck.c).
 *
 * KSM visits every page once a pass, and merges it at the second visit if the content is the same. The pass
 * under way at the first look may have been past the page, and the one under way at the second may not have
 * reached it. So KSM has certainly visited the page twice when two whole passes lie in between, which takes
 * the counter three steps. (With smart_scan KSM skips pages that it often visited in vain. Then this only
 * takes "not-scanned-yet" away from a page and says nothing else of it.)
 *
 * While the scan waits, the service's next job waits too. A look sooner than wanted tells less, and nothing
 * wrong. So the service sends EVENTS_HURRY_SIGNAL to end the wait; the signal does nothing where it is not
 * blocked.
 */
#include "daemon/job/second_look.h"

#include "base/clock.h"
#include "merge/gap.h"
#include "merge/ksm/ksmd.h"
#include "report/events.h"
#include "scanner/recheck.h"

#include <time.h>

/* Interval of the reports during the wait: without them the scan would be taken for hung. */
#define SLICE_USEC USEC_PER_SEC

static void fill_signals(sigset_t *ret)
{
        (void)sigemptyset(ret);
        (void)sigaddset(ret, EVENTS_HURRY_SIGNAL);
}

void second_look_prepare(void)
{
        sigset_t signals;

        fill_signals(&signals);
        (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

/* Return: whether a hurry signal arrived, now or before. */
static bool sleep_for(uint64_t usec)
{
        const struct timespec length = {
                .tv_sec = (time_t)(usec / USEC_PER_SEC),
                .tv_nsec = (long)(usec % USEC_PER_SEC * 1000),
        };
        sigset_t signals;

        fill_signals(&signals);
        return sigtimedwait(&signals, NULL, &length) == EVENTS_HURRY_SIGNAL;
}

static void wait_until(uint64_t usec, const struct job_observer *observer)
{
        for (uint64_t now = clock_now_usec(); now < usec; now = clock_now_usec()) {
                if (observer && observer->waiting)
                        observer->waiting(observer->context, usec - now);
                if (sleep_for(usec - now < SLICE_USEC ? usec - now : SLICE_USEC))
                        return;
        }
}

static bool can_tell(const struct first_look *first, const struct ksm *ksm)
{
        return first->recheck_usec > 0 && first->kpageflags_fd >= 0 && ksmd_is_at_work(ksm, first->place);
}

static bool has_met_twice(const struct ksm_settings_place *place, const struct ksm *ksm)
{
        struct ksm now = {0};
        int64_t before = 0;
        int64_t after = 0;

        return ksm_get(ksm, "full_scans", &before) && ksm_read(place->ksm_dir, &now) == 0 &&
               ksm_get(&now, "full_scans", &after) && after - before > GAP_PASSES_NEEDED;
}

int second_look_run(const struct first_look *first, const struct census *census, const struct ksm *ksm,
                    struct second_look *ret)
{
        uint64_t n_wanted = 0;
        int r = 0;

        *ret = (struct second_look){0};
        if (!can_tell(first, ksm))
                return 0;
        for (size_t g = 0; r == 0 && g < census->n_guests; g++)
                r = pages_add_marks(census->pages[g]);
        if (r == 0)
                r = gap_mark_candidates(census, first->pool);
        for (size_t g = 0; r == 0 && g < census->n_guests; g++)
                n_wanted += pages_count_wanted(census->pages[g]);
        if (r < 0 || n_wanted == 0)
                return r;
        wait_until(first->ended_usec + first->recheck_usec, first->observer);
        /* Passes that end during the look do not count. */
        ret->was_met_twice = has_met_twice(first->place, ksm);
        ret->seconds = (double)(clock_now_usec() - first->ended_usec) / USEC_PER_SEC;
        return recheck_run(first->pool, first->key, census->pages, census->n_guests);
}
