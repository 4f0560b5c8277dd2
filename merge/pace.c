/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KSM runs fast while that merges something, and is stopped otherwise. It never runs at half speed for ever.
 *
 * KSM stays fast until it has completed three passes (a page needs two to be merged, and one may have been
 * under way), and the last pass merged fewer than 0.2 % of the pages that it scanned. KSM's counters miss
 * zero pages that lose their frame when a huge page is split, so the sample must agree. The sample looks at
 * the same pages each time: a page that has been merged since the last look is not there by chance.
 *
 * KSM becomes fast again when the gap has opened: the sample shows with 95 % confidence that the gap is wider
 * by 2 % of the pages than what was left when KSM stopped. What was left is what KSM cannot merge, because it
 * changes too often or is pinned. Another try would probably not merge it either, so such tries come at
 * growing intervals. When a guest arrives KSM becomes fast at once (pace_kick()).
 *
 * KSM also stays stopped until a burst pays. A burst costs CPU time, and what it merges does not last where
 * memory changes. The bytes times seconds lost since the last burst ended must be worth what that burst cost.
 * If the gap grows evenly, this moment makes the sum of both costs smallest (as in the economic
 * order quantity, Harris 1913).
 *
 * A scan is wanted when 10 % of the pages have changed since the last one, again with 95 % confidence. The
 * share of the pages that could be merged is no longer known then.
 *
 * The gap is the share of the pages that the last scan found sharable, less the share that the sample finds
 * merged.
 */
#include "merge/pace.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "pages/page.h"

#include <assert.h>

#define PASSES_LEAST 3
/* A gap that counts: this share of the pages. */
#define GAP_OPENED 0.02
/* A pass that merged less than this share of its pages gained nothing. */
#define GAIN_LEAST 0.002
/* Pages whose content changed since the last scan: more than this share asks for another scan. */
#define CHURN_LARGE 0.10
/* The interval between tries at a gap that has not widened: it doubles after each try that merges nothing. */
#define RETRY_FIRST_USEC (UINT64_C(30) * USEC_PER_SEC)
#define RETRY_MOST_USEC  (UINT64_C(960) * USEC_PER_SEC)
/*
 * A second of ksmd is worth this many bytes saved for one second. General-purpose machines come
 * with 4 GiB for each virtual CPU, and that is the price of one in terms of the other.
 */
#define WORTH_BYTES ((double)(UINT64_C(4) << 30))

const char *pace_speed_to_string(enum pace_speed speed)
{
        static const char *const names[] = {[PACE_STOPPED] = "stopped", [PACE_FAST] = "fast"};

        static_assert(ARRAY_SIZE(names) == PACE_SPEED_COUNT_, "every speed has a name");
        return names[speed];
}

void pace_init(struct pace *pace)
{
        *pace = (struct pace){.speed = PACE_STOPPED, .gap = -1, .retry_usec = RETRY_FIRST_USEC};
}

static void begin_pass(struct pace *pace, const struct pace_facts *facts)
{
        pace->pass = facts->full_scans;
        pace->pass_merged = facts->merged_pages;
}

void pace_kick(struct pace *pace, const struct pace_facts *facts, uint64_t hold_usec)
{
        const uint64_t until_usec = facts->now_usec + hold_usec;

        if (until_usec > pace->hold_until_usec)
                pace->hold_until_usec = until_usec;
        if (pace->speed != PACE_FAST) {
                pace->begin_merged = facts->merged_pages;
                pace->begin_usec = facts->now_usec;
                pace->sample_number = 0;
        }
        pace->speed = PACE_FAST;
        pace->n_passes = 0;
        pace->n_idle = 0;
        begin_pass(pace, facts);
}

void pace_scanned(struct pace *pace)
{
        pace->wants_scan = false;
        /* The next samples look at other pages, and the gap is a new one. */
        pace->sample_number = 0;
        pace->residual = -1;
}

static void estimate_gap(struct pace *pace, const struct pace_facts *facts)
{
        const struct pace_sample *sample = &facts->sample;

        pace->gap = -1;
        if (sample->pages == 0)
                return;
        if (facts->sharable >= 0) {
                const double gap = facts->sharable - sample->merged;

                pace->gap = gap < 0 ? 0 : gap;
                pace->gap_error = sample->merged_error;
        }
        if (sample->changed - sample->changed_error > CHURN_LARGE)
                pace->wants_scan = true;
}

/* Whether the merged pages are enough to count as a gain. */
static bool is_gain(const struct pace_facts *facts, int64_t merged_pages)
{
        return (double)merged_pages > GAIN_LEAST * (double)facts->scanned_pages;
}

static void stop_burst(struct pace *pace, const struct pace_facts *facts)
{
        const uint64_t longer_usec =
                pace->retry_usec * 2 > RETRY_MOST_USEC ? RETRY_MOST_USEC : pace->retry_usec * 2;

        const bool gained = is_gain(facts, facts->merged_pages - pace->begin_merged);

        pace->retry_usec = gained ? RETRY_FIRST_USEC : longer_usec;
        pace->has_gained = pace->has_gained || gained;
        pace->speed = PACE_STOPPED;
        pace->residual = pace->gap;
        pace->stopped_usec = facts->now_usec;
        pace->burst_usec = facts->now_usec - pace->begin_usec;
}

/* If there is a new sample: notes whether it shows a gain over the sample before it. */
static void compare_samples(struct pace *pace, const struct pace_sample *sample)
{
        if (sample->pages == 0 || sample->number == pace->sample_number)
                return;
        pace->sample_is_idle = pace->sample_number > 0 && sample->merged - pace->sample_merged <= GAIN_LEAST;
        pace->sample_number = sample->number;
        pace->sample_merged = sample->merged;
}

static bool is_idle(const struct pace *pace, const struct pace_facts *facts)
{
        return pace->n_passes >= PASSES_LEAST && pace->n_idle > 0 &&
               (facts->sample.pages == 0 || pace->sample_is_idle);
}

static void step_fast(struct pace *pace, const struct pace_facts *facts)
{
        /* Somebody made KSM un-merge everything, and its counter started again at 0. */
        if (facts->full_scans < pace->pass)
                begin_pass(pace, facts);
        if (facts->full_scans == pace->pass)
                return;
        compare_samples(pace, &facts->sample);
        pace->n_passes += (unsigned int)(facts->full_scans - pace->pass);
        pace->n_idle = is_gain(facts, facts->merged_pages - pace->pass_merged) ? 0 : pace->n_idle + 1;
        begin_pass(pace, facts);
        if (is_idle(pace, facts) && facts->now_usec >= pace->hold_until_usec)
                stop_burst(pace, facts);
}

/* Whether the gap has cost as much since KSM stopped as the last burst cost. */
static bool pays_to_start(const struct pace *pace, const struct pace_facts *facts)
{
        const double gap_bytes = pace->gap * (double)facts->scanned_pages * PAGE_BYTES;

        return gap_bytes * (double)(facts->now_usec - pace->stopped_usec) >=
               WORTH_BYTES * (double)pace->burst_usec;
}

static void step_stopped(struct pace *pace, const struct pace_facts *facts)
{
        double surely = 0;

        if (pace->gap < 0)
                return;
        if (pace->residual < 0 || pace->gap < pace->residual)
                pace->residual = pace->gap;
        surely = pace->gap - pace->gap_error;
        if (pays_to_start(pace, facts) &&
            (surely > pace->residual + GAP_OPENED ||
             (surely > GAP_OPENED && facts->now_usec - pace->stopped_usec > pace->retry_usec)))
                pace_kick(pace, facts, 0);
}

void pace_step(struct pace *pace, const struct pace_facts *facts)
{
        estimate_gap(pace, facts);
        if (pace->speed == PACE_FAST)
                step_fast(pace, facts);
        else
                step_stopped(pace, facts);
}
