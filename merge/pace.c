/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KSM is fast while that gains something, and stands still otherwise: it never does half of the work for ever.
 *
 * Fast until   it has completed three passes (two for a page to be merged, and one that may have been under way), and
 *              in the last one it merged fewer than 0.2 % of the pages that it looked at. KSM's counters do not know of
 *              zero pages that lose their frame when a huge page is split, so the sample has its say too: as it looks at
 *              the same pages each time, a page that is merged since the last look is no chance.
 *
 * Fast again   when the gap has opened: when the sample says with 95 % confidence that it is wider by 2 % of the pages
 *              than what was left when KSM stopped. What is left then is what KSM cannot merge (it changes too often, or is
 *              pinned), and would probably not merge by another try: those come at growing intervals. At once when a
 *              guest came (pace_kick()).
 *
 *              And only when that pays: a burst costs CPU time, and what it merges does not last where memory changes. What has
 *              been lost since the last burst ended, bytes times seconds, has to be worth what that burst took. If a gap
 *              grows evenly, the sum of both costs is least just then (as in the economic order quantity, Harris 1913).
 *
 * Scan again   when 10 % of the pages have other content than after the last scan, again with 95 % confidence: then the
 *              share that could be merged is not known any more.
 *
 * The gap is the share of the pages that the last scan found sharable, less the share that the sample finds merged.
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
/* Content is another. */
#define CHURN_LARGE 0.10
/* Between two tries at a gap that is no wider than the last one left: longer after each that gains nothing. */
#define RETRY_FIRST_USEC (UINT64_C(30) * USEC_PER_SEC)
#define RETRY_MOST_USEC  (UINT64_C(960) * USEC_PER_SEC)
/*
 * What is worth a second of ksmd: so many bytes saved for a second. Machines for general use come with 4 GiB for each virtual
 * CPU, so that is what the one costs in terms of the other.
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
        /* The next samples are of other pages, and the gap is another. */
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

/* Whether so much has been merged that it counts. */
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

/* Notes whether the sample has gained something in the passes since the look before, if there is a new one. */
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
        /* Somebody had KSM un-merge everything, and it began anew. */
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

/* Whether the gap has cost as much since KSM stopped as closing it did the last time. */
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
