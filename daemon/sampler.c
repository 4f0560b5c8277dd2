/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/sampler.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/events.h"
#include "qmp/process.h"
#include "qmp/wire.h"
#include "scanner/frames.h"
#include "scanner/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

/* A share of 10 % of them is known to 1 % with 95 % confidence; a look takes about 10 ms. */
#define SAMPLE_PAGES 4000
#define SEND_USEC    (UINT64_C(5) * USEC_PER_SEC)
/* Of a normal distribution, 95 % lie within so many standard deviations. */
#define Z95 1.96

struct sampler {
        struct wire wire;
        struct fingerprint_key key;
        int kpageflags_fd;
        struct sample *sample;
};

static void add_process(struct sampler *sampler, pid_t pid)
{
        CLEANUP_CLOSE int pidfd = -1;
        CLEANUP_CLOSE int proc_fd = -1;

        /* One that is gone, or has nothing to merge any more, is simply not in the sample. */
        if (process_open(pid, &pidfd, &proc_fd) == 0)
                (void)sample_add(sampler->sample, pid, proc_fd);
}

static int watch(struct sampler *sampler, struct json_object *line)
{
        struct json_object *pids = json_get(line, "pids", json_type_array);
        const size_t n = pids ? json_object_array_length(pids) : 0;
        int r = 0;

        sampler->sample = sample_free(sampler->sample);
        r = sample_new(&sampler->key, sampler->kpageflags_fd, &sampler->sample);
        for (size_t i = 0; r == 0 && i < n; i++)
                add_process(sampler, (pid_t)json_object_get_int64(json_object_array_get_idx(pids, i)));
        return r < 0 ? r : sample_draw(sampler->sample, SAMPLE_PAGES);
}

static int tell(struct sampler *sampler)
{
        struct sample_figures figures = {0};
        struct json_object *line = json_object_new_object();
        struct json_object *data = json_object_new_object();

        sample_look(sampler->sample, &figures);
        json_add_int(data, "pages", (int64_t)figures.present);
        json_add_int(data, "merged", (int64_t)figures.merged);
        json_add_int(data, "changed", (int64_t)figures.changed);
        json_add_text(line, "event", SAMPLER_EVENT);
        json_add(line, "data", data);
        return wire_send_before(&sampler->wire, line, clock_now_usec() + SEND_USEC, NULL);
}

static int serve(struct sampler *sampler)
{
        for (;;) {
                struct json_object *line = NULL;
                int r = wire_next_before(&sampler->wire, clock_now_usec() + SAMPLER_PERIOD_USEC, &line, NULL);

                if (r == -ETIMEDOUT)
                        r = sampler->sample ? tell(sampler) : 0;
                else if (r == 0)
                        r = watch(sampler, line);
                json_object_put(line);
                if (r != 0)
                        return r == WIRE_E_END ? 0 : r;
        }
}

int sampler_run_program(void)
{
        struct sampler sampler = {.wire = {.fd = -1}, .kpageflags_fd = -1};
        CLEANUP_CLOSE int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        const int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        int r = fd < 0 ? -errno : wire_init(&sampler.wire, fd, WIRE_LINE_MAX_BYTES);

        if (r == 0)
                r = fingerprint_key_init(&sampler.key);
        if (r == 0) {
                sampler.kpageflags_fd = frames_open(proc_fd);
                r = sampler.kpageflags_fd < 0 ? sampler.kpageflags_fd : serve(&sampler);
        }
        sample_free(sampler.sample);
        close_fd(&sampler.kpageflags_fd);
        fingerprint_key_deinit(&sampler.key);
        wire_deinit(&sampler.wire);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

struct json_object *sampler_line(const pid_t *pids, size_t n)
{
        struct json_object *line = json_object_new_object();
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < n; i++)
                (void)json_object_array_add(array, json_object_new_int64(pids[i]));
        json_add(line, "pids", array);
        return line;
}

static double share_of(struct json_object *data, const char *key, int64_t pages)
{
        const int64_t part = json_get_int(data, key, 0);

        return part < 0 ? 0 : part > pages ? 1 : (double)part / (double)pages;
}

static double half_width(double share, double n)
{
        return Z95 * sqrt(share * (1 - share) / n);
}

struct pace_sample sampler_parse(struct json_object *data)
{
        const int64_t pages = json_get_int(data, "pages", 0);
        struct pace_sample sample = {0};

        if (pages <= 0)
                return sample;
        sample.pages = (uint64_t)pages;
        sample.merged = share_of(data, "merged", pages);
        sample.changed = share_of(data, "changed", pages);
        sample.merged_error = half_width(sample.merged, (double)pages);
        sample.changed_error = half_width(sample.changed, (double)pages);
        return sample;
}
