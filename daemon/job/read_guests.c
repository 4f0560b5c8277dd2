/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each guest is read in one of three ways, by the state it is found in and the mode asked for:
 *
 *   paused by us    Pause, read, resume; repeat until all is read. Each pause is bounded: the guard resumes
 *                   the guest when its time is up, whether we are done or not. What was read later does not
 *                   count. If one pause sufficed the result is "exact"; after several it is "sliced".
 *   found stopped   Another client stopped it: it is read as it is and never resumed. Afterwards we check
 *                   that it was stopped throughout; if not, the result is "live".
 *   live            The guest keeps running, and the result says so. Shared RAM is then read by pread(2): a
 *                   mapping could touch a page that has just become a hole.
 *
 * A guest that is migrating, or in a state that lasts only a moment, is not read at all: its memory is about
 * to change hands.
 */
#include "daemon/job/read_guests.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/job/pause_pace.h"
#include "qmp/pause/lease.h"
#include "scanner/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct read_guest {
        struct lease lease;
        uint64_t begun_usec;
        uint64_t paused_usec;
        unsigned int pauses;
        bool moved;        /* it ran while we read: the result is live */
        bool stopped_late; /* another client stopped it before we could; not read yet */
};

struct read_guests {
        const struct read_guests_context *context;
        struct read_guest *guests; /* as in the scan */
        size_t *party;             /* guests that are paused at the same time */
        struct lease **leases;     /* theirs */
};

static struct report_guest *report_of(const struct read_guests *reading, size_t guest)
{
        return &reading->context->report->guests[reading->context->indexes[guest]];
}

static struct qmp_guest *qmp_of(const struct read_guests *reading, size_t guest)
{
        return reading->context->inventory->guests[reading->context->indexes[guest]].qmp;
}

static bool has_failed(const struct read_guests *reading, size_t guest)
{
        return atomic_load(&reading->context->rams[guest]->error) < 0;
}

static void fail_reading(const struct read_guests *reading, size_t guest, const struct failure *failure)
{
        guest_ram_fail(reading->context->rams[guest], -EIO, "%s", failure->text);
}

static void resume_leases(struct read_guests *reading, struct lease **leases, size_t n)
{
        /* Each lease records who resumed it and when. A dead guard shows at the next pause. */
        (void)lease_resume(reading->context->guard, leases, n);
}

/* Guests must not wait for the end of a long pause when only we are left to end it. */
static void watch_guard(struct read_guests *reading)
{
        if (!reading->context->guard || guard_is_alive(reading->context->guard))
                return;
        for (size_t i = 0; i < reading->context->n_guests; i++) {
                struct lease *lease = &reading->guests[i].lease;

                if (lease->state != PAUSE_OUTCOME_PAUSED)
                        continue;
                resume_leases(reading, &lease, 1);
                scan_end_window(reading->context->scan);
        }
}

static void on_scan_tick(void *context)
{
        struct read_guests *reading = context;
        const struct job_observer *observer = reading->context->observer;
        uint64_t total_bytes = 0;
        uint64_t done_bytes = scan_progress(reading->context->scan, &total_bytes);

        watch_guard(reading);
        if (observer && observer->progress)
                observer->progress(observer->context, done_bytes, total_bytes);
}

/* A guest that was read need not wait for the others. */
static void on_guest_done(void *context, size_t guest)
{
        struct read_guests *reading = context;
        struct lease *lease = &reading->guests[guest].lease;

        if (lease->state == PAUSE_OUTCOME_PAUSED)
                resume_leases(reading, &lease, 1);
}

static void read_window(struct read_guests *reading, const size_t *guests, size_t n, uint64_t until_usec)
{
        const struct scan_observer observer = {
                .guest_done = on_guest_done,
                .tick = on_scan_tick,
                .context = reading,
        };

        for (size_t i = 0; i < n; i++)
                if (reading->guests[guests[i]].begun_usec == 0)
                        reading->guests[guests[i]].begun_usec = clock_now_usec();
        scan_window(reading->context->scan, guests, n, until_usec, &observer);
}

static void finish_reading(struct read_guests *reading, size_t guest, enum report_consistency consistency)
{
        struct read_guest *state = &reading->guests[guest];
        struct report_guest *report = report_of(reading, guest);

        scan_unmap(reading->context->scan, guest);
        report->pauses = state->pauses;
        if (state->pauses > 0)
                report->pause_seconds = (double)state->paused_usec / USEC_PER_SEC;
        if (has_failed(reading, guest)) {
                report->error = reading->context->rams[guest]->failure;
                return;
        }
        report->scanned = true;
        report->consistency = state->moved ? REPORT_CONSISTENCY_LIVE : consistency;
        report->scan_seconds = (double)(clock_now_usec() - state->begun_usec) / USEC_PER_SEC;
}

/* Records whether the guest ran since the last query. A guest that does not answer is lost. */
static void check_stood_still(struct read_guests *reading, size_t guest)
{
        struct qmp_guest *qmp = qmp_of(reading, guest);
        struct qmp_guest_state state = {0};
        struct failure failure = {0};

        if (qmp_guest_refresh_state(qmp, &state, &failure) < 0)
                fail_reading(reading, guest, &failure);
        else if (state.events.resume || strcmp(state.run_state, report_of(reading, guest)->found_state) != 0)
                reading->guests[guest].moved = true;
}

static void read_found_stopped(struct read_guests *reading, size_t guest)
{
        scan_prepare(reading->context->scan, guest);
        read_window(reading, &guest, 1, USEC_INFINITY);
        (void)scan_accept(reading->context->scan, guest, 0, USEC_INFINITY);
        if (!has_failed(reading, guest))
                check_stood_still(reading, guest);
        /* It may have been stopped after we read a part of it in our own pauses. */
        finish_reading(reading, guest,
                       reading->guests[guest].pauses > 0 ? REPORT_CONSISTENCY_SLICED
                                                         : REPORT_CONSISTENCY_EXACT);
}

static void read_live(struct read_guests *reading, const size_t *guests, size_t n)
{
        read_window(reading, guests, n, USEC_INFINITY);
        for (size_t i = 0; i < n; i++) {
                (void)scan_accept(reading->context->scan, guests[i], 0, USEC_INFINITY);
                finish_reading(reading, guests[i], REPORT_CONSISTENCY_LIVE);
        }
}

/* States in which the virtual CPUs are stopped for good and RAM is whole. */
static bool is_stopped(const char *state)
{
        static const char *const states[] = {
                "paused",         "io-error", "prelaunch", "postmigrate", "shutdown",
                "guest-panicked", "debug",    "watchdog",  "suspended",   "internal-error",
        };

        for (size_t i = 0; i < ARRAY_SIZE(states); i++)
                if (strcmp(states[i], state) == 0)
                        return true;
        return false;
}

enum treatment { TREATMENT_NONE, TREATMENT_LIVE, TREATMENT_STOPPED, TREATMENT_PAUSE };

/* Decides how to read a guest; marks one that must not be read as failed. */
static enum treatment treat_guest(struct read_guests *reading, size_t guest)
{
        struct report_guest *report = report_of(reading, guest);
        struct qmp_guest_state state = {0};
        struct failure failure = {0};

        if (qmp_guest_refresh_state(qmp_of(reading, guest), &state, &failure) < 0) {
                fail_reading(reading, guest, &failure);
                return TREATMENT_NONE;
        }
        memcpy(report->found_state, state.run_state, sizeof(report->found_state));
        if (state.migrating)
                (void)failure_set(&failure, 0, "a migration is under way: it is neither paused nor read");
        else if (is_stopped(state.run_state))
                return TREATMENT_STOPPED;
        else if (strcmp(state.run_state, "running") != 0)
                (void)failure_set(&failure, 0, "its run state is \"%s\": it is neither paused nor read",
                                  state.run_state);
        else if (reading->context->wish->mode == SCAN_MODE_LIVE)
                return TREATMENT_LIVE;
        else if (!reading->context->guard)
                failure = *reading->context->guard_failure;
        else
                return TREATMENT_PAUSE;
        fail_reading(reading, guest, &failure);
        return TREATMENT_NONE;
}

/* Notes that a guest was found stopped, and that the scan does not resume it. */
static void note_found_state(const struct read_guests *reading, size_t guest)
{
        struct report_guest *report = report_of(reading, guest);

        (void)failure_set(&report->note, 0, "found in the state \"%s\": scanned as it is, and left so",
                          report->found_state);
}

/* Keeps what was read during the pause that just ended. Return: how many ranges. */
static size_t account_pause(struct read_guests *reading, size_t guest)
{
        struct read_guest *state = &reading->guests[guest];
        const struct lease *lease = &state->lease;
        uint64_t until = lease->cont_sent_usec ? lease->cont_sent_usec : USEC_INFINITY;

        state->pauses++;
        state->paused_usec += pause_pace_usec(lease);
        if (lease->state == PAUSE_OUTCOME_FAILED) {
                fail_reading(reading, guest, &lease->failure);
                return 0;
        }
        if (lease->state == PAUSE_OUTCOME_LEFT)
                report_of(reading, guest)->note = lease->failure;
        state->moved = state->moved || lease->resumed_by_other;
        if (lease->resumed_by_other)
                until = USEC_INFINITY; /* it is unknown since when it runs: counts, as live */
        return scan_accept(reading->context->scan, guest, lease->stopped_usec, until);
}

/* Gives up on the guests of a party after several pauses in which nothing could be read. */
static void fail_fruitless(struct read_guests *reading, size_t n)
{
        const uint64_t msec = reading->context->wish->max_pause_usec / USEC_PER_MSEC;

        for (size_t i = 0; i < n; i++)
                if (!scan_guest_is_complete(reading->context->scan, reading->party[i]))
                        guest_ram_fail(reading->context->rams[reading->party[i]], -ETIME,
                                       "a pause of %llu ms is too short to read anything: raise --max-pause",
                                       (unsigned long long)msec);
}

/* Pauses the party. Guests that cannot be paused leave it: found stopped, or failed. Return: who is left. */
static size_t pause_party(struct read_guests *reading, size_t n)
{
        size_t n_paused = 0;

        for (size_t i = 0; i < n; i++)
                reading->leases[i] = &reading->guests[reading->party[i]].lease;
        (void)lease_pause(reading->context->guard, reading->leases, n,
                          reading->context->wish->max_pause_usec);
        for (size_t i = 0; i < n; i++) {
                const size_t guest = reading->party[i];
                struct lease *lease = &reading->guests[guest].lease;

                if (lease->state == PAUSE_OUTCOME_PAUSED) {
                        reading->leases[n_paused] = lease;
                        reading->party[n_paused++] = guest;
                        continue;
                }
                if (lease->state == PAUSE_OUTCOME_NOT_RUNNING &&
                    treat_guest(reading, guest) == TREATMENT_STOPPED) {
                        /* Read later: the others of the party are paused meanwhile. */
                        reading->guests[guest].stopped_late = true;
                        continue;
                }
                if (!has_failed(reading, guest))
                        fail_reading(reading, guest, &lease->failure);
                finish_reading(reading, guest, REPORT_CONSISTENCY_EXACT);
        }
        return n_paused;
}

static uint64_t earliest_deadline(const struct read_guests *reading, size_t n)
{
        uint64_t earliest = USEC_INFINITY;

        for (size_t i = 0; i < n; i++) {
                const uint64_t deadline = lease_end_usec(reading->leases[i]->stop_sent_usec,
                                                         reading->context->wish->max_pause_usec);

                earliest = deadline < earliest ? deadline : earliest;
        }
        return earliest;
}

/* How long the party was paused in the pause that just ended. */
static uint64_t longest_pause(const struct read_guests *reading, size_t n)
{
        uint64_t longest = 0;

        for (size_t i = 0; i < n; i++) {
                const uint64_t pause = pause_pace_usec(reading->leases[i]);

                longest = pause > longest ? pause : longest;
        }
        return longest;
}

/* Removes guests that were read completely from the party. Return: how many are left. */
static size_t dismiss_complete(struct read_guests *reading, size_t n)
{
        size_t n_left = 0;

        for (size_t i = 0; i < n; i++) {
                const size_t guest = reading->party[i];

                if (!scan_guest_is_complete(reading->context->scan, guest))
                        reading->party[n_left++] = guest;
                else
                        finish_reading(reading, guest,
                                       reading->guests[guest].pauses > 1 ? REPORT_CONSISTENCY_SLICED
                                                                         : REPORT_CONSISTENCY_EXACT);
        }
        return n_left;
}

/* Reads the first @n guests of the party; pauses all of them at one instant, as often as needed. */
static void read_party(struct read_guests *reading, size_t n)
{
        unsigned int n_fruitless = 0;

        for (size_t i = 0; i < n; i++)
                scan_prepare(reading->context->scan, reading->party[i]);
        while (n > 0) {
                size_t n_accepted = 0;
                uint64_t paused_usec = 0;

                n = pause_party(reading, n);
                if (n == 0)
                        return;
                read_window(reading, reading->party, n, earliest_deadline(reading, n));
                resume_leases(reading, reading->leases, n);
                for (size_t i = 0; i < n; i++)
                        n_accepted += account_pause(reading, reading->party[i]);
                n_fruitless = n_accepted > 0 ? 0 : n_fruitless + 1;
                if (n_fruitless == PAUSE_PACE_FRUITLESS_MAX)
                        fail_fruitless(reading, n);
                paused_usec = longest_pause(reading, n);
                n = dismiss_complete(reading, n);
                if (n > 0)
                        pause_pace_rest(paused_usec);
        }
}

static void read_stopped_late(struct read_guests *reading)
{
        for (size_t i = 0; i < reading->context->n_guests; i++) {
                if (!reading->guests[i].stopped_late)
                        continue;
                reading->guests[i].stopped_late = false;
                note_found_state(reading, i);
                read_found_stopped(reading, i);
        }
}

static void read_all(struct read_guests *reading, const enum treatment *treatments)
{
        const size_t n_guests = reading->context->n_guests;
        const bool together = reading->context->wish->together;
        size_t n = 0;

        for (size_t i = 0; i < n_guests; i++)
                if (treatments[i] == TREATMENT_STOPPED)
                        read_found_stopped(reading, i);
        for (size_t i = 0; i < n_guests; i++)
                if (treatments[i] == TREATMENT_LIVE)
                        reading->party[n++] = i;
        if (n > 0)
                read_live(reading, reading->party, n);
        n = 0;
        for (size_t i = 0; i < n_guests; i++) {
                if (treatments[i] != TREATMENT_PAUSE)
                        continue;
                reading->party[n++] = i;
                if (together)
                        continue;
                read_party(reading, n);
                n = 0;
        }
        read_party(reading, n);
        read_stopped_late(reading);
}

int read_guests_run(const struct read_guests_context *context)
{
        CLEANUP_FREE struct read_guest *guests = calloc(context->n_guests + 1, sizeof(*guests));
        CLEANUP_FREE size_t *party = calloc(context->n_guests + 1, sizeof(*party));
        CLEANUP_FREE struct lease **leases = calloc(context->n_guests + 1, sizeof(struct lease *));
        CLEANUP_FREE enum treatment *treatments = calloc(context->n_guests + 1, sizeof(*treatments));
        struct read_guests reading = {.context = context, .guests = guests, .party = party, .leases = leases};

        if (!guests || !party || !leases || !treatments)
                return -ENOMEM;
        for (size_t i = 0; i < context->n_guests; i++) {
                guests[i].lease.guest = qmp_of(&reading, i);
                treatments[i] = treat_guest(&reading, i);
                if (treatments[i] == TREATMENT_NONE)
                        finish_reading(&reading, i, REPORT_CONSISTENCY_LIVE);
                else if (treatments[i] == TREATMENT_STOPPED)
                        note_found_state(&reading, i);
        }
        read_all(&reading, treatments);
        return 0;
}
