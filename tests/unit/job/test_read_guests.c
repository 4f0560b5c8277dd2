/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When guests are paused and what is said of them, with doubles of the pauses and of the pass over memory. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/job/read_guests.h"
#include "qmp/pause/lease.h"
#include "unit.h"

#include <string.h>

#define N_GUESTS 2

/* A guest of which ranges are left to read; somebody else stops it when the scan pauses for the @stopped_at-th time. */
struct fake {
        struct qmp_guest qmp;
        struct guest_ram ram;
        const char *run_state;
        unsigned int stopped_at;
        size_t n_left;
        size_t n_read; /* in this window */
};

static struct fake fakes[N_GUESTS];
static unsigned int n_pauses;
static size_t ranges_per_pause;

static struct fake *fake_of(const struct qmp_guest *guest)
{
        for (size_t i = 0; i < N_GUESTS; i++)
                if (&fakes[i].qmp == guest)
                        return &fakes[i];
        CU_FAIL_FATAL("an unknown guest");
        return NULL;
}

/* Doubles */

bool guard_is_alive(const struct guard *guard)
{
        return guard != NULL;
}

int qmp_guest_refresh_state(struct qmp_guest *guest, struct qmp_guest_state *ret_state,
                            struct failure *failure)
{
        (void)failure;
        *ret_state = (struct qmp_guest_state){0};
        (void)snprintf(ret_state->run_state, sizeof(ret_state->run_state), "%s", fake_of(guest)->run_state);
        return 0;
}

int lease_pause(struct guard *guard, struct lease *leases[], size_t count, uint64_t max_pause_usec)
{
        (void)guard;
        (void)max_pause_usec;
        n_pauses++;
        for (size_t i = 0; i < count; i++) {
                struct fake *fake = fake_of(leases[i]->guest);

                if (fake->stopped_at == n_pauses)
                        fake->run_state = "paused";
                *leases[i] = (struct lease){.guest = &fake->qmp, .state = PAUSE_OUTCOME_NOT_RUNNING};
                if (strcmp(fake->run_state, "running") != 0)
                        continue;
                leases[i]->state = PAUSE_OUTCOME_PAUSED;
                leases[i]->stop_sent_usec = clock_now_usec();
                leases[i]->stopped_usec = leases[i]->stop_sent_usec;
        }
        return 0;
}

int lease_resume(struct guard *guard, struct lease *leases[], size_t count)
{
        (void)guard;
        for (size_t i = 0; i < count; i++) {
                if (leases[i]->state != PAUSE_OUTCOME_PAUSED)
                        continue;
                leases[i]->state = PAUSE_OUTCOME_RESUMED;
                leases[i]->cont_sent_usec = clock_now_usec();
                leases[i]->resumed_usec = leases[i]->cont_sent_usec;
        }
        return 0;
}

void scan_prepare(struct scan *scan, size_t guest)
{
        (void)scan;
        (void)guest;
}

void scan_unmap(struct scan *scan, size_t guest)
{
        (void)scan;
        (void)guest;
}

/* Guests are read in their order, until the time is up. */
void scan_window(struct scan *scan, const size_t *guests, size_t n_guests, uint64_t until_usec,
                 const struct scan_observer *observer)
{
        size_t n_more = until_usec == USEC_INFINITY ? SIZE_MAX : ranges_per_pause;

        (void)scan;
        for (size_t i = 0; i < n_guests; i++) {
                struct fake *fake = &fakes[guests[i]];

                fake->n_read = fake->n_left < n_more ? fake->n_left : n_more;
                n_more -= fake->n_read;
                if (fake->n_read == fake->n_left)
                        observer->guest_done(observer->context, guests[i]);
        }
}

void scan_end_window(struct scan *scan)
{
        (void)scan;
}

size_t scan_accept(struct scan *scan, size_t guest, uint64_t from_usec, uint64_t until_usec)
{
        const size_t n_read = fakes[guest].n_read;

        (void)scan;
        (void)from_usec;
        (void)until_usec;
        fakes[guest].n_read = 0;
        fakes[guest].n_left -= n_read;
        return n_read;
}

bool scan_guest_is_complete(const struct scan *scan, size_t guest)
{
        (void)scan;
        return fakes[guest].n_left == 0 || atomic_load(&fakes[guest].ram.error) < 0;
}

uint64_t scan_progress(const struct scan *scan, uint64_t *ret_total_bytes)
{
        (void)scan;
        *ret_total_bytes = 0;
        return 0;
}

/* Tests */

static struct report_guest guests[N_GUESTS];

static void begin(size_t n_ranges_per_pause)
{
        memset(fakes, 0, sizeof(fakes));
        memset(guests, 0, sizeof(guests));
        for (size_t i = 0; i < N_GUESTS; i++) {
                fakes[i].run_state = "running";
                fakes[i].n_left = 8;
        }
        n_pauses = 0;
        ranges_per_pause = n_ranges_per_pause;
}

static void read_guests(bool together)
{
        static const size_t indexes[N_GUESTS] = {0, 1};
        struct guest_ram *const rams[N_GUESTS] = {&fakes[0].ram, &fakes[1].ram};
        struct inventory_guest known[N_GUESTS] = {{.qmp = &fakes[0].qmp}, {.qmp = &fakes[1].qmp}};
        const struct scan_wish wish = {.max_pause_usec = USEC_PER_MSEC, .together = together};
        const struct inventory inventory = {.guests = known, .n_guests = N_GUESTS};
        struct report report = {.guests = guests, .n_guests = N_GUESTS};

        CU_ASSERT_EQUAL(read_guests_run(&(struct read_guests_context){
                                .wish = &wish,
                                .inventory = &inventory,
                                .report = &report,
                                .guard = (struct guard *)&report,
                                .rams = rams,
                                .indexes = indexes,
                                .n_guests = N_GUESTS,
                        }),
                        0);
}

static void check(size_t guest, enum report_consistency consistency, unsigned int pauses)
{
        CU_ASSERT_TRUE(guests[guest].scanned);
        CU_ASSERT_STRING_EQUAL(guests[guest].error.text, "");
        CU_ASSERT_EQUAL(guests[guest].consistency, consistency);
        CU_ASSERT_EQUAL(guests[guest].pauses, pauses);
}

static void test_one_pause_is_exact(void)
{
        begin(8);
        read_guests(false);
        check(0, REPORT_CONSISTENCY_EXACT, 1);
        check(1, REPORT_CONSISTENCY_EXACT, 1);
}

static void test_several_pauses_are_sliced(void)
{
        begin(3);
        read_guests(false);
        check(0, REPORT_CONSISTENCY_SLICED, 3);
        check(1, REPORT_CONSISTENCY_SLICED, 3);
}

/* The second guest stands still in many pauses before its turn comes: that is not its fault. */
static void test_together_each_guest_gets_its_turn(void)
{
        begin(1);
        read_guests(true);
        check(0, REPORT_CONSISTENCY_SLICED, 8);
        check(1, REPORT_CONSISTENCY_SLICED, 16);
}

static void test_pauses_that_are_too_short(void)
{
        begin(0);
        read_guests(true);
        CU_ASSERT_EQUAL(n_pauses, 3);
        for (size_t i = 0; i < N_GUESTS; i++) {
                CU_ASSERT_FALSE(guests[i].scanned);
                CU_ASSERT_PTR_NOT_NULL(strstr(guests[i].error.text, "--max-pause"));
        }
}

static void test_found_stopped(void)
{
        begin(3);
        fakes[0].run_state = "paused";
        fakes[1].run_state = "inmigrate";
        read_guests(false);
        CU_ASSERT_EQUAL(n_pauses, 0);
        check(0, REPORT_CONSISTENCY_EXACT, 0);
        CU_ASSERT_FALSE(guests[1].scanned);
        CU_ASSERT_PTR_NOT_NULL(strstr(guests[1].error.text, "neither paused nor read"));
}

/* Stopped by somebody else before our first pause: one instant. Between two of ours: not one instant. */
static void test_stopped_meanwhile(void)
{
        begin(3);
        fakes[0].stopped_at = 2;
        read_guests(true);
        check(0, REPORT_CONSISTENCY_SLICED, 1);
        CU_ASSERT_STRING_EQUAL(guests[0].found_state, "paused");
        begin(3);
        fakes[0].stopped_at = 1;
        read_guests(true);
        check(0, REPORT_CONSISTENCY_EXACT, 0);
        check(1, REPORT_CONSISTENCY_SLICED, 3);
}

static const struct unit_test tests[] = {
        {"one pause is exact", test_one_pause_is_exact},
        {"several pauses are sliced", test_several_pauses_are_sliced},
        {"together, each guest gets its turn", test_together_each_guest_gets_its_turn},
        {"pauses that are too short", test_pauses_that_are_too_short},
        {"found stopped", test_found_stopped},
        {"stopped meanwhile", test_stopped_meanwhile},
};

UNIT_MAIN("read_guests", tests)
