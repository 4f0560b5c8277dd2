/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is given back of a guest, when it is paused for it and when not, with doubles of pauses, QEMU and files. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/reclaim/reclaim_facts.h"
#include "daemon/reclaim/reclaim_guest.h"
#include "daemon/reclaim/reclaim_judge.h"
#include "daemon/reclaim/reclaim_room.h"
#include "qmp/backing.h"
#include "qmp/pause/lease.h"
#include "qmp/pause/pause_outcome.h"
#include "qmp/virt/domain_guest.h"
#include "qmp/writers.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PAUSE_USEC (100 * USEC_PER_MSEC)
#define N_PARTS        2 /* the first is shared, the second private */

/* What the doubles do, and what was asked of them. */
static struct {
        const char *run_state;
        bool migrating;
        const char *refused; /* by the judge of blocks: its sentence */
        bool has_device; /* QEMU has a device that reaches its memory, from the first look within a pause on */
        uint64_t pages_a_window;    /* so many can be punched before a window closes */
        enum pause_outcome resumed; /* the state that a pause ends in */
        bool watch_fails;
        unsigned int n_pauses;
        unsigned int n_resumes;
        bool is_paused;
        bool punched_running; /* a page of shared RAM was punched while the guest ran */
        uint64_t punched[N_PARTS];
} world;

static struct reclaim_guest tested;
static struct inventory_guest source;
static struct qmp_guest qmp;
static struct guest_ram ram;
static struct guard *const a_guard = (struct guard *)&world; /* is never looked into */

/* Doubles */

bool guard_is_alive(const struct guard *guard)
{
        return guard != NULL;
}

bool qmp_guest_is_alive(const struct qmp_guest *guest)
{
        return guest == &qmp;
}

int qmp_guest_refresh_state(struct qmp_guest *guest, struct qmp_guest_state *ret_state,
                            struct failure *failure)
{
        (void)guest;
        (void)failure;
        *ret_state = (struct qmp_guest_state){.migrating = world.migrating};
        (void)snprintf(ret_state->run_state, sizeof(ret_state->run_state), "%s", world.run_state);
        return 0;
}

int domain_guest_watch(struct qmp_guest *guest, struct failure *failure)
{
        (void)guest;
        return world.watch_fails ? failure_set(failure, -EIO, "libvirt sends no events") : 0;
}

int writers_ask(struct qmp_guest *guest, const char **ret_type, struct failure *failure)
{
        (void)guest;
        (void)failure;
        *ret_type = NULL;
        return 0;
}

int backings_ask(struct qmp_guest *guest, struct backings *ret_backings, struct failure *failure)
{
        (void)guest;
        (void)failure;
        *ret_backings = (struct backings){0};
        return 0;
}

const struct backing *backings_find(const struct backings *backings, const char *id)
{
        (void)backings;
        (void)id;
        return NULL;
}

void backings_deinit(struct backings *backings)
{
        (void)backings;
}

int lease_pause_exclusive(struct guard *guard, struct lease *leases[], size_t count, uint64_t max_pause_usec)
{
        CU_ASSERT_PTR_EQUAL(guard, a_guard);
        CU_ASSERT_EQUAL(count, 1);
        CU_ASSERT_EQUAL(max_pause_usec, MAX_PAUSE_USEC);
        world.n_pauses++;
        world.is_paused = true;
        leases[0]->state = PAUSE_OUTCOME_PAUSED;
        leases[0]->stop_sent_usec = clock_now_usec();
        return 0;
}

int lease_resume(struct guard *guard, struct lease *leases[], size_t count)
{
        (void)guard;
        (void)count;
        world.n_resumes++;
        world.is_paused = false;
        leases[0]->state = world.resumed;
        leases[0]->resumed_usec = leases[0]->stop_sent_usec + world.n_pauses * USEC_PER_MSEC;
        return 0;
}

const char *pause_outcome_to_string(enum pause_outcome outcome)
{
        return outcome == PAUSE_OUTCOME_FAILED ? "failed" : "another";
}

enum reclaim_kind reclaim_kind_of(const struct mapping *mapping)
{
        return mapping->shared ? RECLAIM_KIND_ZERO : RECLAIM_KIND_SHADOW;
}

int reclaim_open(int proc_fd, const struct mapping *mapping, struct reclaim_file *ret_file,
                 struct failure *failure)
{
        (void)proc_fd;
        (void)failure;
        *ret_file = (struct reclaim_file){.kind = reclaim_kind_of(mapping), .n_pages = 100, .zero_pages = 50};
        ret_file->view.file_fd = STDERR_FILENO; /* something that fstat(2) takes */
        return 0;
}

int reclaim_open_to_change(struct reclaim_file *file, struct failure *failure)
{
        (void)failure;
        file->is_writable = true;
        return 0;
}

void reclaim_close(struct reclaim_file *file)
{
        file->view.file_fd = -1;
}

int reclaim_file_bytes(const struct reclaim_file *file, uint64_t *ret_bytes)
{
        (void)file;
        *ret_bytes = 4096;
        return 0;
}

int reclaim_find(struct reclaim_file *file, void (*tick)(void *context, uint64_t n_pages), void *context,
                 struct failure *failure)
{
        (void)file;
        (void)tick;
        (void)context;
        (void)failure;
        return 0;
}

int reclaim_look_for_resident(struct reclaim_file *file, struct failure *failure)
{
        (void)failure;
        file->resident_end = file->n_pages;
        return 0;
}

int reclaim_punch(struct reclaim_file *file, const struct reclaim_permit *permit, struct failure *failure)
{
        const size_t part = file->kind == RECLAIM_KIND_ZERO ? 0 : 1;

        (void)failure;
        CU_ASSERT_TRUE(file->is_writable);
        for (uint64_t n = 0; file->next < file->n_pages; n++) {
                if (n == world.pages_a_window || !permit->holds(permit->context))
                        return RECLAIM_E_MORE;
                world.punched_running |= part == 0 && !world.is_paused;
                world.punched[part]++;
                file->next++;
        }
        return 0;
}

int reclaim_facts_read_process(int proc_fd, struct reclaim_process_facts *ret_facts)
{
        (void)proc_fd;
        *ret_facts = (struct reclaim_process_facts){.vfio = world.has_device && world.is_paused};
        return 0;
}

int reclaim_facts_find_holders(int proc_dir_fd, pid_t self, struct reclaim_wanted *wanted, size_t n_wanted)
{
        (void)proc_dir_fd;
        (void)self;
        (void)wanted;
        CU_ASSERT_EQUAL(n_wanted, N_PARTS);
        return 0;
}

int reclaim_room_measure(int proc_dir_fd, int proc_fd, int fd, struct reclaim_room *ret_room)
{
        (void)proc_dir_fd;
        (void)proc_fd;
        (void)fd;
        *ret_room = (struct reclaim_room){0};
        return 0;
}

bool reclaim_judge(const struct reclaim_process_facts *process, const struct reclaim_block_facts *facts,
                   struct failure *ret_refusal)
{
        (void)process;
        (void)facts;
        if (world.refused)
                (void)failure_set(ret_refusal, 0, "%s", world.refused);
        return !world.refused;
}

bool reclaim_judge_process(const struct reclaim_process_facts *process, enum reclaim_kind kind,
                           struct failure *ret_refusal)
{
        (void)kind;
        if (process->vfio)
                (void)failure_set(ret_refusal, 0, "a device reaches its memory");
        return !process->vfio;
}

/* A guest that runs and has 100 candidates in each of its two parts, opened. */
static void open_guest(void)
{
        static struct mapping mappings[N_PARTS];
        static struct mapping *by_block[] = {mappings};
        static struct pages_block block = {.n_ranges = N_PARTS};
        static char id[] = "pc.ram";

        mappings[0].shared = true;
        mappings[0].file_inode = 1;
        mappings[1].file_inode = 2;
        block.id = id;
        ram = (struct guest_ram){.pages = {.blocks = &block, .n_blocks = 1}, .mappings = by_block};
        qmp = (struct qmp_guest){.pid = 1, .proc_fd = -1};
        source = (struct inventory_guest){.qmp = &qmp, .ram = &ram};
        reclaim_guest_open(&tested, &source, false);
}

static void begin(void)
{
        memset(&world, 0, sizeof(world));
        world.run_state = "running";
        world.pages_a_window = UINT64_MAX;
        world.resumed = PAUSE_OUTCOME_RESUMED;
}

static void apply(struct guard *guard)
{
        const struct failure guard_failure = {.text = "no guard could be started"};

        reclaim_guest_apply(&tested, MAX_PAUSE_USEC, guard, &guard_failure);
        CU_ASSERT_FALSE(world.punched_running);
        CU_ASSERT_FALSE(world.is_paused);
        CU_ASSERT_EQUAL(world.n_pauses, world.n_resumes);
}

/* Cases */

static void test_all(void)
{
        begin();
        open_guest();
        CU_ASSERT_EQUAL(tested.n_parts, N_PARTS);
        CU_ASSERT_EQUAL(tested.before.file_bytes, 2 * UINT64_C(4096));
        apply(a_guard);
        CU_ASSERT_STRING_EQUAL(tested.error.text, "");
        CU_ASSERT_EQUAL(world.punched[0], 100);
        CU_ASSERT_EQUAL(world.punched[1], 100);
        CU_ASSERT_EQUAL(tested.n_pauses, 1);
        CU_ASSERT_FALSE(reclaim_guest_is_partly(&tested));
        reclaim_guest_deinit(&tested);
}

/* What one pause does not reach is for the next; the figures are of all of them. */
static void test_several_pauses(void)
{
        begin();
        world.pages_a_window = 40;
        open_guest();
        apply(a_guard);
        CU_ASSERT_EQUAL(tested.n_pauses, 3);
        CU_ASSERT_EQUAL(tested.paused_usec, (1 + 2 + 3) * USEC_PER_MSEC);
        CU_ASSERT_EQUAL(tested.longest_usec, 3 * USEC_PER_MSEC);
        CU_ASSERT_EQUAL(world.punched[0], 100);
        CU_ASSERT_FALSE(reclaim_guest_is_partly(&tested));
        reclaim_guest_deinit(&tested);
}

static void test_pauses_that_are_too_short(void)
{
        begin();
        open_guest();
        tested.parts[1].file.zero_pages = 0; /* nothing to be done without a pause */
        world.pages_a_window = 0;
        apply(a_guard);
        CU_ASSERT_EQUAL(tested.n_pauses, 3);
        CU_ASSERT_PTR_NOT_NULL(strstr(tested.error.text, "too short"));
        CU_ASSERT_TRUE(reclaim_guest_is_partly(&tested));
        reclaim_guest_deinit(&tested);
}

static void test_found_stopped(void)
{
        begin();
        world.run_state = "paused";
        open_guest();
        apply(a_guard);
        CU_ASSERT_EQUAL(tested.n_pauses, 0);
        CU_ASSERT_EQUAL(world.punched[0], 0);
        CU_ASSERT_EQUAL(world.punched[1], 100);
        CU_ASSERT_PTR_NOT_NULL(strstr(tested.parts[0].refusal.text, "found stopped"));
        CU_ASSERT_STRING_EQUAL(tested.found_state, "paused");
        reclaim_guest_deinit(&tested);
}

static void test_without_a_guard(void)
{
        begin();
        open_guest();
        apply(NULL);
        CU_ASSERT_EQUAL(world.n_pauses, 0);
        CU_ASSERT_EQUAL(world.punched[1], 100);
        CU_ASSERT_STRING_EQUAL(tested.parts[0].refusal.text, "no guard could be started");
        reclaim_guest_deinit(&tested);
}

static void test_migration(void)
{
        begin();
        open_guest();
        world.migrating = true; /* it has begun since */
        apply(a_guard);
        CU_ASSERT_EQUAL(world.punched[0] + world.punched[1], 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(tested.error.text, "migration"));
        reclaim_guest_deinit(&tested);
}

static void test_refused(void)
{
        begin();
        world.refused = "a device of another process reaches it";
        open_guest();
        apply(a_guard);
        CU_ASSERT_EQUAL(world.punched[0] + world.punched[1], 0);
        CU_ASSERT_EQUAL(world.n_pauses, 0);
        CU_ASSERT_STRING_EQUAL(tested.parts[0].refusal.text, world.refused);
        CU_ASSERT_TRUE(reclaim_guest_is_partly(&tested));
        reclaim_guest_deinit(&tested);
}

/* What is found right after the pause was granted ends the work before the first page. */
static void test_device_in_the_pause(void)
{
        begin();
        world.has_device = true;
        open_guest();
        apply(a_guard);
        CU_ASSERT_EQUAL(tested.n_pauses, 1);
        CU_ASSERT_EQUAL(world.punched[0], 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(tested.parts[0].refusal.text, "a device"));
        reclaim_guest_deinit(&tested);
}

/* A pause that ended otherwise than by our resuming is the last one. */
static void test_pause_that_fails(void)
{
        begin();
        world.pages_a_window = 10;
        world.resumed = PAUSE_OUTCOME_FAILED;
        open_guest();
        apply(a_guard);
        CU_ASSERT_EQUAL(tested.n_pauses, 1);
        CU_ASSERT_EQUAL(world.punched[0], 10);
        CU_ASSERT_PTR_NOT_NULL(strstr(tested.error.text, "samepage resume --stale"));
        reclaim_guest_deinit(&tested);
}

static void test_domain_without_events(void)
{
        begin();
        world.watch_fails = true;
        open_guest();
        source.by_libvirt = true;
        apply(a_guard);
        CU_ASSERT_EQUAL(world.n_pauses, 0);
        CU_ASSERT_EQUAL(world.punched[0], 0);
        CU_ASSERT_STRING_EQUAL(tested.error.text, "libvirt sends no events");
        reclaim_guest_deinit(&tested);
}

static const struct unit_test tests[] = {
        {"all in one pause", test_all},
        {"several pauses", test_several_pauses},
        {"pauses that are too short", test_pauses_that_are_too_short},
        {"a guest that was found stopped", test_found_stopped},
        {"without a guard", test_without_a_guard},
        {"a migration that has begun", test_migration},
        {"refused", test_refused},
        {"a device that comes in the pause", test_device_in_the_pause},
        {"a pause that fails", test_pause_that_fails},
        {"a domain without events", test_domain_without_events},
};

UNIT_MAIN("reclaim/reclaim_guest", tests)
