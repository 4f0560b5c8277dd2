/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * full_scans counts KSM's passes since boot. A guest has seen only the passes since its QEMU started. To know
 * how many these are, a small text file in the runtime directory keeps samples of the time and the counter:
 *
 *      samepage ksm passes 1 BOOT-ID
 *      TIME PASSES
 *      …
 *
 * TIME is in microseconds since boot. The scan takes a sample when it begins and when it ends, the service
 * one a minute.
 *
 * Between the newest sample at or before the start of a process and now, KSM has ended at least as many
 * passes as since that start. This is an upper bound, which can prove that they were few. Only the first
 * sample with a given value of the counter matters, and only values close to today's. So the file keeps
 * KSM_CLOCK_SAMPLES of them and drops the oldest.
 *
 * The counter starts again at 0 when somebody makes KSM un-merge everything (run = 2). A fall of the counter
 * drops all earlier samples. If the counter has passed its old value again before the next sample, nobody
 * sees the fall, and a guest that started in between counts as younger than it is. Between two samples of the
 * service, a minute apart, KSM would have to run very fast for that.
 *
 * The file is replaced as a whole. Two writers at once lose a sample, which makes the bound larger and never
 * wrong.
 */
#include "merge/ksm/ksm_clock.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fileio.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define HEADER "samepage ksm passes 1 "
/* Far more than the samples take. */
#define FILE_MAX_BYTES 8192

static uint64_t boot_time_usec(void)
{
        struct timespec now = {0};

        (void)clock_gettime(CLOCK_BOOTTIME, &now);
        return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

bool ksm_clock_add(struct ksm_clock *clock, uint64_t usec, int64_t full_scans)
{
        const struct ksm_clock_sample *last = clock->n ? &clock->samples[clock->n - 1] : NULL;

        /* A counter that fell has started again, and a time that fell is invalid. */
        if (last && (full_scans < last->full_scans || usec < last->usec)) {
                clock->n = 0;
                last = NULL;
        }
        if (full_scans < 0 || (last && full_scans == last->full_scans))
                return false;
        if (clock->n == KSM_CLOCK_SAMPLES) {
                memmove(clock->samples, clock->samples + 1,
                        sizeof(clock->samples) - sizeof(clock->samples[0]));
                clock->n--;
        }
        clock->samples[clock->n++] = (struct ksm_clock_sample){usec, full_scans};
        return true;
}

int64_t ksm_clock_passes_since(const struct ksm_clock *clock, uint64_t usec, int64_t full_scans)
{
        for (size_t i = clock->n; i > 0; i--)
                if (clock->samples[i - 1].usec <= usec)
                        return full_scans >= clock->samples[i - 1].full_scans
                                       ? full_scans - clock->samples[i - 1].full_scans
                                       : -1;
        return -1;
}

/* Reads "NUMBER" and the byte @end that follows it. */
static bool parse_clock_number(const char **text, char end, uint64_t *ret)
{
        char *behind = NULL;

        if (**text < '0' || **text > '9')
                return false;
        errno = 0;
        *ret = strtoull(*text, &behind, 10);
        if (errno || *ret > INT64_MAX || *behind != end)
                return false;
        *text = behind + 1;
        return true;
}

void ksm_clock_parse(const char *text, const char *boot, struct ksm_clock *ret)
{
        struct ksm_clock clock = {0};
        uint64_t usec = 0;
        uint64_t full_scans = 0;

        *ret = clock;
        if (strncmp(text, HEADER, strlen(HEADER)) != 0)
                return;
        text += strlen(HEADER);
        if (strncmp(text, boot, strlen(boot)) != 0 || text[strlen(boot)] != '\n')
                return;
        text += strlen(boot) + 1;
        while (*text) {
                if (clock.n == KSM_CLOCK_SAMPLES || !parse_clock_number(&text, ' ', &usec) ||
                    !parse_clock_number(&text, '\n', &full_scans))
                        return;
                if (clock.n > 0 && (usec < clock.samples[clock.n - 1].usec ||
                                    (int64_t)full_scans <= clock.samples[clock.n - 1].full_scans))
                        return;
                clock.samples[clock.n++] = (struct ksm_clock_sample){usec, (int64_t)full_scans};
        }
        *ret = clock;
}

static void read_boot(char *boot)
{
        CLEANUP_FREE char *text = NULL;

        if (fileio_read_text(AT_FDCWD, KSM_CLOCK_BOOT, &text) < 0)
                return;
        (void)snprintf(boot, KSM_CLOCK_BOOT_BYTES, "%.*s", (int)strcspn(text, "\n"), text);
}

static void read_samples(int dir_fd, const char *boot, struct ksm_clock *ret)
{
        CLEANUP_CLOSE int fd = openat(dir_fd, KSM_CLOCK_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        char text[FILE_MAX_BYTES + 1];
        size_t length = 0;

        *ret = (struct ksm_clock){0};
        if (fd < 0 || fileio_read_up_to(fd, text, FILE_MAX_BYTES, &length) < 0)
                return;
        text[length] = '\0';
        ksm_clock_parse(text, boot, ret);
        /* A time in the future does not come from this clock. */
        if (ret->n > 0 && ret->samples[ret->n - 1].usec > boot_time_usec())
                ret->n = 0;
}

static int write_samples(int dir_fd, const char *boot, const struct ksm_clock *clock)
{
        char text[FILE_MAX_BYTES] = "";
        FILE *out = fmemopen(text, sizeof(text), "w");

        if (!out)
                return -errno;
        (void)fprintf(out, HEADER "%s\n", boot);
        for (size_t i = 0; i < clock->n; i++)
                (void)fprintf(out, "%" PRIu64 " %" PRId64 "\n", clock->samples[i].usec,
                              clock->samples[i].full_scans);
        return fclose(out) == 0 ? fileio_replace_text(dir_fd, KSM_CLOCK_FILE, text) : -errno;
}

int ksm_clock_tick(const char *runtime_dir, const char *ksm_dir, struct ksm_clock *ret)
{
        CLEANUP_CLOSE int ksm_fd = open(ksm_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        CLEANUP_CLOSE int dir_fd = -1;
        char boot[KSM_CLOCK_BOOT_BYTES] = "";
        struct ksm_clock clock = {0};
        int64_t full_scans = 0;
        int r = 0;

        (void)mkdir(runtime_dir, 0755);
        dir_fd = open(runtime_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        read_boot(boot);
        if (dir_fd >= 0 && *boot)
                read_samples(dir_fd, boot, &clock);
        r = ksm_fd < 0 ? -errno : fileio_read_int64(ksm_fd, "full_scans", &full_scans);
        if (r == 0 && ksm_clock_add(&clock, boot_time_usec(), full_scans))
                r = dir_fd < 0 || !*boot ? -ENOENT : write_samples(dir_fd, boot, &clock);
        if (ret)
                *ret = clock;
        return r;
}
