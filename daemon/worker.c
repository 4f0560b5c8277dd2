/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scans run in a process of their own: the program itself, started anew as samepage(1). Reasons:
 *
 *   - The worst that a guest can provoke (a crash, memory that runs out) ends that process, not the service.
 *   - It can be ended at any moment. Its guard then resumes the guests, as when it dies of anything else.
 *   - Its memory, 12 bytes for each page of all guests, goes back to the host as a whole.
 *   - The guard has to be forked by a process of one thread that has little memory.
 *   - The service's loop never waits for a QEMU, a libvirtd or a disk.
 *
 * /proc/self/exe is the very program that runs, also when its file has been replaced by a newer version.
 */
#include "daemon/worker.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/wire.h"
#include "report/events.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A process that is silent for so long counts as hung: the census of 1 TiB takes seconds, every step before
 * it has a deadline, and a scan that waits for its second look says so once a second.
 */
#define SILENCE_USEC (UINT64_C(15) * 60 * USEC_PER_SEC)
/* What a cancelled one gets before it is killed. */
#define CANCEL_USEC (UINT64_C(2) * USEC_PER_SEC)
/* It may need much memory, and must not cost a guest its life. */
#define OOM_SCORE "500"

struct worker {
        struct worker_observer observer;
        pid_t pid;
        int pidfd;
        struct wire wire;
        struct failure failure;
        bool has_reported;
        bool is_cancelled;
        sd_event_source *output;
        sd_event_source *exit;
        sd_event_source *silence;
};

/* Between fork and exec: only what is safe in the child of a process with threads. */
static _Noreturn void become(char *const arguments[], int socket_fd, pid_t parent)
{
        sigset_t none;
        int fd = -1;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        if (dup2(socket_fd, STDIN_FILENO) < 0 || dup2(socket_fd, STDOUT_FILENO) < 0)
                _exit(EXIT_FAILURE);
        fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
                (void)!write(fd, OOM_SCORE, strlen(OOM_SCORE));
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)execv("/proc/self/exe", arguments);
        _exit(EXIT_FAILURE);
}

static int spawn(struct worker *worker, char *const arguments[], struct failure *failure)
{
        const pid_t parent = getpid();
        int pair[2];
        int r = 0;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return failure_errno(failure, -errno, "cannot make a socket for a scan");
        worker->pid = fork();
        if (worker->pid == 0)
                become(arguments, pair[1], parent);
        r = worker->pid < 0 ? -errno : 0;
        (void)close(pair[1]);
        if (r < 0) {
                (void)close(pair[0]);
                return failure_errno(failure, r, "cannot fork for a scan");
        }
        r = wire_init(&worker->wire, pair[0], WIRE_LINE_MAX_BYTES);
        if (r < 0)
                return failure_errno(failure, r, "cannot use a socket for a scan");
        worker->pidfd = pidfd_open(worker->pid, 0);
        return worker->pidfd < 0 ? failure_errno(failure, -errno, "cannot watch a scan") : 0;
}

static void send_signal(const struct worker *worker, int signal)
{
        if (worker->pidfd >= 0)
                (void)pidfd_send_signal(worker->pidfd, signal, NULL, 0);
        else if (worker->pid > 0)
                (void)kill(worker->pid, signal);
}

static void fail(struct worker *worker, const char *sentence)
{
        if (worker->failure.text[0] == '\0' && !worker->has_reported)
                (void)failure_set(&worker->failure, 0, "%s", sentence);
}

static void take_event(struct worker *worker, struct json_object *line)
{
        struct json_object *event = NULL;
        struct json_object *data = NULL;
        struct json_object *sentence = NULL;
        const char *name = NULL;

        (void)json_object_object_get_ex(line, "event", &event);
        (void)json_object_object_get_ex(line, "data", &data);
        name = json_object_get_string(event);
        if (!name || worker->has_reported)
                return;
        if (strcmp(name, EVENT_FAILED) == 0) {
                (void)json_object_object_get_ex(data, "desc", &sentence);
                fail(worker, sentence ? json_object_get_string(sentence) : "it failed");
                return;
        }
        worker->has_reported = strcmp(name, EVENT_REPORT) == 0;
        worker->observer.event(worker->observer.context, name, data);
}

/* Takes all lines that have come. Returns false when no more will. */
static bool take_output(struct worker *worker)
{
        for (;;) {
                struct json_object *line = NULL;
                struct failure failure = {0};
                int r = wire_next(&worker->wire, &line, &failure);

                if (r == WIRE_E_NOTHING)
                        return true;
                if (r < 0)
                        fail(worker, failure.text);
                if (r != 0)
                        return false;
                take_event(worker, line);
                json_object_put(line);
        }
}

/* Also polls for writing while something is left. */
static int flush(struct worker *worker)
{
        int r = wire_flush(&worker->wire, NULL);

        if (r < 0)
                return r;
        return sd_event_source_set_io_events(worker->output,
                                             r == WIRE_E_NOTHING ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

int worker_send(struct worker *worker, struct json_object *line)
{
        int r = wire_queue(&worker->wire, line);

        return r < 0 ? r : flush(worker);
}

static int on_output(sd_event_source *source, int fd, uint32_t revents, void *context)
{
        struct worker *worker = context;

        (void)fd;
        if (revents & EPOLLOUT)
                (void)flush(worker);
        if (!worker->is_cancelled)
                (void)sd_event_source_set_time_relative(worker->silence, SILENCE_USEC);
        if (!take_output(worker))
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

/* What the end means that no event explained. */
static void judge_end(struct worker *worker, const siginfo_t *info)
{
        char sentence[128] = "";

        if (info->si_code == CLD_EXITED)
                (void)snprintf(sentence, sizeof(sentence), "it ended with status %d and without a report",
                               info->si_status);
        else
                (void)snprintf(sentence, sizeof(sentence), "it died of signal %d (%s)", info->si_status,
                               strsignal(info->si_status));
        fail(worker, sentence);
}

static int on_end(sd_event_source *source, const siginfo_t *info, void *context)
{
        struct worker *worker = context;
        const struct worker_observer observer = worker->observer;
        struct failure failure;

        (void)source;
        worker->pid = 0;
        (void)take_output(worker);
        judge_end(worker, info);
        failure = worker->failure;
        observer.end(observer.context, &failure);
        return 0;
}

static int on_silence(sd_event_source *source, uint64_t usec, void *context)
{
        struct worker *worker = context;

        (void)source;
        (void)usec;
        fail(worker, "it hung, and was killed");
        send_signal(worker, SIGKILL);
        return 0;
}

static int watch(struct worker *worker, sd_event *event)
{
        int r = sd_event_add_io(event, &worker->output, worker->wire.fd, EPOLLIN, on_output, worker);

        if (r >= 0)
                r = sd_event_add_child_pidfd(event, &worker->exit, worker->pidfd, WEXITED, on_end, worker);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &worker->silence, CLOCK_MONOTONIC, SILENCE_USEC, 0,
                                               on_silence, worker);
        return r;
}

int worker_start(sd_event *event, char *const arguments[], const struct worker_observer *observer,
                 struct worker **ret, struct failure *failure)
{
        struct worker *worker = calloc(1, sizeof(*worker));
        int r = 0;

        if (!worker)
                return failure_errno(failure, -ENOMEM, "cannot start a scan");
        *worker = (struct worker){.observer = *observer, .pidfd = -1, .wire = {.fd = -1}};
        r = spawn(worker, arguments, failure);
        if (r >= 0) {
                r = watch(worker, event);
                if (r < 0)
                        (void)failure_errno(failure, r, "cannot watch a scan");
        }
        if (r < 0) {
                worker_free(worker);
                return r;
        }
        *ret = worker;
        return 0;
}

void worker_hurry(struct worker *worker)
{
        send_signal(worker, EVENTS_HURRY_SIGNAL);
}

void worker_cancel(struct worker *worker)
{
        fail(worker, "it was cancelled");
        worker->is_cancelled = true;
        send_signal(worker, SIGTERM);
        (void)sd_event_source_set_time_relative(worker->silence, CANCEL_USEC);
        (void)sd_event_source_set_enabled(worker->silence, SD_EVENT_ONESHOT);
}

struct worker *worker_free(struct worker *worker)
{
        if (!worker)
                return NULL;
        sd_event_source_disable_unref(worker->output);
        sd_event_source_disable_unref(worker->exit);
        sd_event_source_disable_unref(worker->silence);
        if (worker->pid > 0) {
                send_signal(worker, SIGKILL);
                (void)waitpid(worker->pid, NULL, 0);
        }
        close_fd(&worker->pidfd);
        wire_deinit(&worker->wire);
        free(worker);
        return NULL;
}
