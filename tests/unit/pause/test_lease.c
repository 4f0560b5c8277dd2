/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leases, the guard and stale leases with fake QEMUs. What must not outlive a test is run in a child ("the
 * scan") that the test kills, stops and starts.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "qmp/fake_qemu.h"
#include "qmp/pause/guard_proto.h"
#include "qmp/pause/lease.h"
#include "qmp/pause/leasefile.h"
#include "qmp/pause/stale.h"
#include "unit.h"
#include "with_pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUESTS_MAX 256
#define LONG_PAUSE (60 * USEC_PER_SEC)

static char folder[64];
static char runtime_dir[96];
static struct fake_qemu fakes[GUESTS_MAX];
static size_t n_fakes;
static struct guard *guard;
static struct qmp_guest *guests[GUESTS_MAX];
static struct lease leases[GUESTS_MAX];
static struct lease *lease_pointers[GUESTS_MAX];
static struct failure failure;

/* How many forks of all processes fail from now on; shared with them. */
static volatile int *forks_to_fail;
/* As under a filter of system calls; of this process and its forks from now on. */
static bool refuses_close_range;

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl*): names of ld --wrap */
pid_t __real_fork(void);
pid_t __wrap_fork(void);
int __real_close_range(unsigned int first, unsigned int last, int flags);
int __wrap_close_range(unsigned int first, unsigned int last, int flags);

pid_t __wrap_fork(void)
{
        if (!forks_to_fail || *forks_to_fail == 0)
                return __real_fork();
        --*forks_to_fail;
        errno = EAGAIN;
        return -1;
}

int __wrap_close_range(unsigned int first, unsigned int last, int flags)
{
        if (!refuses_close_range)
                return __real_close_range(first, last, flags);
        errno = EPERM;
        return -1;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl*) */

static void begin(size_t count)
{
        (void)snprintf(folder, sizeof(folder), "/tmp/samepage-lease-XXXXXX");
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
        (void)snprintf(runtime_dir, sizeof(runtime_dir), "%s/run", folder);
        n_fakes = count;
        for (size_t i = 0; i < count; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "s%zu", i);
                fake_qemu_start(&fakes[i], folder, name, false);
        }
}

static void open_all(void)
{
        CU_ASSERT_EQUAL_FATAL(guard_start(runtime_dir, &guard, &failure), 0);
        for (size_t i = 0; i < n_fakes; i++) {
                CU_ASSERT_EQUAL_FATAL(
                        qmp_guest_open(fakes[i].path, QMP_CLIENT_TIMEOUT_USEC, &guests[i], &failure), 0);
                leases[i] = (struct lease){.guest = guests[i]};
                lease_pointers[i] = &leases[i];
        }
}

static void close_all(void)
{
        for (size_t i = 0; i < n_fakes; i++)
                qmp_guest_free(guests[i]);
        guard_free(guard);
        guard = NULL;
}

static size_t count_leases(void)
{
        CLEANUP_CLOSE int folder_fd = -1;
        CLEANUP_FREE char **names = NULL;
        size_t count = 0;
        int r = leasefile_open_folder(runtime_dir, false, &folder_fd, &failure);

        if (r == -ENOENT)
                return 0; /* a scan that was killed before it made the folder */
        CU_ASSERT_EQUAL_FATAL(r, 0);
        CU_ASSERT_EQUAL_FATAL(leasefile_list(folder_fd, &names, &count), 0);
        for (size_t i = 0; i < count; i++)
                free(names[i]);
        return count;
}

static bool wait_for_no_leases(void)
{
        for (int i = 0; i < 2000; i++) {
                if (count_leases() == 0)
                        return true;
                (void)usleep(1000);
        }
        return false;
}

static void end(void)
{
        char command[128];

        for (size_t i = 0; i < n_fakes; i++)
                fake_qemu_stop(&fakes[i]);
        (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
        CU_ASSERT_EQUAL(system(command), 0); /* NOLINT(cert-env33-c): a folder of our own */
}

static void pause_all(uint64_t max_pause_usec)
{
        CU_ASSERT_EQUAL_FATAL(lease_pause(guard, lease_pointers, n_fakes, max_pause_usec), 0);
        for (size_t i = 0; i < n_fakes; i++) {
                CU_ASSERT_EQUAL_FATAL(leases[i].state, PAUSE_OUTCOME_PAUSED);
                CU_ASSERT_STRING_EQUAL(fakes[i].state->run_state, "paused");
        }
}

static void expect_running(void)
{
        for (size_t i = 0; i < n_fakes; i++)
                CU_ASSERT_TRUE(fake_qemu_wait_for(&fakes[i], "running", 3000));
}

/* In this process */

static void test_pause_and_resume(void)
{
        begin(3);
        open_all();
        for (int round = 0; round < 3; round++) {
                pause_all(LONG_PAUSE);
                CU_ASSERT_EQUAL(count_leases(), 3);
                CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 3), 0);
                CU_ASSERT_EQUAL(count_leases(), 0);
                for (size_t i = 0; i < 3; i++) {
                        struct qmp_guest_state state;

                        CU_ASSERT_EQUAL(leases[i].state, PAUSE_OUTCOME_RESUMED);
                        CU_ASSERT(leases[i].stop_sent_usec <= fakes[i].state->stopped_usec);
                        CU_ASSERT(fakes[i].state->stopped_usec <= leases[i].stopped_usec);
                        CU_ASSERT(leases[i].cont_sent_usec <= fakes[i].state->resumed_usec);
                        CU_ASSERT(fakes[i].state->resumed_usec <= leases[i].resumed_usec);
                        CU_ASSERT_FALSE(leases[i].resumed_at_deadline || leases[i].resumed_by_other);
                        CU_ASSERT_EQUAL(qmp_guest_refresh_state(guests[i], &state, &failure), 0);
                }
        }
        CU_ASSERT_EQUAL(fakes[0].state->stops, 3);
        CU_ASSERT_EQUAL(fakes[0].state->conts, 3);
        close_all();
        end();
}

static void test_many_guests(void)
{
        begin(250);
        open_all();
        pause_all(LONG_PAUSE);
        CU_ASSERT_EQUAL(count_leases(), 250);
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 250), 0);
        for (size_t i = 0; i < 250; i++)
                CU_ASSERT_EQUAL(leases[i].state, PAUSE_OUTCOME_RESUMED);
        CU_ASSERT_EQUAL(count_leases(), 0);
        pause_all(LONG_PAUSE);
        (void)kill(guard->child.pid, SIGKILL);
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 250), -EOWNERDEAD);
        expect_running();
        CU_ASSERT_EQUAL(count_leases(), 0);
        close_all();
        end();
}

static void test_deadline(void)
{
        begin(2);
        open_all();
        pause_all(400 * USEC_PER_MSEC);
        expect_running();
        CU_ASSERT_TRUE(wait_for_no_leases());
        for (size_t i = 0; i < 2; i++) {
                uint64_t paused_usec = fakes[i].state->resumed_usec - fakes[i].state->stopped_usec;

                CU_ASSERT(paused_usec >= 380 * USEC_PER_MSEC && paused_usec < 3 * USEC_PER_SEC);
        }
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 2), 0);
        for (size_t i = 0; i < 2; i++) {
                CU_ASSERT_EQUAL(leases[i].state, PAUSE_OUTCOME_RESUMED);
                CU_ASSERT_TRUE(leases[i].resumed_at_deadline);
                CU_ASSERT(leases[i].cont_sent_usec >=
                          lease_end_usec(leases[i].stop_sent_usec, 400 * USEC_PER_MSEC));
        }
        pause_all(LONG_PAUSE);
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 2), 0);
        CU_ASSERT_FALSE(leases[0].resumed_at_deadline);
        close_all();
        end();
}

static void test_not_ours_to_pause(void)
{
        begin(3);
        open_all();
        (void)strcpy(fakes[0].state->run_state, "paused");      /* NOLINT(*-insecureAPI.strcpy): it fits */
        (void)strcpy(fakes[1].state->run_state, "postmigrate"); /* NOLINT(*-insecureAPI.strcpy): it fits */
        (void)strcpy(fakes[2].state->migration, "active");      /* NOLINT(*-insecureAPI.strcpy): it fits */
        CU_ASSERT_EQUAL(lease_pause(guard, lease_pointers, 3, LONG_PAUSE), 0);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_NOT_RUNNING);
        CU_ASSERT_STRING_EQUAL(leases[0].run_state, "paused");
        CU_ASSERT_EQUAL(leases[1].state, PAUSE_OUTCOME_NOT_RUNNING);
        CU_ASSERT_EQUAL(leases[2].state, PAUSE_OUTCOME_MIGRATING);
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 3), 0);
        close_all();
        for (size_t i = 0; i < 3; i++) {
                CU_ASSERT_EQUAL(fakes[i].state->stops, 0);
                CU_ASSERT_EQUAL(fakes[i].state->conts, 0);
        }
        CU_ASSERT_EQUAL(count_leases(), 0);
        end();
}

static void test_not_ours_to_resume(void)
{
        begin(3);
        open_all();
        fakes[1].state->stop_event_resumed = true;
        CU_ASSERT_EQUAL(lease_pause(guard, lease_pointers, 3, LONG_PAUSE), 0);
        (void)strcpy(fakes[0].state->run_state, "io-error"); /* NOLINT(*-insecureAPI.strcpy): it fits */
        (void)strcpy(fakes[2].state->migration, "active");   /* NOLINT(*-insecureAPI.strcpy): it fits */
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 3), 0);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_LEFT);
        CU_ASSERT_PTR_NOT_NULL(strstr(leases[0].failure.text, "\"io-error\""));
        CU_ASSERT_EQUAL(leases[1].state, PAUSE_OUTCOME_RESUMED);
        CU_ASSERT_TRUE(leases[1].resumed_by_other);
        CU_ASSERT_EQUAL(leases[2].state, PAUSE_OUTCOME_LEFT);
        CU_ASSERT_PTR_NOT_NULL(strstr(leases[2].failure.text, "migration"));
        CU_ASSERT_EQUAL(fakes[0].state->conts, 0);
        CU_ASSERT_EQUAL(fakes[2].state->conts, 0);
        CU_ASSERT_EQUAL(count_leases(), 1);
        /* When the migration fails the guest is ours again. */
        (void)strcpy(fakes[2].state->migration, "failed"); /* NOLINT(*-insecureAPI.strcpy): it fits */
        CU_ASSERT_TRUE(fake_qemu_wait_for(&fakes[2], "running", 3000));
        CU_ASSERT_TRUE(wait_for_no_leases());
        close_all();
        end();
}

static void test_hung_qemu_delays_no_other(void)
{
        begin(3);
        open_all();
        fakes[1].state->is_mute = true;
        CU_ASSERT_EQUAL(lease_pause(guard, lease_pointers, 3, 50 * USEC_PER_MSEC), 0);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_PAUSED);
        CU_ASSERT_EQUAL(leases[1].state, PAUSE_OUTCOME_FAILED);
        CU_ASSERT_PTR_NOT_NULL(strstr(leases[1].failure.text, "did not answer"));
        CU_ASSERT_EQUAL(leases[2].state, PAUSE_OUTCOME_PAUSED);
        /* The others ran on after their 50 ms while the call waited for the one that hangs. */
        CU_ASSERT(fakes[0].state->resumed_usec - fakes[0].state->stopped_usec < 3 * USEC_PER_SEC);
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 3), 0);
        CU_ASSERT_TRUE(leases[2].resumed_at_deadline);
        fakes[1].state->is_mute = false;
        close_all();
        CU_ASSERT_EQUAL(fakes[1].state->stops, 0);
        end();
}

/* A QEMU that hangs under the pause is resumed when it comes back, though the scan gave up. */
static void test_qemu_hangs_while_paused(void)
{
        begin(2);
        open_all();
        pause_all(LONG_PAUSE);
        fakes[0].state->is_mute = true;
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 2), 0);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_FAILED);
        CU_ASSERT_PTR_NOT_NULL(strstr(leases[0].failure.text, "as soon as its QEMU answers"));
        CU_ASSERT_EQUAL(leases[1].state, PAUSE_OUTCOME_RESUMED);
        CU_ASSERT(fakes[1].state->resumed_usec < clock_now_usec() - 3 * USEC_PER_SEC);
        CU_ASSERT_EQUAL(count_leases(), 1);
        close_all();
        fakes[0].state->is_mute = false;
        CU_ASSERT_TRUE(fake_qemu_wait_for(&fakes[0], "running", 3000));
        CU_ASSERT_TRUE(wait_for_no_leases());
        end();
}

static void test_qemu_dies(void)
{
        begin(2);
        open_all();
        pause_all(LONG_PAUSE);
        (void)kill(fakes[0].pid, SIGKILL);
        (void)waitpid(fakes[0].pid, NULL, 0);
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 2), 0);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_FAILED);
        CU_ASSERT_PTR_NOT_NULL(strstr(leases[0].failure.text, "closed the connection"));
        CU_ASSERT_EQUAL(leases[1].state, PAUSE_OUTCOME_RESUMED);
        CU_ASSERT_TRUE(wait_for_no_leases());
        close_all();
        end();
}

/* The connection breaks while QEMU lives: the guest is resumed over a new one. */
static void test_connection_breaks(void)
{
        begin(2);
        open_all();
        pause_all(LONG_PAUSE);
        fakes[0].state->closes = true;
        fakes[1].state->says_garbage = true;
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 2), 0);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_FAILED);
        CU_ASSERT_EQUAL(leases[1].state, PAUSE_OUTCOME_FAILED);
        expect_running();
        CU_ASSERT_TRUE(wait_for_no_leases());
        close_all();
        end();
}

/* No process can be made for that at first, as under pids.max: the guard tries again, and stays until it can. */
static void test_connection_breaks_and_no_fork(void)
{
        forks_to_fail = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CU_ASSERT_NOT_EQUAL_FATAL(forks_to_fail, MAP_FAILED);
        begin(1);
        open_all();
        pause_all(LONG_PAUSE);
        *forks_to_fail = 2;
        fakes[0].state->closes = true;
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 1), 0);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_FAILED);
        CU_ASSERT_STRING_EQUAL(fakes[0].state->run_state, "paused");
        close_all();
        expect_running();
        CU_ASSERT_EQUAL(*forks_to_fail, 0);
        CU_ASSERT_TRUE(wait_for_no_leases());
        end();
        (void)munmap((void *)forks_to_fail, sizeof(int));
        forks_to_fail = NULL;
}

static void test_cont_refused(void)
{
        begin(1);
        open_all();
        pause_all(LONG_PAUSE);
        fakes[0].state->refuses_cont = true;
        guard_free(guard);
        CU_ASSERT_STRING_EQUAL(fakes[0].state->run_state, "paused");
        fakes[0].state->refuses_cont = false;
        expect_running();
        CU_ASSERT_TRUE(wait_for_no_leases());
        qmp_guest_free(guests[0]);
        end();
}

static void test_second_scan_is_refused(void)
{
        struct leasefile note = {.guest = (char *)"fake", .socket_path = (char *)"/other.sock"};
        CLEANUP_CLOSE int folder_fd = -1;
        char part[64];

        begin(1);
        open_all();
        /* As another scan would have it, by another socket of the same QEMU. */
        CU_ASSERT_EQUAL_FATAL(leasefile_open_folder(runtime_dir, true, &folder_fd, &failure), 0);
        CU_ASSERT_EQUAL(process_identify(fakes[0].pid, &note.qemu), 0);
        CU_ASSERT_EQUAL(process_identify(getpid(), &note.scanner), 0);
        CU_ASSERT_EQUAL(leasefile_write(folder_fd, &note, &failure), 0);
        CU_ASSERT_EQUAL(lease_pause(guard, lease_pointers, 1, LONG_PAUSE), 0);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_HELD);
        (void)snprintf(part, sizeof(part), "another samepage scan (pid %d)", (int)getpid());
        CU_ASSERT_PTR_NOT_NULL(strstr(leases[0].failure.text, part));
        CU_ASSERT_EQUAL(fakes[0].state->stops, 0);
        CU_ASSERT_TRUE(leasefile_exists(folder_fd, &note));
        CU_ASSERT_EQUAL(leasefile_remove(folder_fd, &note), 0);
        pause_all(LONG_PAUSE);
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 1), 0);
        close_all();
        end();
}

static void test_guard_killed(void)
{
        begin(3);
        open_all();
        pause_all(LONG_PAUSE);
        (void)kill(guard->child.pid, SIGKILL);
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 3), -EOWNERDEAD);
        for (size_t i = 0; i < 3; i++) {
                CU_ASSERT_EQUAL(leases[i].state, PAUSE_OUTCOME_RESUMED);
                CU_ASSERT(leases[i].cont_sent_usec && leases[i].resumed_usec);
                CU_ASSERT_STRING_EQUAL(fakes[i].state->run_state, "running");
        }
        CU_ASSERT_EQUAL(count_leases(), 0);
        CU_ASSERT_EQUAL(lease_pause(guard, lease_pointers, 3, LONG_PAUSE), -EOWNERDEAD);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_FAILED);
        CU_ASSERT_PTR_NOT_NULL(strstr(leases[0].failure.text, "the guard process died"));
        close_all();
        CU_ASSERT_EQUAL(fakes[0].state->stops, 1);
        end();
}

/* Connections break together with the guard: the guests are reached over new ones. */
static void test_guard_killed_and_connections_broken(void)
{
        uint64_t start_usec = 0;

        begin(3);
        open_all();
        pause_all(LONG_PAUSE);
        (void)kill(guard->child.pid, SIGKILL);
        fakes[0].state->closes = true;
        (void)shutdown(qmp_client_get_fd(guests[1]->client), SHUT_RDWR);
        start_usec = clock_now_usec();
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 3), -EOWNERDEAD);
        CU_ASSERT(clock_now_usec() - start_usec < 3 * USEC_PER_SEC);
        for (size_t i = 0; i < 3; i++) {
                CU_ASSERT_STRING_EQUAL(fakes[i].state->run_state, "running");
                CU_ASSERT_EQUAL(fakes[i].state->conts, 1);
        }
        /* Nobody could have told that it ran meanwhile. */
        for (size_t i = 0; i < 2; i++) {
                CU_ASSERT_EQUAL(leases[i].state, PAUSE_OUTCOME_FAILED);
                CU_ASSERT_PTR_NOT_NULL(strstr(leases[i].failure.text, "it runs again"));
        }
        CU_ASSERT_EQUAL(leases[2].state, PAUSE_OUTCOME_RESUMED);
        CU_ASSERT_EQUAL(count_leases(), 0);
        close_all();
        end();
}

/* What is asked before every cont is asked over a new connection too. */
static void test_reached_and_not_ours(void)
{
        begin(3);
        open_all();
        pause_all(LONG_PAUSE);
        (void)kill(guard->child.pid, SIGKILL);
        (void)strcpy(fakes[0].state->run_state, "io-error"); /* NOLINT(*-insecureAPI.strcpy): it fits */
        (void)strcpy(fakes[1].state->migration, "active");   /* NOLINT(*-insecureAPI.strcpy): it fits */
        (void)strcpy(fakes[2].state->run_state, "running");  /* NOLINT(*-insecureAPI.strcpy): it fits */
        for (size_t i = 0; i < 3; i++)
                (void)shutdown(qmp_client_get_fd(guests[i]->client), SHUT_RDWR);
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 3), -EOWNERDEAD);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_LEFT);
        CU_ASSERT_EQUAL(leases[1].state, PAUSE_OUTCOME_LEFT);
        CU_ASSERT_EQUAL(leases[2].state, PAUSE_OUTCOME_FAILED);
        CU_ASSERT_TRUE(leases[2].resumed_by_other);
        for (size_t i = 0; i < 3; i++)
                CU_ASSERT_EQUAL(fakes[i].state->conts, 0);
        CU_ASSERT_EQUAL(count_leases(), 1); /* of the one that migrates */
        close_all();
        end();
}

static void use_address(size_t guest, const char *address)
{
        free(guests[guest]->socket_path);
        guests[guest]->socket_path = strdup(address);
        CU_ASSERT_PTR_NOT_NULL_FATAL(guests[guest]->socket_path);
}

/* No way leads to them any more: that they may be paused is told, with what helps, and the leases stay. */
static void test_guard_killed_and_unreachable(void)
{
        static const char *const reasons[] = {"no such socket", "belongs to another process", "libvirt"};

        begin(4);
        open_all();
        use_address(2, "libvirt:test:///default#6695eb01-f6a4-8304-79aa-97f2502e193f");
        pause_all(LONG_PAUSE);
        CU_ASSERT_EQUAL(lease_resume(guard, &lease_pointers[3], 1), 0);
        qmp_guest_disconnect(guests[3]);
        (void)strcpy(fakes[3].state->run_state, "paused"); /* NOLINT(*-insecureAPI.strcpy): it fits */
        (void)kill(guard->child.pid, SIGKILL);
        for (size_t i = 0; i < 3; i++)
                (void)shutdown(qmp_client_get_fd(guests[i]->client), SHUT_RDWR);
        (void)unlink(fakes[0].path);
        use_address(1, fakes[3].path);
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 3), -EOWNERDEAD);
        for (size_t i = 0; i < 3; i++) {
                CU_ASSERT_EQUAL(leases[i].state, PAUSE_OUTCOME_FAILED);
                CU_ASSERT_PTR_NOT_NULL(strstr(leases[i].failure.text, "may be paused"));
                CU_ASSERT_PTR_NOT_NULL(strstr(leases[i].failure.text, "samepage resume --stale"));
                CU_ASSERT_PTR_NOT_NULL(strstr(leases[i].failure.text, reasons[i]));
                CU_ASSERT_STRING_EQUAL(fakes[i].state->run_state, "paused");
        }
        CU_ASSERT_STRING_EQUAL(fakes[3].state->run_state, "paused");
        CU_ASSERT_EQUAL(count_leases(), 3);
        close_all();
        end();
}

static void test_guard_stopped(void)
{
        uint64_t start_usec = 0;

        begin(2);
        open_all();
        pause_all(LONG_PAUSE);
        (void)kill(guard->child.pid, SIGSTOP);
        start_usec = clock_now_usec();
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 2), -EOWNERDEAD);
        CU_ASSERT(clock_now_usec() - start_usec < 3 * USEC_PER_SEC);
        expect_running();
        CU_ASSERT_EQUAL(count_leases(), 0);
        close_all();
        end();
}

static void test_guard_dies_before_a_pause(void)
{
        begin(2);
        open_all();
        (void)kill(guard->child.pid, SIGKILL);
        CU_ASSERT_EQUAL(lease_pause(guard, lease_pointers, 2, LONG_PAUSE), -EOWNERDEAD);
        for (size_t i = 0; i < 2; i++) {
                CU_ASSERT_EQUAL(leases[i].state, PAUSE_OUTCOME_FAILED);
                CU_ASSERT_EQUAL(fakes[i].state->stops, 0);
                CU_ASSERT_EQUAL(fakes[i].state->conts, 0);
        }
        close_all();
        end();
}

/*
 * The guard dies while one guest is paused and the other is still being asked about: the first is resumed, the
 * second, which an operator has paused, is not.
 */
static void test_guard_dies_within_a_pause(void)
{
        pid_t helper = 0;

        begin(2);
        open_all();
        fakes[1].state->is_mute = true;
        (void)strcpy(fakes[1].state->run_state, "paused"); /* NOLINT(*-insecureAPI.strcpy): it fits */
        helper = fork();
        if (helper == 0) {
                (void)fake_qemu_wait_for(&fakes[0], "paused", 3000);
                (void)kill(guard->child.pid, SIGKILL);
                (void)usleep(200000);
                fakes[1].state->is_mute = false;
                _exit(0);
        }
        CU_ASSERT_EQUAL(lease_pause(guard, lease_pointers, 2, LONG_PAUSE), -EOWNERDEAD);
        (void)waitpid(helper, NULL, 0);
        CU_ASSERT_TRUE(fake_qemu_wait_for(&fakes[0], "running", 0));
        for (size_t i = 0; i < 2; i++)
                CU_ASSERT_NOT_EQUAL(leases[i].state, PAUSE_OUTCOME_PAUSED);
        CU_ASSERT_EQUAL(leases[1].state, PAUSE_OUTCOME_FAILED);
        CU_ASSERT_EQUAL(count_leases(), 0);
        close_all();
        (void)usleep(50000);
        CU_ASSERT_STRING_EQUAL(fakes[1].state->run_state, "paused");
        CU_ASSERT_EQUAL(fakes[1].state->conts, 0);
        end();
}

/* An operator's pause is never ended by taking over: there is no lease file for it. */
static void test_take_over_leaves_others_alone(void)
{
        begin(2);
        open_all();
        (void)strcpy(fakes[1].state->run_state, "paused"); /* NOLINT(*-insecureAPI.strcpy): it fits */
        CU_ASSERT_EQUAL(lease_pause(guard, lease_pointers, 2, LONG_PAUSE), 0);
        CU_ASSERT_EQUAL(leases[1].state, PAUSE_OUTCOME_NOT_RUNNING);
        (void)kill(guard->child.pid, SIGKILL);
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 2), -EOWNERDEAD);
        CU_ASSERT_STRING_EQUAL(fakes[0].state->run_state, "running");
        CU_ASSERT_STRING_EQUAL(fakes[1].state->run_state, "paused");
        CU_ASSERT_EQUAL(fakes[1].state->conts, 0);
        close_all();
        end();
}

static void test_guard_is_hard_to_end(void)
{
        static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGPIPE, SIGUSR1, SIGALRM};

        begin(1);
        open_all();
        pause_all(LONG_PAUSE);
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                (void)kill(guard->child.pid, signals[i]);
        CU_ASSERT_NOT_EQUAL(getsid(guard->child.pid), getsid(0));
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 1), 0);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_RESUMED);
        close_all();
        end();
}

static void test_no_runtime_dir(void)
{
        CU_ASSERT_EQUAL(guard_start("/proc/self/nowhere", &guard, &failure), -ENOENT);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "lease files /proc/self/nowhere/leases"));
}

/* In a child that is killed */

struct scan {
        pid_t pid;
        volatile pid_t *guard_pid; /* shared */
};

/* Kills the scan's guard and waits until it is dead: it is not our child. */
static void kill_guard_of(const struct scan *scan)
{
        struct pollfd pollfd = {.fd = pidfd_open(*scan->guard_pid, 0), .events = POLLIN};

        CU_ASSERT_FATAL(pollfd.fd >= 0);
        (void)kill(*scan->guard_pid, SIGKILL);
        CU_ASSERT_EQUAL(poll(&pollfd, 1, 3000), 1);
        (void)close(pollfd.fd);
}

/* A scan that pauses all guests and then does nothing, or resumes them when it gets SIGUSR1. */
static struct scan start_scan(uint64_t max_pause_usec)
{
        struct scan scan = {.guard_pid = mmap(NULL, sizeof(pid_t), PROT_READ | PROT_WRITE,
                                              MAP_SHARED | MAP_ANONYMOUS, -1, 0)};

        scan.pid = fork();
        if (scan.pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                /* Not inherited ignored, as under nohup or in a shell's background job. */
                (void)signal(SIGHUP, SIG_DFL);
                (void)signal(SIGINT, SIG_DFL);
                (void)signal(SIGTERM, SIG_DFL);
                open_all();
                (void)lease_pause(guard, lease_pointers, n_fakes, max_pause_usec);
                *scan.guard_pid = guard->child.pid;
                for (;;)
                        (void)pause();
        }
        for (size_t i = 0; i < n_fakes; i++)
                CU_ASSERT_TRUE(fake_qemu_wait_for(&fakes[i], "paused", 3000));
        /* The guests are paused before the scan has heard of all of them. */
        for (int i = 0; i < 3000 && *scan.guard_pid == 0; i++)
                (void)usleep(1000);
        CU_ASSERT_NOT_EQUAL_FATAL(*scan.guard_pid, 0);
        return scan;
}

static void end_scan(struct scan *scan)
{
        (void)kill(scan->pid, SIGKILL);
        (void)waitpid(scan->pid, NULL, 0);
        (void)munmap((void *)scan->guard_pid, sizeof(pid_t));
}

static void test_scan_killed(void)
{
        static const int signals[] = {SIGKILL, SIGTERM, SIGINT, SIGABRT, SIGHUP};

        for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
                struct scan scan;

                begin(3);
                scan = start_scan(LONG_PAUSE);
                (void)kill(scan.pid, signals[i]);
                expect_running();
                CU_ASSERT_TRUE(wait_for_no_leases());
                end_scan(&scan);
                end();
        }
}

/* The guard closes the scan's end of its socket itself, and so sees the scan die. */
static void test_scan_killed_and_no_close_range(void)
{
        struct scan scan;

        begin(2);
        refuses_close_range = true;
        scan = start_scan(LONG_PAUSE);
        refuses_close_range = false;
        (void)kill(scan.pid, SIGKILL);
        expect_running();
        CU_ASSERT_TRUE(wait_for_no_leases());
        end_scan(&scan);
        end();
}

static void test_scan_killed_at_any_moment(void)
{
        begin(2);
        for (unsigned int i = 0; i < 60; i++) {
                const unsigned int n_stops = fakes[0].state->stops;
                pid_t pid = fork();

                if (pid == 0) {
                        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                        open_all();
                        for (;;) {
                                (void)lease_pause(guard, lease_pointers, n_fakes, LONG_PAUSE);
                                (void)lease_resume(guard, lease_pointers, n_fakes);
                        }
                }
                /* A busy host may not come as far as a stop: every other time it gets what that takes. */
                for (int j = 0; i % 2 && j < 10000 && fakes[0].state->stops == n_stops; j++)
                        (void)usleep(100);
                (void)usleep(2000 + i * 331 % 15000);
                (void)kill(pid, SIGKILL);
                (void)waitpid(pid, NULL, 0);
                for (int j = 0; j < 1000 && access(runtime_dir, F_OK) == 0 && count_leases() > 0; j++)
                        (void)usleep(1000);
                expect_running();
        }
        CU_ASSERT(fakes[0].state->stops > 0);
        CU_ASSERT_TRUE(wait_for_no_leases());
        end();
}

static void test_scan_stopped(void)
{
        struct scan scan;

        begin(2);
        scan = start_scan(300 * USEC_PER_MSEC);
        (void)kill(scan.pid, SIGSTOP);
        expect_running();
        CU_ASSERT_TRUE(wait_for_no_leases());
        end_scan(&scan);
        end();
}

/* Exclusive pauses */

/* A scan that, in all its threads, goes on writing the time to @beat while it has the guests paused. */
static void *beat_on(void *beat)
{
        for (;;)
                *(volatile uint64_t *)beat = clock_now_usec();
        return NULL;
}

static pid_t start_exclusive_scan(uint64_t max_pause_usec, bool breaks_connection, volatile uint64_t *beats)
{
        pid_t pid = fork();

        if (pid == 0) {
                pthread_t thread;

                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                open_all();
                if (lease_pause_exclusive(guard, lease_pointers, n_fakes, max_pause_usec) < 0 ||
                    leases[0].state != PAUSE_OUTCOME_PAUSED ||
                    pthread_create(&thread, NULL, beat_on, (void *)&beats[1]) != 0)
                        _exit(EXIT_FAILURE);
                if (breaks_connection)
                        (void)shutdown(qmp_client_get_fd(guests[0]->client), SHUT_RDWR);
                beat_on((void *)&beats[0]);
        }
        return pid;
}

static volatile uint64_t *new_beats(void)
{
        void *beats = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        CU_ASSERT_NOT_EQUAL_FATAL(beats, MAP_FAILED);
        return beats;
}

/* The scan was killed, and nothing of it ran any more when the guests did. */
static void expect_killed(pid_t pid, const volatile uint64_t *beats)
{
        int status = 0;

        CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
        CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        expect_running();
        for (size_t i = 0; i < n_fakes; i++) {
                CU_ASSERT(beats[0] < fakes[i].state->resumed_usec);
                CU_ASSERT(beats[1] < fakes[i].state->resumed_usec);
        }
        CU_ASSERT_TRUE(wait_for_no_leases());
        (void)munmap((void *)beats, 4096);
}

static void test_exclusive_deadline(void)
{
        for (int stopped = 0; stopped < 2; stopped++) {
                volatile uint64_t *beats = new_beats();
                pid_t pid = 0;

                begin(2);
                pid = start_exclusive_scan(400 * USEC_PER_MSEC, false, beats);
                for (int i = 0; i < 3000 && beats[1] == 0; i++)
                        (void)usleep(1000);
                CU_ASSERT_NOT_EQUAL(beats[1], 0);
                if (stopped)
                        (void)kill(pid, SIGSTOP);
                expect_killed(pid, beats);
                CU_ASSERT(fakes[0].state->resumed_usec - fakes[0].state->stopped_usec >= 380 * USEC_PER_MSEC);
                CU_ASSERT(fakes[0].state->resumed_usec - fakes[0].state->stopped_usec < 3 * USEC_PER_SEC);
                end();
        }
}

/* Somebody else resumes the guest: the scan does not get the time to notice by itself. */
static void test_exclusive_resumed_by_other(void)
{
        volatile uint64_t *beats = new_beats();
        int status = 0;
        pid_t pid = 0;

        begin(1);
        fakes[0].state->stop_event_resumed = true;
        fakes[0].state->stop_event_delay_usec = 50000;
        pid = start_exclusive_scan(LONG_PAUSE, false, beats);
        CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
        CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        expect_running();
        CU_ASSERT_EQUAL(fakes[0].state->conts, 1); /* his */
        CU_ASSERT_TRUE(wait_for_no_leases());
        (void)munmap((void *)beats, 4096);
        end();
}

/* The scan is killed by others: its guests run when it is dead. */
static void test_exclusive_scan_killed(void)
{
        volatile uint64_t *beats = new_beats();
        pid_t pid = 0;

        begin(2);
        pid = start_exclusive_scan(LONG_PAUSE, false, beats);
        for (int i = 0; i < 3000 && beats[1] == 0; i++)
                (void)usleep(1000);
        (void)kill(pid, SIGKILL);
        expect_killed(pid, beats);
        end();
}

/* The connection breaks: the guest is resumed over another one, when the scan is dead. */
static void test_exclusive_connection_breaks(void)
{
        volatile uint64_t *beats = new_beats();

        begin(1);
        expect_killed(start_exclusive_scan(LONG_PAUSE, true, beats), beats);
        CU_ASSERT_EQUAL(fakes[0].state->conts, 1);
        end();
}

/* Closing the guard with a pause unfinished is no promise: the scan ends, and then the guests run. */
static void test_exclusive_guard_closed(void)
{
        int status = 0;
        pid_t pid = 0;

        begin(1);
        pid = fork();
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                open_all();
                (void)lease_pause_exclusive(guard, lease_pointers, 1, LONG_PAUSE);
                guard_free(guard);
                (void)sleep(10);
                _exit(EXIT_SUCCESS);
        }
        CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
        CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        CU_ASSERT_EQUAL(fakes[0].state->stops, 1);
        expect_running();
        CU_ASSERT_TRUE(wait_for_no_leases());
        end();
}

/* Who resumes in time lives, whatever becomes of the guest afterwards. */
static void test_exclusive_resumed_in_time(void)
{
        begin(2);
        open_all();
        for (int round = 0; round < 3; round++) {
                CU_ASSERT_EQUAL(lease_pause_exclusive(guard, lease_pointers, 2, 2 * USEC_PER_SEC), 0);
                CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_PAUSED);
                CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 2), 0);
                CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_RESUMED);
                CU_ASSERT_FALSE(leases[0].resumed_at_deadline || leases[0].resumed_by_other);
                expect_running();
        }
        CU_ASSERT_EQUAL(lease_pause_exclusive(guard, lease_pointers, 2, LONG_PAUSE), 0);
        fakes[0].state->is_mute = true;
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 2), 0);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_FAILED);
        CU_ASSERT_EQUAL(leases[1].state, PAUSE_OUTCOME_RESUMED);
        close_all();
        fakes[0].state->is_mute = false;
        expect_running();
        CU_ASSERT_TRUE(wait_for_no_leases());
        end();
}

/* The guard dies under an exclusive pause: as always, the scan resumes by itself. */
static void test_exclusive_guard_killed(void)
{
        begin(1);
        open_all();
        CU_ASSERT_EQUAL(lease_pause_exclusive(guard, lease_pointers, 1, LONG_PAUSE), 0);
        CU_ASSERT_TRUE(guard_is_alive(guard));
        (void)kill(guard->child.pid, SIGKILL);
        for (int i = 0; i < 3000 && guard_is_alive(guard); i++)
                (void)usleep(1000);
        CU_ASSERT_FALSE(guard_is_alive(guard));
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 1), -EOWNERDEAD);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_RESUMED);
        expect_running();
        close_all();
        end();
}

/* Holds the guard up from when it has sent stop. */
static void *hold_guard(void *context)
{
        const unsigned int *usec = context;

        for (int i = 0; i < 30000 && fakes[0].state->stops == 0; i++)
                (void)usleep(100);
        (void)kill(guard->child.pid, SIGSTOP);
        (void)usleep(*usec);
        (void)kill(guard->child.pid, SIGCONT);
        return NULL;
}

/* The guard learns of the pause and of its end in one turn: who was not told of the pause lives. */
static void test_exclusive_not_told(void)
{
        unsigned int held_usec = 400000;

        for (int by_other = 0; by_other < 2; by_other++) {
                pthread_t thread;

                begin(1);
                open_all();
                fakes[0].state->stop_delay_usec = 100000;
                fakes[0].state->stop_event_resumed = by_other;
                CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, hold_guard, &held_usec), 0);
                CU_ASSERT_EQUAL(lease_pause_exclusive(guard, lease_pointers, 1,
                                                      by_other ? LONG_PAUSE : 300 * USEC_PER_MSEC),
                                0);
                (void)pthread_join(thread, NULL);
                CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_RESUMED);
                CU_ASSERT_TRUE(leases[0].resumed_at_deadline);
                CU_ASSERT_EQUAL(leases[0].resumed_by_other, by_other);
                expect_running();
                CU_ASSERT_EQUAL(fakes[0].state->conts, 1);
                close_all();
                CU_ASSERT_TRUE(wait_for_no_leases());
                end();
        }
}

/* The guard dies, and this process may not open another descriptor: that is told, with what helps. */
static void test_guard_killed_and_no_descriptors(void)
{
        struct rlimit limit = {0};

        begin(1);
        open_all();
        pause_all(LONG_PAUSE);
        (void)kill(guard->child.pid, SIGKILL);
        CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
        CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = 3, .rlim_max = limit.rlim_max}),
                        0);
        CU_ASSERT_EQUAL(lease_resume(guard, lease_pointers, 1), -EOWNERDEAD);
        CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
        CU_ASSERT_EQUAL(leases[0].state, PAUSE_OUTCOME_FAILED);
        CU_ASSERT_PTR_NOT_NULL(strstr(leases[0].failure.text, "resume --stale"));
        CU_ASSERT_STRING_EQUAL(fakes[0].state->run_state, "paused");
        close_all();
        end();
}

/* Stale leases */

static struct stale_results resume_stale(bool end_living)
{
        struct stale_results results = {0};

        CU_ASSERT_EQUAL_FATAL(stale_resume(runtime_dir, end_living, &results, &failure), 0);
        return results;
}

static void test_stale(void)
{
        struct stale_results results;
        struct scan scan;

        begin(3);
        results = resume_stale(false);
        CU_ASSERT_EQUAL(results.count, 0);
        scan = start_scan(LONG_PAUSE);
        results = resume_stale(false);
        CU_ASSERT_EQUAL_FATAL(results.count, 3);
        CU_ASSERT_EQUAL(results.results[0].outcome, PAUSE_OUTCOME_HELD);
        CU_ASSERT_EQUAL(results.results[0].scanner_pid, scan.pid);
        stale_results_deinit(&results);
        kill_guard_of(&scan);
        results = resume_stale(false);
        CU_ASSERT_EQUAL(results.results[0].outcome, PAUSE_OUTCOME_HELD);
        stale_results_deinit(&results);
        end_scan(&scan);
        CU_ASSERT_STRING_EQUAL(fakes[0].state->run_state, "paused");
        (void)strcpy(fakes[1].state->run_state, "postmigrate"); /* NOLINT(*-insecureAPI.strcpy): it fits */
        (void)kill(fakes[2].pid, SIGKILL);
        (void)waitpid(fakes[2].pid, NULL, 0);
        results = resume_stale(false);
        CU_ASSERT_EQUAL_FATAL(results.count, 3);
        for (size_t i = 0; i < 3; i++) {
                const struct stale_result *result = &results.results[i];

                CU_ASSERT_STRING_EQUAL(result->guest, "fake");
                CU_ASSERT(result->sentence.text[0]);
                CU_ASSERT_EQUAL(result->outcome, result->qemu_pid == fakes[0].pid   ? PAUSE_OUTCOME_RESUMED
                                                 : result->qemu_pid == fakes[1].pid ? PAUSE_OUTCOME_LEFT
                                                                                    : PAUSE_OUTCOME_GONE);
        }
        stale_results_deinit(&results);
        CU_ASSERT_STRING_EQUAL(fakes[0].state->run_state, "running");
        CU_ASSERT_EQUAL(fakes[1].state->conts, 0);
        CU_ASSERT_EQUAL(count_leases(), 0);
        end();
}

static void test_stale_ends_living_scans(void)
{
        struct stale_results results;
        struct scan scan;

        begin(2);
        scan = start_scan(LONG_PAUSE);
        results = resume_stale(true);
        CU_ASSERT_EQUAL_FATAL(results.count, 2);
        for (size_t i = 0; i < 2; i++)
                CU_ASSERT_EQUAL(results.results[i].outcome, PAUSE_OUTCOME_RESUMED);
        stale_results_deinit(&results);
        CU_ASSERT_STRING_EQUAL(fakes[0].state->run_state, "running");
        CU_ASSERT_STRING_EQUAL(fakes[1].state->run_state, "running");
        CU_ASSERT_EQUAL(waitpid(scan.pid, NULL, 0), scan.pid);
        CU_ASSERT_EQUAL(count_leases(), 0);
        scan.pid = fork(); /* for end_scan() */
        if (scan.pid == 0)
                _exit(0);
        end_scan(&scan);
        end();
}

/* The fake's guest stays paused: the QEMU of the note is not at the other end. */
static void check_another_process(int folder_fd, const struct leasefile *note, const struct fake_qemu *fake)
{
        struct stale_results results;

        (void)strcpy(fake->state->run_state, "paused"); /* NOLINT(*-insecureAPI.strcpy): it fits */
        CU_ASSERT_EQUAL(leasefile_write(folder_fd, note, &failure), 0);
        results = resume_stale(false);
        CU_ASSERT_EQUAL_FATAL(results.count, 1);
        CU_ASSERT_EQUAL(results.results[0].outcome, PAUSE_OUTCOME_FAILED);
        CU_ASSERT_PTR_NOT_NULL(strstr(results.results[0].sentence.text, "belongs to another process"));
        stale_results_deinit(&results);
        CU_ASSERT_EQUAL(fake->state->conts, 0);
}

/* A QEMU that took over the socket's name is not the QEMU of the lease. */
static void test_stale_of_another_qemu(void)
{
        struct stale_results results;
        struct leasefile note = {.guest = (char *)"web1", .scanner = {.pid = 1, .start_ticks = 1}};
        int folder_fd = -1;

        begin(2);
        CU_ASSERT_EQUAL_FATAL(leasefile_open_folder(runtime_dir, true, &folder_fd, &failure), 0);
        CU_ASSERT_EQUAL(process_identify(fakes[0].pid, &note.qemu), 0);
        note.socket_path = fakes[1].path;
        check_another_process(folder_fd, &note, &fakes[1]);
        (void)close(openat(folder_fd, "9-9.json", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        results = resume_stale(false);
        CU_ASSERT_EQUAL(results.count, 2);
        stale_results_deinit(&results);
        close_fd(&folder_fd);
        end();
}

/* Nor is it one whose number merely was that of the process that listened, before it passed its socket on. */
static void test_stale_of_who_listened(void)
{
        struct stale_results results;
        struct leasefile note = {.guest = (char *)"web1", .scanner = {.pid = 1, .start_ticks = 1}};
        struct fake_qemu fake;
        int folder_fd = -1;

        begin(0);
        fake_qemu_start(&fake, folder, "passed", true);
        CU_ASSERT_EQUAL_FATAL(leasefile_open_folder(runtime_dir, true, &folder_fd, &failure), 0);
        CU_ASSERT_EQUAL(process_identify(getpid(), &note.qemu), 0);
        note.socket_path = fake.path;
        check_another_process(folder_fd, &note, &fake);
        CU_ASSERT_EQUAL(leasefile_remove(folder_fd, &note), 0);
        /* The one that took it over is. */
        CU_ASSERT_EQUAL(process_identify(fake.pid, &note.qemu), 0);
        CU_ASSERT_EQUAL(leasefile_write(folder_fd, &note, &failure), 0);
        results = resume_stale(false);
        CU_ASSERT_EQUAL_FATAL(results.count, 1);
        CU_ASSERT_EQUAL(results.results[0].outcome, PAUSE_OUTCOME_RESUMED);
        stale_results_deinit(&results);
        close_fd(&folder_fd);
        fake_qemu_stop(&fake);
        end();
}

static const struct unit_test tests[] = {
        {"pause and resume, three times", test_pause_and_resume},
        {"250 guests at a time", test_many_guests},
        {"the guard keeps the deadline", test_deadline},
        {"guests that are not ours to pause", test_not_ours_to_pause},
        {"guests that are not ours to resume", test_not_ours_to_resume},
        {"a QEMU that hangs delays no other", test_hung_qemu_delays_no_other},
        {"a QEMU that hangs while paused", test_qemu_hangs_while_paused},
        {"a QEMU that dies while paused", test_qemu_dies},
        {"a connection that breaks while paused", test_connection_breaks},
        {"a connection that breaks, and no fork", test_connection_breaks_and_no_fork},
        {"a cont that is refused for a while", test_cont_refused},
        {"a second scan of the same QEMU", test_second_scan_is_refused},
        {"the guard is killed", test_guard_killed},
        {"guard killed, connections broken", test_guard_killed_and_connections_broken},
        {"guard killed, connections broken, not ours to resume", test_reached_and_not_ours},
        {"guard killed, guests out of reach", test_guard_killed_and_unreachable},
        {"the guard is stopped", test_guard_stopped},
        {"the guard is gone before a pause", test_guard_dies_before_a_pause},
        {"the guard dies within a pause", test_guard_dies_within_a_pause},
        {"taking over leaves an operator's pause alone", test_take_over_leaves_others_alone},
        {"signals do not end the guard", test_guard_is_hard_to_end},
        {"no runtime directory", test_no_runtime_dir},
        {"the scan is killed", test_scan_killed},
        {"the scan is killed, no close_range", test_scan_killed_and_no_close_range},
        {"exclusive: the deadline", test_exclusive_deadline},
        {"exclusive: resumed by somebody else", test_exclusive_resumed_by_other},
        {"exclusive: the scan is killed", test_exclusive_scan_killed},
        {"exclusive: the connection breaks", test_exclusive_connection_breaks},
        {"exclusive: the guard is closed", test_exclusive_guard_closed},
        {"exclusive: resumed in time", test_exclusive_resumed_in_time},
        {"exclusive: the guard is killed", test_exclusive_guard_killed},
        {"exclusive: the scan was not told of the pause", test_exclusive_not_told},
        {"guard killed, no descriptor left", test_guard_killed_and_no_descriptors},
        {"the scan is killed at any moment", test_scan_killed_at_any_moment},
        {"the scan is stopped", test_scan_stopped},
        {"stale leases", test_stale},
        {"living scans are ended", test_stale_ends_living_scans},
        {"a stale lease whose socket is another QEMU's", test_stale_of_another_qemu},
        {"a lease of the process that made the socket", test_stale_of_who_listened},
};
UNIT_MAIN_WITH_PIDFD("qmp/lease", tests)
