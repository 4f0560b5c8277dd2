/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "merge/ksm/ksmd.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "base/numbered.h"
#include "base/process.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fewer pages do not tell the time of one page: the first ones find cold caches. */
#define PAGES_LEAST 1000000

/* Looks at one process of the host; a result other than 0 ends the walk over all of them. */
typedef int look_fn(void *context, pid_t pid, int proc_fd, const char *comm);

struct look {
        look_fn *look;
        void *context;
};

static int visit_process(void *context, int dir_fd, const char *name, long number)
{
        const struct look *look = context;
        CLEANUP_CLOSE int proc_fd = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        CLEANUP_FREE char *comm = NULL;

        if (proc_fd < 0 || fileio_read_text(proc_fd, "comm", &comm) < 0)
                return 0;
        comm[strcspn(comm, "\n")] = '\0';
        text_make_printable(comm);
        return look->look(look->context, (pid_t)number, proc_fd, comm);
}

static void for_each_process(look_fn *look, void *context)
{
        (void)numbered_for_each(AT_FDCWD, "/proc", visit_process, &(struct look){look, context});
}

/* Fields 14 and 15 of /proc/PID/stat, proc(5). */
static double parse_cpu_seconds(const char *stat)
{
        const char *fields = strrchr(stat, ')');
        unsigned long long user = 0;
        unsigned long long system = 0;

        if (!fields ||
            sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
                return -1;
        return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static int look_for_ksmd(void *context, pid_t pid, int proc_fd, const char *comm)
{
        CLEANUP_FREE char *cmdline = NULL;

        /* A kernel thread has no command line. */
        if (strcmp(comm, "ksmd") != 0 || fileio_read_text(proc_fd, "cmdline", &cmdline) < 0 || cmdline[0])
                return 0;
        *(pid_t *)context = pid;
        return 1;
}

double ksmd_cpu_seconds(void)
{
        static char folder[32]; /* ksmd never ends, so one search is enough */
        double seconds = -1;
        CLEANUP_CLOSE int proc_fd = -1;
        CLEANUP_FREE char *stat = NULL;
        pid_t pid = 0;

        if (folder[0] == '\0') {
                for_each_process(look_for_ksmd, &pid);
                if (pid > 0)
                        (void)snprintf(folder, sizeof(folder), "/proc/%d", (int)pid);
        }
        proc_fd = folder[0] ? open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        if (proc_fd >= 0 && fileio_read_text(proc_fd, "stat", &stat) == 0)
                seconds = parse_cpu_seconds(stat);
        return seconds;
}

double ksmd_page_seconds(int64_t pages_scanned)
{
        const double seconds = ksmd_cpu_seconds();

        if (seconds <= 0 || pages_scanned < PAGES_LEAST)
                return KSMD_PAGE_SECONDS;
        return seconds / (double)pages_scanned;
}

bool ksmd_is_at_work(const struct ksm *ksm, const struct ksm_settings_place *place)
{
        struct ksm_settings_owner owner = {0};
        struct process process = {0};
        int64_t run = 0;

        if (!ksm_get(ksm, "run", &run) || run != 0)
                return run == 1;
        if (ksm_settings_owner_read(place, &owner) < 0 || owner.pid <= 0)
                return false;
        process = (struct process){.pid = owner.pid, .start_ticks = owner.start_ticks};
        return process_is_alive(&process);
}

static int look_for_rival(void *context, pid_t pid, int proc_fd, const char *comm)
{
        static const struct {
                const char *comm;
                const char *what;
        } rivals[] = {
                {"ksmtuned", "ksmtuned"},
                {"vdsmd", "vdsm, oVirt's agent,"},
                {"momd", "MOM, the memory overcommitment manager,"},
        };

        (void)proc_fd;
        for (size_t i = 0; i < ARRAY_SIZE(rivals); i++) {
                if (strcmp(comm, rivals[i].comm) != 0)
                        continue;
                (void)failure_set(context, -EBUSY, "%s (pid %d) tunes KSM on this host: stop it first",
                                  rivals[i].what, (int)pid);
                return 1;
        }
        return 0;
}

bool ksmd_find_rival(struct failure *ret_failure)
{
        struct failure failure = {0};

        for_each_process(look_for_rival, &failure);
        if (failure.text[0])
                *ret_failure = failure;
        return failure.text[0] != '\0';
}

struct stranger {
        const pid_t *pids;
        size_t n;
        struct failure failure;
};

/* Whether smaps shows "mg" for any mapping. */
static bool says_mergeable(const char *smaps)
{
        static const char flags[] = "\nVmFlags:";

        for (const char *line = strstr(smaps, flags); line; line = strstr(line, flags)) {
                const char *end = strchr(++line, '\n');
                const char *flag = memmem(line, end ? (size_t)(end - line) : strlen(line), " mg", 3);

                if (flag)
                        return true;
        }
        return false;
}

/*
 * Whether the process runs our program: samepaged's sampler keeps a page of zeros in KSM
 * (merge/ksm/anchor.h), which everybody may share.
 */
static bool is_our_program(int proc_fd)
{
        struct stat self = {0};
        struct stat other = {0};

        return stat("/proc/self/exe", &self) == 0 && fstatat(proc_fd, "exe", &other, 0) == 0 &&
               self.st_dev == other.st_dev && self.st_ino == other.st_ino;
}

/* Return: whether the process has opted in, 0 when it has ended; a negative errno when nobody can tell. */
static int has_opted_in(int proc_fd)
{
        CLEANUP_FREE char *text = NULL;
        CLEANUP_FREE char *smaps = NULL;
        int r = 0;

        if (fileio_read_text(proc_fd, "ksm_stat", &text) == 0 && strstr(text, "ksm_mergeable"))
                return strstr(text, "ksm_mergeable: yes") || strstr(text, "ksm_merge_any: yes");
        r = fileio_read_text(proc_fd, "smaps", &smaps);
        if (r == -ESRCH || r == -ENOENT)
                return 0;
        return r < 0 ? r : says_mergeable(smaps);
}

static int look_for_stranger(void *context, pid_t pid, int proc_fd, const char *comm)
{
        struct stranger *stranger = context;
        int r = 0;

        for (size_t i = 0; i < stranger->n; i++)
                if (stranger->pids[i] == pid)
                        return 0;
        r = has_opted_in(proc_fd);
        if (r == 0 || is_our_program(proc_fd))
                return 0;
        if (r < 0)
                (void)failure_errno(&stranger->failure, r,
                                    "whether %s (pid %d) has opted in to KSM cannot be told", comm, (int)pid);
        else
                (void)failure_set(
                        &stranger->failure, -EBUSY,
                        "%s (pid %d), which is none of the guests, has opted in to KSM too: its pages would "
                        "be merged with theirs",
                        comm, (int)pid);
        return 1;
}

bool ksmd_find_stranger(const pid_t *pids, size_t n, struct failure *ret_failure)
{
        struct stranger stranger = {.pids = pids, .n = n};

        for_each_process(look_for_stranger, &stranger);
        if (stranger.failure.text[0])
                *ret_failure = stranger.failure;
        return stranger.failure.text[0] != '\0';
}
