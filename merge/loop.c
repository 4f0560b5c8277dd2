/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loop has three activities:
 *
 *      tuning    runs a scan that pauses nobody, makes a plan and marks guests: at the start, when guests
 *                come, when a sample shows that their content has changed, and when the configuration was
 *                read again
 *      writing   writes KSM's settings when the plan knows all present guests
 *      pace      decides once a second how fast KSM runs (pace.c)
 *
 * If guests of different groups must not share, KSM is stopped until a plan knows all present guests. That
 * happens when a guest has come (QEMU marks its RAM when it starts, and KSM would merge it with everything
 * that is marked), when the loop finds marked memory that the plan does not know, and when no plan can be
 * carried out.
 *
 *                      ready                       somebody else changed a setting, a rival
 *      tuning ───────────────────────► acting ─────────────────────────► given up, until loop_begin()
 *        ▲ │ nothing worth while,         │                                  ▲
 *        │ │ refused for now              │ a sample, guests, strangers      │ refused, of all guests
 *        │ ▼                              ▼                                  │
 *      standing still ◄─────────────── tuning ───────────────────────────────┘
 *           after a while: tuning
 */
#include "merge/loop.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* A guest that has just come fills its memory; the samples show what it does later. */
#define ARRIVAL_USEC (UINT64_C(5) * USEC_PER_SEC)
/*
 * The shortest time between two scans that samples ask for: a guest that changes all the time must not be
 * scanned all the time. Scans take at most one part in TUNE_GAP_SCANS of the time.
 */
#define TUNE_GAP_USEC  (UINT64_C(20) * USEC_PER_SEC)
#define TUNE_GAP_SCANS 100
/* After this time the loop looks again where merging was not worth while, or a scan failed. */
#define RETRY_USEC (UINT64_C(600) * USEC_PER_SEC)
/* The first retry where a guest could not be scanned: it may be starting, or migrating. */
#define RETRY_SOON_USEC (UINT64_C(10) * USEC_PER_SEC)

void loop_deinit(struct loop *loop)
{
        free(loop->pids);
        *loop = (struct loop){0};
}

bool loop_is_open(const struct loop *loop)
{
        return loop->rules.is_wanted && !loop->has_given_up;
}

static unsigned int ask_for_tuning(struct loop *loop, uint64_t now_usec)
{
        if (loop->is_tuning || !loop_is_open(loop))
                return 0;
        loop->is_tuning = true;
        loop->tuned_usec = now_usec;
        return LOOP_TUNE;
}

/* Nobody is merged by us any more. All guests of the next plan count as new. */
static unsigned int end_acting(struct loop *loop)
{
        loop->acts = false;
        loop->n_pids = 0;
        loop->facts.sample = (struct pace_sample){0};
        return LOOP_END_SAMPLING;
}

/* Nobody shares with anybody new until there is another plan. */
static unsigned int stop_for_now(struct loop *loop)
{
        if (loop->rules.cross_group)
                return 0;
        loop->pace.speed = PACE_STOPPED;
        return LOOP_STOP;
}

static unsigned int end_loop(struct loop *loop)
{
        loop->pace.speed = PACE_STOPPED;
        return end_acting(loop) | LOOP_PUT_BACK;
}

unsigned int loop_begin(struct loop *loop, const struct loop_rules *rules, uint64_t now_usec)
{
        unsigned int actions = 0;

        loop->rules = *rules;
        loop->has_given_up = false;
        /* The result of a tuning that the old rules began is not used. */
        if (loop->is_tuning) {
                loop->begins_again = rules->is_wanted;
                return LOOP_CANCEL | (rules->is_wanted ? 0 : end_loop(loop));
        }
        actions = end_loop(loop);
        loop->is_outdated = false;
        pace_init(&loop->pace);
        return actions | ask_for_tuning(loop, now_usec);
}

unsigned int loop_end(struct loop *loop)
{
        loop->rules.is_wanted = false;
        return end_loop(loop);
}

unsigned int loop_give_up(struct loop *loop)
{
        loop->has_given_up = true;
        return end_acting(loop) | LOOP_PUT_BACK;
}

/* Waits longer each time: a lasting obstacle must not cause scans all the time. */
static void retry_soon(struct loop *loop)
{
        loop->soon_usec = loop->soon_usec == 0               ? RETRY_SOON_USEC
                          : loop->soon_usec * 2 < RETRY_USEC ? loop->soon_usec * 2
                                                             : RETRY_USEC;
        loop->retry_usec = loop->soon_usec;
}

/* Who comes, and what is sampled */

unsigned int loop_arrived(struct loop *loop, uint64_t now_usec)
{
        if (!loop_is_open(loop))
                return 0;
        loop->is_outdated = loop->is_tuning;
        return stop_for_now(loop) | ask_for_tuning(loop, now_usec);
}

unsigned int loop_met_stranger(struct loop *loop, uint64_t now_usec)
{
        if (!loop->acts || loop->is_tuning)
                return 0;
        loop->n_pids = 0;
        return stop_for_now(loop) | ask_for_tuning(loop, now_usec);
}

void loop_sampled(struct loop *loop, const struct pace_sample *sample)
{
        const uint64_t number = loop->facts.sample.number + 1;

        loop->facts.sample = *sample;
        loop->facts.sample.number = number;
        if (loop->is_complete)
                loop->soon_usec = 0;
}

unsigned int loop_lost_sampling(struct loop *loop)
{
        /* The next tuning starts another one. */
        retry_soon(loop);
        loop->facts.sample = (struct pace_sample){0};
        return LOOP_END_SAMPLING;
}

/* What a tuning came to */

static bool is_guest_merged(const struct loop *loop, pid_t pid)
{
        for (size_t i = 0; i < loop->n_pids; i++)
                if (loop->pids[i] == pid)
                        return true;
        return false;
}

/* Takes over whose QEMUs are merged now. Return: whether one is among them that was not before. */
static bool take_pids(struct loop *loop, const struct loop_tuning *tuning)
{
        pid_t *pids = calloc(tuning->n_pids + 1, sizeof(*pids));
        bool has_new = false;

        for (size_t i = 0; i < tuning->n_pids; i++)
                has_new = has_new || !is_guest_merged(loop, tuning->pids[i]);
        if (pids && tuning->n_pids > 0)
                memcpy(pids, tuning->pids, tuning->n_pids * sizeof(*pids));
        free(loop->pids);
        loop->pids = pids;
        loop->n_pids = pids ? tuning->n_pids : 0;
        return has_new;
}

static void observe_ksm(struct loop *loop, const struct loop_look *look)
{
        loop->facts.now_usec = look->now_usec;
        loop->facts.full_scans = look->full_scans;
        loop->facts.merged_pages = look->merged_pages;
}

static unsigned int begin_acting(struct loop *loop, const struct loop_look *look,
                                 const struct loop_tuning *tuning)
{
        /* At the start nobody has just come. */
        const uint64_t hold_usec = loop->n_pids > 0 ? ARRIVAL_USEC : 0;

        loop->acts = true;
        loop->tune_gap_usec = tuning->duration_usec * TUNE_GAP_SCANS;
        if (loop->tune_gap_usec < TUNE_GAP_USEC)
                loop->tune_gap_usec = TUNE_GAP_USEC;
        loop->facts.sharable = tuning->sharable;
        loop->facts.scanned_pages = tuning->scanned_pages;
        loop->facts.sample = (struct pace_sample){0};
        observe_ksm(loop, look);
        pace_scanned(&loop->pace);
        /* If nobody is new KSM need not run: the samples will show whether a gap has opened. */
        if (take_pids(loop, tuning))
                pace_kick(&loop->pace, &loop->facts, hold_usec);
        return LOOP_WRITE_PLAN;
}

/*
 * Merging is not worth while, there is no report, or somebody might be marked who must not share: KSM does
 * not merge for now. If everybody may share, KSM is put back as it was found.
 */
static unsigned int stand_still(struct loop *loop)
{
        loop->pace.speed = PACE_STOPPED;
        return end_acting(loop) | (loop->rules.cross_group ? LOOP_PUT_BACK : LOOP_STOP);
}

/* The cause of a refusal may pass if the plan does not know everybody. */
unsigned int loop_refused(struct loop *loop)
{
        return loop->is_complete ? loop_give_up(loop) : stand_still(loop);
}

unsigned int loop_tuned(struct loop *loop, const struct loop_look *look, const struct loop_tuning *tuning)
{
        const bool begins_again = loop->begins_again;
        unsigned int actions = 0;

        loop->is_tuning = false;
        loop->begins_again = false;
        if (!loop_is_open(loop))
                return LOOP_PUT_BACK;
        if (begins_again)
                return loop_begin(loop, &(struct loop_rules){true, loop->rules.cross_group}, look->now_usec);
        loop->is_complete = tuning->is_complete;
        loop->retry_usec = RETRY_USEC;
        if (!loop->is_complete)
                retry_soon(loop);
        /* Somebody came while the tuning ran: KSM is stopped until the next one. */
        if (loop->is_outdated) {
                loop->is_outdated = false;
                actions = stop_for_now(loop) | ask_for_tuning(loop, look->now_usec);
                if (!loop->rules.cross_group)
                        return actions;
        }
        if (tuning->plan == LOOP_PLAN_READY)
                return actions | begin_acting(loop, look, tuning);
        return actions | (tuning->plan == LOOP_PLAN_REFUSED ? loop_refused(loop) : stand_still(loop));
}

/* Once a second */

bool loop_is_pacing(const struct loop *loop)
{
        /* While a tuning runs, marks change. */
        return loop_is_open(loop) && loop->acts && !loop->is_tuning;
}

static unsigned int step_pace(struct loop *loop, const struct loop_look *look)
{
        const enum pace_speed before = loop->pace.speed;
        unsigned int actions = 0;

        observe_ksm(loop, look);
        pace_step(&loop->pace, &loop->facts);
        if (loop->pace.speed != before)
                actions = LOOP_WRITE_SPEED;
        if (loop->pace.wants_scan && look->now_usec - loop->tuned_usec > loop->tune_gap_usec)
                return actions | ask_for_tuning(loop, look->now_usec);
        if (!loop->pace.has_gained || look->now_usec - loop->compared_usec <= loop->tune_gap_usec)
                return actions;
        loop->pace.has_gained = false;
        loop->compared_usec = look->now_usec;
        return actions | LOOP_COMPARE;
}

unsigned int loop_step(struct loop *loop, const struct loop_look *look)
{
        unsigned int actions = loop_is_pacing(loop) ? step_pace(loop, look) : 0;

        if ((!loop->acts || !loop->is_complete || !look->is_sampling) &&
            look->now_usec - loop->tuned_usec > loop->retry_usec)
                actions |= ask_for_tuning(loop, look->now_usec);
        return actions;
}
