/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Resuming what a dead scan left paused.
 *
 * A lease file says that a scan was about to pause a guest, which scan, and where to connect. This code acts
 * upon it only when the scan and its guard are both dead: while either lives, the guest is in its care. Then
 * all of this must hold before cont:
 *  - The QEMU of the note is still the same process, by pid and start time.
 *  - That process holds the other end of the connection. For a domain of libvirt, its command line says
 *    instead that it is this domain.
 *  - The pause machine finds what it always asks for: the state is exactly `paused`, and there is no
 *    migration.
 *
 * Nobody can know whether the operator resumed the guest meanwhile and then paused it again. The shorter the
 * time between our death and this, the less likely; so the service runs this when it stops and when it
 * starts.
 */
#include "qmp/pause/stale.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "qmp/client.h"
#include "qmp/virt/bridge.h"
#include "qmp/virt/domain_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

/* What the guard of a scan that was just killed gets for resuming its guests. */
#define GUARD_GRACE_USEC (10 * USEC_PER_SEC)
#define GUARD_NAP_USEC   10000

void stale_results_deinit(struct stale_results *results)
{
        for (size_t i = 0; i < results->count; i++)
                free(results->results[i].guest);
        free(results->results);
        *results = (struct stale_results){0};
}

/* Whether the note's QEMU, whose folder is open as @proc_fd, is at the other end of the connection. */
static int check_peer(int fd, const struct leasefile *note, int proc_fd, struct failure *failure)
{
        uint32_t inode = 0;
        int r = process_get_peer_inode(fd, &inode, failure);

        if (r < 0)
                return r;
        r = process_has_socket(proc_fd, inode);
        if (r > 0)
                return 0;
        if (r < 0)
                return failure_errno(failure, r,
                                     "not resumed: cannot tell whether its socket is its QEMU's (pid %d)",
                                     (int)note->qemu.pid);
        return failure_set(failure, -ESRCH,
                           "not resumed: its socket belongs to another process now, not to its QEMU (pid %d)",
                           (int)note->qemu.pid);
}

/* Puts what the machine found into the result; says whether the note is done with. */
static bool take_outcome(const struct pause *pause, struct stale_result *result)
{
        result->outcome = pause_outcome_simplify(pause->outcome);
        if (result->outcome == PAUSE_OUTCOME_RESUMED)
                (void)failure_set(&result->sentence, 0, "resumed: a scan that died had left it paused");
        else if (result->outcome == PAUSE_OUTCOME_RUNNING)
                (void)failure_set(&result->sentence, 0,
                                  "it runs already; removed the lease file of a dead scan");
        else if (result->outcome == PAUSE_OUTCOME_LEFT)
                result->sentence = pause->failure;
        else if (pause->outcome == PAUSE_OUTCOME_NONE)
                (void)failure_set(&result->sentence, 0,
                                  "it may still be paused: its QEMU did not answer within %.1f s",
                                  (double)QMP_CLIENT_TIMEOUT_USEC / (double)USEC_PER_SEC);
        else
                (void)failure_set(&result->sentence, 0, "it may still be paused: %s", pause->failure.text);
        return !pause_outcome_keeps_lease(pause->outcome);
}

static int connect_socket(const struct leasefile *note, int proc_fd, uint64_t timeout_usec,
                          struct qmp_client **ret_client, struct failure *failure)
{
        int r = qmp_client_connect(note->socket_path, timeout_usec, ret_client, failure);

        return r < 0 ? r : check_peer(qmp_client_get_fd(*ret_client), note, proc_fd, failure);
}

/* The same for a domain of libvirt. The note's process lives, so it is that domain's as it runs now. */
static int connect_domain(const struct leasefile *note, int proc_fd, uint64_t timeout_usec,
                          struct bridge **bridge, struct qmp_client **ret_client, struct failure *failure)
{
        CLEANUP_FREE char *uuid = NULL;
        int r = bridge_connect_address(note->socket_path, timeout_usec, bridge, &uuid, ret_client, failure);

        if (r < 0 || domain_process_has_uuid(proc_fd, ".", uuid))
                return r;
        return failure_set(failure, -ESRCH, "not resumed: its QEMU (pid %d) is not that of the domain %s now",
                           (int)note->qemu.pid, uuid);
}

void stale_reach(const struct leasefile *note, uint64_t timeout_usec, struct bridge **bridge,
                 struct pause *ret_pause)
{
        CLEANUP_CLOSE int pidfd = -1;
        CLEANUP_CLOSE int proc_fd = -1;
        struct qmp_client *client = NULL;
        struct failure failure = {0};
        int fd = -1;
        int r = process_open_same(&note->qemu, &pidfd, &proc_fd);

        if (r < 0)
                (void)failure_errno(&failure, r, "cannot look at its QEMU (pid %d)", (int)note->qemu.pid);
        else if (bridge_is_address(note->socket_path))
                r = connect_domain(note, proc_fd, timeout_usec, bridge, &client, &failure);
        else
                r = connect_socket(note, proc_fd, timeout_usec, &client, &failure);
        if (r == 0) {
                fd = fcntl(qmp_client_get_fd(client), F_DUPFD_CLOEXEC, 3);
                r = fd < 0 ? failure_errno(&failure, -errno, "cannot use the socket")
                           : pause_adopt(ret_pause, fd, &failure);
        }
        if (r < 0)
                *ret_pause = (struct pause){.wire = {.fd = -1},
                                            .phase = PAUSE_PHASE_DONE,
                                            .outcome = PAUSE_OUTCOME_FAILED,
                                            .failure = failure};
        qmp_client_free(client);
}

/* Returns whether the note is done with. */
static bool resume_guest(const struct leasefile *note, struct stale_result *result)
{
        struct bridge *bridge = NULL;
        struct pause pause;
        struct pause *pauses[] = {&pause};
        bool is_done = false;

        stale_reach(note, QMP_CLIENT_TIMEOUT_USEC, &bridge, &pause);
        pause_finish_all(pauses, 1, clock_now_usec() + QMP_CLIENT_TIMEOUT_USEC);
        is_done = take_outcome(&pause, result);
        pause_deinit(&pause);
        bridge_free(bridge);
        return is_done;
}

void stale_resume_note(int folder_fd, const struct leasefile *note, struct stale_result *result)
{
        bool is_done = false;

        result->outcome = PAUSE_OUTCOME_FAILED;
        if (process_is_alive(&note->qemu))
                is_done = resume_guest(note, result);
        if (!is_done && !process_is_alive(&note->qemu)) {
                result->outcome = PAUSE_OUTCOME_GONE;
                (void)failure_set(&result->sentence, 0,
                                  "its QEMU (pid %d) has ended; removed the lease file of a dead scan",
                                  (int)note->qemu.pid);
                is_done = true;
        }
        if (is_done)
                (void)leasefile_remove(folder_fd, note);
}

/* Kills exactly this process, if it lives and can be told apart from others. */
static void kill_process(const struct process *process)
{
        CLEANUP_CLOSE int pidfd = -1;
        CLEANUP_CLOSE int proc_fd = -1;

        if (process_open_same(process, &pidfd, &proc_fd) == 0)
                (void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
}

/* Waits until the note is gone or nobody holds it any more. Returns whether it is gone. */
static bool wait_for_guard(int folder_fd, const struct leasefile *note)
{
        uint64_t deadline_usec = clock_now_usec() + GUARD_GRACE_USEC;

        while (clock_now_usec() < deadline_usec) {
                /* In this order: a guard removes the file first, and ends then. */
                const bool is_held = leasefile_is_held(note);

                if (!leasefile_exists(folder_fd, note))
                        return true;
                if (!is_held)
                        return false;
                (void)usleep(GUARD_NAP_USEC);
        }
        return false;
}

static void end_scan(int folder_fd, const struct leasefile *note, struct stale_result *result)
{
        kill_process(&note->scanner);
        if (wait_for_guard(folder_fd, note)) {
                result->outcome = PAUSE_OUTCOME_RESUMED;
                (void)failure_set(
                        &result->sentence, 0,
                        "resumed: the scan (pid %d) that paused it was ended, and its guard resumed it",
                        (int)note->scanner.pid);
                return;
        }
        kill_process(&note->guard);
        stale_resume_note(folder_fd, note, result);
}

static void handle_note(int folder_fd, const struct leasefile *note, bool end_living,
                        struct stale_result *result)
{
        /* Asked first, as in wait_for_guard(). */
        const bool is_held = leasefile_is_held(note);

        if (!leasefile_exists(folder_fd, note)) {
                result->outcome = PAUSE_OUTCOME_RESUMED;
                (void)failure_set(&result->sentence, 0, "resumed meanwhile by the scan that paused it");
        } else if (!is_held) {
                stale_resume_note(folder_fd, note, result);
        } else if (end_living && note->scanner.pid != getpid()) {
                end_scan(folder_fd, note, result);
        } else {
                result->outcome = PAUSE_OUTCOME_HELD;
                (void)failure_set(&result->sentence, 0,
                                  "a samepage scan that lives (pid %d) holds it; it will resume it",
                                  (int)note->scanner.pid);
        }
}

/* A lease file that was found. */
struct found {
        char *name;
        struct leasefile note;
        int error; /* of reading it */
};

struct found_files {
        struct found *files;
        size_t count;
};

static void found_files_deinit(struct found_files *found)
{
        for (size_t i = 0; i < found->count; i++) {
                free(found->files[i].name);
                leasefile_deinit(&found->files[i].note);
        }
        free(found->files);
}

/* Reads all files before any is acted upon: ending one scan makes several of them disappear. */
static int find_files(int folder_fd, struct found_files *found)
{
        CLEANUP_FREE char **names = NULL;
        size_t count = 0;
        int r = leasefile_list(folder_fd, &names, &count);

        if (r < 0)
                return r;
        found->files = calloc(count + 1, sizeof(*found->files));
        for (size_t i = 0; i < count; i++) {
                struct found *file = found->files ? &found->files[found->count] : NULL;

                if (file)
                        file->error = leasefile_read(folder_fd, names[i], &file->note);
                if (!file || file->error == -ENOENT) {
                        free(names[i]);
                        continue;
                }
                file->name = names[i];
                found->count++;
        }
        return found->files ? 0 : -ENOMEM;
}

static int handle_file(int folder_fd, const struct found *file, bool end_living,
                       struct stale_result *ret_result)
{
        struct stale_result result = {
                .guest = strdup(file->error < 0 ? file->name : file->note.guest),
                .qemu_pid = file->note.qemu.pid,
                .scanner_pid = file->note.scanner.pid,
                .outcome = PAUSE_OUTCOME_FAILED,
        };

        if (!result.guest)
                return -ENOMEM;
        if (file->error < 0)
                (void)failure_errno(&result.sentence, file->error,
                                    "the lease file cannot be read, and its guest may still be paused");
        else
                handle_note(folder_fd, &file->note, end_living, &result);
        *ret_result = result;
        return 0;
}

static int handle_files(int folder_fd, const struct found_files *found, bool end_living,
                        struct stale_results *results)
{
        results->results = calloc(found->count + 1, sizeof(*results->results));
        if (!results->results)
                return -ENOMEM;
        for (size_t i = 0; i < found->count; i++) {
                int r = handle_file(folder_fd, &found->files[i], end_living,
                                    &results->results[results->count]);

                if (r < 0)
                        return r;
                results->count++;
        }
        return 0;
}

int stale_resume(const char *runtime_dir, bool end_living, struct stale_results *ret_results,
                 struct failure *failure)
{
        CLEANUP(stale_results_deinit) struct stale_results results = {0};
        CLEANUP(found_files_deinit) struct found_files found = {0};
        CLEANUP_CLOSE int folder_fd = -1;
        int r = leasefile_open_folder(runtime_dir, false, &folder_fd, failure);

        if (r == -ENOENT) {
                if (failure)
                        *failure = (struct failure){0};
                *ret_results = (struct stale_results){0};
                return 0;
        }
        if (r < 0)
                return r;
        r = find_files(folder_fd, &found);
        if (r == 0)
                r = handle_files(folder_fd, &found, end_living, &results);
        if (r < 0)
                return failure_errno(failure, r, "cannot read the lease files");
        *ret_results = results;
        results = (struct stale_results){0};
        return 0;
}
