/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "qmp/fake_qemu.h"
#include "qmp/guest.h"
#include "unit.h"
#include "with_pidfd.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static struct fake_qemu fake;
static struct qmp_guest *guest;
static struct failure failure;

static int begin(bool foreign_listener)
{
        (void)snprintf(folder, sizeof(folder), "/tmp/samepage-guest-XXXXXX");
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
        fake_qemu_start(&fake, folder, "s", foreign_listener);
        guest = NULL;
        return qmp_guest_open(fake.path, 500000, &guest, &failure);
}

static void end(void)
{
        qmp_guest_free(guest);
        fake_qemu_stop(&fake);
        (void)rmdir(folder);
}

static void test_open(void)
{
        CU_ASSERT_EQUAL_FATAL(begin(false), 0);
        CU_ASSERT_STRING_EQUAL(guest->name, "fake");
        CU_ASSERT_PTR_NULL(guest->uuid);
        CU_ASSERT_EQUAL(guest->pid, fake.pid);
        CU_ASSERT_STRING_EQUAL(guest->found_state, "running");
        CU_ASSERT_EQUAL(guest->blocks.count, 1);
        CU_ASSERT_EQUAL(guest->blocks.blocks[0].hva, (uintptr_t)fake.ram);
        CU_ASSERT_STRING_EQUAL(guest->blocks.blocks[0].backend, "memory-backend-ram");
        CU_ASSERT_EQUAL(qmp_guest_refresh_blocks(guest, &failure), 0);
        CU_ASSERT_TRUE(qmp_guest_is_alive(guest));
        (void)kill(fake.pid, SIGKILL);
        (void)waitpid(fake.pid, NULL, 0);
        CU_ASSERT_FALSE(qmp_guest_is_alive(guest));
        CU_ASSERT_EQUAL(qmp_guest_refresh_blocks(guest, &failure), -ECONNRESET);
        end();
}

/* Whoever listens may have passed the socket on: then the process is found by the connection. */
static void test_passed_socket(void)
{
        CU_ASSERT_EQUAL_FATAL(begin(true), 0);
        CU_ASSERT_EQUAL(guest->pid, fake.pid);
        CU_ASSERT_NOT_EQUAL(guest->pid, getpid());
        end();
}

/* The listener's number belongs to somebody who maps the same addresses, but is not at the other end. */
static void test_stranger(void)
{
        void *ram = NULL;

        CU_ASSERT_EQUAL_FATAL(begin(true), 0);
        qmp_guest_free(guest);
        guest = NULL;
        ram = mmap(fake.ram, FAKE_RAM_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
                   0);
        CU_ASSERT_EQUAL_FATAL(ram, fake.ram);
        CU_ASSERT_EQUAL_FATAL(qmp_guest_open(fake.path, 500000, &guest, &failure), 0);
        CU_ASSERT_EQUAL(guest->pid, fake.pid);
        (void)munmap(ram, FAKE_RAM_BYTES);
        end();
}

static void test_lies_about_addresses(void)
{
        (void)snprintf(folder, sizeof(folder), "/tmp/samepage-guest-XXXXXX");
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
        fake_qemu_start(&fake, folder, "s", false);
        guest = NULL;
        CU_ASSERT_EQUAL_FATAL(qmp_guest_open(fake.path, 500000, &guest, &failure), 0);
        qmp_guest_free(guest);
        guest = NULL;
        fake.state->lies = true;
        CU_ASSERT_EQUAL(qmp_guest_open(fake.path, 500000, &guest, &failure), -ESRCH);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "none of the 1 that hold the other end"));
        end();
}

static void test_refresh_state(void)
{
        struct qmp_guest_state state;

        CU_ASSERT_EQUAL_FATAL(begin(false), 0);
        CU_ASSERT_EQUAL(qmp_client_execute(guest->client, "stop", NULL, NULL, &failure), 0);
        CU_ASSERT_EQUAL(qmp_guest_refresh_state(guest, &state, &failure), 0);
        CU_ASSERT_STRING_EQUAL(state.run_state, "paused");
        CU_ASSERT(state.events.stop && !state.events.resume && !state.migrating);
        (void)strcpy(fake.state->migration, "active"); /* NOLINT(*-insecureAPI.strcpy): it fits */
        CU_ASSERT_EQUAL(qmp_client_execute(guest->client, "cont", NULL, NULL, &failure), 0);
        CU_ASSERT_EQUAL(qmp_guest_refresh_state(guest, &state, &failure), 0);
        CU_ASSERT_STRING_EQUAL(state.run_state, "running");
        CU_ASSERT(!state.events.stop && state.events.resume && state.migrating);
        end();
}

static void test_hangs_and_garbage(void)
{
        CU_ASSERT_EQUAL_FATAL(begin(false), 0);
        qmp_guest_free(guest);
        guest = NULL;
        fake.state->is_mute = true;
        CU_ASSERT_EQUAL(qmp_guest_open(fake.path, 50000, &guest, &failure), -ETIMEDOUT);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "qmp_capabilities"));
        fake.state->is_mute = false;
        CU_ASSERT_EQUAL_FATAL(qmp_guest_open(fake.path, 500000, &guest, &failure), 0);
        qmp_guest_free(guest);
        guest = NULL;
        fake.state->says_garbage = true;
        CU_ASSERT_EQUAL(qmp_guest_open(fake.path, 500000, &guest, &failure), -EBADMSG);
        fake.state->says_garbage = false;
        CU_ASSERT_EQUAL_FATAL(qmp_guest_open(fake.path, 500000, &guest, &failure), 0);
        end();
}

static const struct unit_test tests[] = {
        {"what is learnt", test_open},
        {"a socket that was passed to QEMU", test_passed_socket},
        {"a stranger with the listener's number", test_stranger},
        {"addresses that the process does not map", test_lies_about_addresses},
        {"the run state and events", test_refresh_state},
        {"a QEMU that hangs, garbage", test_hangs_and_garbage},
};
UNIT_MAIN_WITH_PIDFD("qmp/guest", tests)
