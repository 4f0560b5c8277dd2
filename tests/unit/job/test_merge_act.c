/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which guests are marked, in which order, and when nobody is: with guests that are folders with an smaps. */
#include "base/cleanup.h"
#include "daemon/job/merge_act.h"
#include "merge/ksm/ksmd.h"
#include "qmp/guest_merge.h"
#include "with_pidfd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define N_GUESTS 4
#define HVA      0x7f0000000000

/* A guest, and what its QEMU does. */
struct fake {
        struct qmp_guest qmp;
        struct ram_block block;
        bool lies; /* says yes and does nothing */
};

struct world {
        char folder[32];
        struct ksm_settings_place place;
        pid_t service_pid;
        struct fake fakes[N_GUESTS];
        struct inventory_guest guests[N_GUESTS];
        struct inventory inventory;
        struct report_guest reported[N_GUESTS];
        struct report_merge_guest merged[N_GUESTS];
        struct report_merge merge;
        struct report report;
};

static char record[64]; /* "-2+0": guest 2 was unmarked, then guest 0 marked */
static bool has_rival;
static bool has_stranger;

static void write_text(int dir_fd, const char *name, const char *text)
{
        CLEANUP_CLOSE int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        CU_ASSERT_FATAL(fd >= 0);
        CU_ASSERT(dprintf(fd, "%s", text) >= 0);
}

static void set_mark(const struct qmp_guest *guest, bool is_marked)
{
        write_text(guest->proc_fd, "smaps",
                   is_marked ? "7f0000000000-7f0000200000 rw-p 00000000 00:00 0 \nVmFlags: rd wr mg \n"
                             : "7f0000000000-7f0000200000 rw-p 00000000 00:00 0 \nVmFlags: rd wr \n");
}

/* Doubles */

int qmp_guest_set_merge(struct qmp_guest *guest, const char *id, bool merge, uint64_t merged_bytes,
                        struct failure *failure)
{
        (void)merged_bytes;
        (void)failure;
        (void)snprintf(record + strlen(record), sizeof(record) - strlen(record), "%c%s", merge ? '+' : '-',
                       id);
        if (!((struct fake *)(void *)guest)->lies)
                set_mark(guest, merge);
        return 0;
}

bool ksmd_find_rival(struct failure *ret_failure)
{
        if (has_rival)
                (void)failure_set(ret_failure, 0, "a rival");
        return has_rival;
}

bool ksmd_find_stranger(const pid_t *pids, size_t n, struct failure *ret_failure)
{
        (void)pids;
        CU_ASSERT_EQUAL(n, N_GUESTS);
        if (has_stranger)
                (void)failure_set(ret_failure, 0, "a stranger");
        return has_stranger;
}

/* Guests 0 and 1 are to be merged, 2 is marked and must not be, 3 is not and must not be. */
static void set_up(struct world *world)
{
        static char ids[N_GUESTS][2] = {"0", "1", "2", "3"};

        *world = (struct world){.folder = "/tmp/samepage-merge-act-XXXXXX"};
        record[0] = '\0';
        has_rival = has_stranger = false;
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(world->folder));
        /* There is no KSM there: nobody writes its settings. */
        world->place.ksm_dir = "/nonexistent";
        world->place.runtime_dir = world->folder;
        for (size_t i = 0; i < N_GUESTS; i++) {
                struct fake *fake = &world->fakes[i];
                char path[64] = "";

                (void)snprintf(path, sizeof(path), "%s/%zu", world->folder, i);
                CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
                fake->block = (struct ram_block){.id = ids[i], .size_bytes = 0x200000, .hva = HVA};
                fake->qmp = (struct qmp_guest){
                        .pid = getpid(),
                        .pidfd = pidfd_open(getpid(), 0),
                        .proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC),
                        .blocks = {&fake->block, 1},
                };
                set_mark(&fake->qmp, i == 2);
                world->guests[i].qmp = &fake->qmp;
                world->merged[i].is_known = true;
                world->merged[i].is_chosen = i < 2;
                world->merged[i].change = i < 2    ? PLAN_CHANGE_MERGE
                                          : i == 2 ? PLAN_CHANGE_UNMERGE
                                                   : PLAN_CHANGE_NONE;
        }
        world->inventory = (struct inventory){world->guests, N_GUESTS};
        world->merge = (struct report_merge){.merges = true, .guests = world->merged, .n_guests = N_GUESTS};
        world->report =
                (struct report){.guests = world->reported, .n_guests = N_GUESTS, .merge = &world->merge};
}

static void tear_down(struct world *world)
{
        char command[64] = "";

        for (size_t i = 0; i < N_GUESTS; i++) {
                (void)close(world->fakes[i].qmp.pidfd);
                (void)close(world->fakes[i].qmp.proc_fd);
        }
        (void)snprintf(command, sizeof(command), "rm -r %s", world->folder);
        CU_ASSERT_EQUAL(system(command), 0);
}

/* Nobody was touched, and it says why. */
static void check_refusal(const struct world *world, const char *sentence, bool may_pass)
{
        CU_ASSERT_STRING_EQUAL(record, "");
        CU_ASSERT_TRUE(world->merge.acts);
        CU_ASSERT_PTR_NOT_NULL(strstr(world->merge.refusal.text, sentence));
        CU_ASSERT_EQUAL(world->merge.may_pass, may_pass);
}

static void run(struct world *world)
{
        merge_act_run(&world->place, world->service_pid, false, &world->inventory, &world->report);
}

static void test_order(void)
{
        struct world world;

        set_up(&world);
        run(&world);
        CU_ASSERT_STRING_EQUAL(record, "-2+0+1");
        CU_ASSERT_TRUE(world.merge.acts && !world.merge.refusal.text[0]);
        CU_ASSERT_FALSE(world.merge.is_done); /* that is who asked for it */
        for (size_t i = 0; i < 3; i++)
                CU_ASSERT_TRUE(world.merged[i].is_done);
        tear_down(&world);
}

static void test_not_worth_while(void)
{
        struct world world;

        set_up(&world);
        world.merge.merges = false;
        run(&world);
        CU_ASSERT_STRING_EQUAL(record, "");
        CU_ASSERT_FALSE(world.merge.acts);
        tear_down(&world);
}

/* As long as somebody who must not share may be marked, nobody is. */
static void test_cannot_unmark(void)
{
        struct world world;

        set_up(&world);
        world.fakes[2].lies = true;
        run(&world);
        CU_ASSERT_STRING_EQUAL(record, "-2");
        CU_ASSERT_TRUE(world.merge.refusal.text[0] && world.merge.may_pass);
        CU_ASSERT_TRUE(world.merged[2].failure.text[0] && !world.merged[2].is_done);
        tear_down(&world);
}

/* It had no mark when it was scanned. */
static void test_marked_since(void)
{
        struct world world;

        set_up(&world);
        set_mark(&world.fakes[3].qmp, true);
        run(&world);
        CU_ASSERT_STRING_EQUAL(record, "-2");
        CU_ASSERT_TRUE(world.merge.refusal.text[0] && world.merge.may_pass);
        tear_down(&world);
}

/* One that is to be merged and is not only stays out. */
static void test_cannot_mark(void)
{
        struct world world;

        set_up(&world);
        world.fakes[0].lies = true;
        run(&world);
        CU_ASSERT_STRING_EQUAL(record, "-2+0+1");
        CU_ASSERT_STRING_EQUAL(world.merge.refusal.text, "");
        CU_ASSERT_TRUE(!world.merged[0].is_done && world.merged[0].failure.text[0]);
        CU_ASSERT_TRUE(world.merged[1].is_done);
        tear_down(&world);
}

static void test_domain_without_monitor(void)
{
        struct world world;

        set_up(&world);
        world.guests[2].by_libvirt = true;
        run(&world);
        CU_ASSERT_STRING_EQUAL(record, "");
        CU_ASSERT_PTR_NOT_NULL(strstr(world.merged[2].failure.text, "--libvirt-monitor"));
        CU_ASSERT_TRUE(world.merge.refusal.text[0]);
        tear_down(&world);
}

static void test_rival(void)
{
        struct world world;

        set_up(&world);
        has_rival = true;
        run(&world);
        check_refusal(&world, "a rival", false);
        tear_down(&world);
}

static void test_stranger(void)
{
        struct world world;

        set_up(&world);
        has_stranger = true;
        run(&world);
        check_refusal(&world, "a stranger", true);
        /* Where everybody may share, nobody is one. */
        world.merge.refusal = (struct failure){0};
        world.merge.cross_group = true;
        run(&world);
        CU_ASSERT_STRING_EQUAL(record, "-2+0+1");
        tear_down(&world);
}

/* A person has changed KSM's settings: a service leaves the guests alone, too. */
static void test_held(void)
{
        CLEANUP_CLOSE int fd = -1;
        struct world world;

        set_up(&world);
        fd = open(world.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        write_text(fd, "ksm-settings", "owner 0 0\nsetting run 0 1 1\n");
        world.service_pid = getpid();
        run(&world);
        check_refusal(&world, "undo that first", false);
        tear_down(&world);
}

/* How much memory it takes to unmark is not known, or too much. */
static void test_memory(void)
{
        static const int64_t merged[] = {REPORT_UNKNOWN, INT64_C(1) << 60};

        for (size_t i = 0; i < ARRAY_SIZE(merged); i++) {
                struct world world;

                set_up(&world);
                world.reported[2].figures.actual_ksm_bytes = merged[i];
                run(&world);
                check_refusal(&world, i == 0 ? "is not known" : "are available", true);
                tear_down(&world);
        }
}

static const struct unit_test tests[] = {
        {"order", test_order},
        {"not worth while", test_not_worth_while},
        {"cannot unmark", test_cannot_unmark},
        {"marked since", test_marked_since},
        {"cannot mark", test_cannot_mark},
        {"domain without monitor", test_domain_without_monitor},
        {"rival", test_rival},
        {"stranger", test_stranger},
        {"held", test_held},
        {"memory", test_memory},
};

UNIT_MAIN_WITH_PIDFD("merge_act", tests)
