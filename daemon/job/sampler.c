/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/job/sampler.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/process.h"
#include "base/wire.h"
#include "merge/ksm/anchor.h"
#include "merge/ksm/apart.h"
#include "merge/ksm/ksm.h"
#include "report/sampler_lines.h"
#include "scanner/frames.h"
#include "scanner/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* With this many pages, a share of 10 % is known to 1 % with 95 % confidence. */
#define SAMPLE_PAGES 4000
#define SEND_USEC    (UINT64_C(5) * USEC_PER_SEC)

/* Time between two looks while KSM does not run; shorter while it runs, to notice when it ends. */
#define PERIOD_USEC     (UINT64_C(5) * 1000000)
#define RUN_PERIOD_USEC (UINT64_C(1) * 1000000)
/* Time between two looks at contents, which take longer. */
#define READ_USEC (UINT64_C(15) * 1000000)
/* Looks at the sample for each look for strangers while KSM does not run. While it runs, one for one. */
#define STRANGER_LOOKS 6

struct sampler {
        struct wire wire;
        struct fingerprint_key key;
        int kpageflags_fd;
        struct sample *sample;
        struct sample_figures figures;
        uint64_t read_usec;  /* when contents were last looked at */
        struct apart *apart; /* NULL when everybody may share with everybody */
        unsigned int n_looks;
        struct anchor anchor;
};

static void add_process(struct sampler *sampler, pid_t pid)
{
        CLEANUP_CLOSE int pidfd = -1;
        CLEANUP_CLOSE int proc_fd = -1;

        /* A process that is gone, or has nothing to merge, is left out of the sample. */
        if (process_open(pid, &pidfd, &proc_fd) == 0)
                (void)sample_add(sampler->sample, pid, proc_fd);
}

/* The numbers of an array, for free(). */
static pid_t *parse_pids(struct json_object *array, size_t *ret_n)
{
        const size_t n = array ? json_object_array_length(array) : 0;
        pid_t *pids = calloc(n + 1, sizeof(*pids));

        for (size_t i = 0; pids && i < n; i++)
                pids[i] = (pid_t)json_object_get_int64(json_object_array_get_idx(array, i));
        *ret_n = n;
        return pids;
}

static int watch_guests(struct sampler *sampler, struct json_object *line)
{
        struct json_object *array = json_get(line, "others", json_type_array);
        size_t n = 0;
        size_t n_others = 0;
        CLEANUP_FREE pid_t *pids = parse_pids(json_get(line, "pids", json_type_array), &n);
        CLEANUP_FREE pid_t *others = parse_pids(array, &n_others);
        int r = pids && others ? 0 : -ENOMEM;

        sampler->sample = sample_free(sampler->sample);
        sampler->apart = apart_free(sampler->apart);
        sampler->n_looks = 0;
        sampler->figures = (struct sample_figures){0};
        sampler->read_usec = clock_now_usec(); /* the drawing reads them */
        /* Without the anchor, merging zero pages takes longer. */
        (void)anchor_cast(&sampler->anchor);
        if (r == 0 && array)
                r = apart_new(pids, n, others, n_others, &sampler->apart);
        if (r == 0)
                r = sample_new(&sampler->key, sampler->kpageflags_fd, &sampler->sample);
        for (size_t i = 0; r == 0 && i < n; i++)
                add_process(sampler, pids[i]);
        return r < 0 ? r : sample_draw(sampler->sample, SAMPLE_PAGES);
}

static int send_to_service(struct sampler *sampler, const char *event, struct json_object *data)
{
        struct json_object *line = json_object_new_object();
        int r = 0;

        json_add_text(line, "event", event);
        json_add(line, "data", data);
        r = wire_send_before(&sampler->wire, line, clock_now_usec() + SEND_USEC, NULL);
        json_object_put(line);
        return r;
}

static int send_strangers(struct sampler *sampler)
{
        const struct apart *apart = sampler->apart;
        struct failure failure = {0};
        struct json_object *data = NULL;

        if (!apart || (!ksm_is_running(KSM_DIR) && sampler->n_looks++ % STRANGER_LOOKS != 0) ||
            !apart_find_intruder(apart, &failure))
                return 0;
        data = json_object_new_object();
        json_add_text(data, "desc", failure.text);
        return send_to_service(sampler, SAMPLER_STRANGER_EVENT, data);
}

static int send_sample(struct sampler *sampler)
{
        struct sample_figures *figures = &sampler->figures;
        struct json_object *data = json_object_new_object();
        const uint64_t now = clock_now_usec();

        sample_look(sampler->sample, figures);
        if (now - sampler->read_usec > READ_USEC) {
                sample_read(sampler->sample, figures);
                sampler->read_usec = now;
        }
        json_add_int(data, "pages", (int64_t)figures->present);
        json_add_int(data, "merged", (int64_t)figures->merged);
        json_add_int(data, "read", (int64_t)figures->read);
        json_add_int(data, "changed", (int64_t)figures->changed);
        return send_to_service(sampler, SAMPLER_EVENT, data);
}

static int look_at_sample(struct sampler *sampler)
{
        const int r = send_strangers(sampler);

        return r < 0 ? r : send_sample(sampler);
}

static int serve_service(struct sampler *sampler)
{
        for (;;) {
                const uint64_t period_usec = ksm_is_running(KSM_DIR) ? RUN_PERIOD_USEC : PERIOD_USEC;
                struct json_object *line = NULL;
                int r = wire_next_before(&sampler->wire, clock_now_usec() + period_usec, &line, NULL);

                if (r == -ETIMEDOUT)
                        r = sampler->sample ? look_at_sample(sampler) : 0;
                else if (r == 0)
                        r = watch_guests(sampler, line);
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
                r = sampler.kpageflags_fd < 0 ? sampler.kpageflags_fd : serve_service(&sampler);
        }
        sample_free(sampler.sample);
        apart_free(sampler.apart);
        anchor_deinit(&sampler.anchor);
        close_fd(&sampler.kpageflags_fd);
        fingerprint_key_deinit(&sampler.key);
        wire_deinit(&sampler.wire);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
