/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One scan:
 *
 *      guard, bridge    forked first, while the process is small and has one thread
 *      inventory        connects to the guests and finds their RAM; reads nothing
 *      reading          (daemon/job/read_guests.c) the only part in which guests are paused
 *      frames           all guests in one go, so that they belong together
 *      census           pure computation
 *      second look      (daemon/job/second_look.c) if wanted: the scan has let go of the guests, which run
 *      gap              pure computation
 *      acting           (daemon/job/merge_act.c) only if asked for
 *      report
 */
#include "daemon/job/job.h"
#include "daemon/job/describe.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/job/figures.h"
#include "daemon/job/merge_act.h"
#include "daemon/job/read_guests.h"
#include "daemon/job/second_look.h"
#include "merge/ksm/ksm_clock.h"
#include "qmp/pause/guard.h"
#include "scanner/frames.h"
#include "scanner/sigbus.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* What a scan owns; every member may be missing. */
struct job {
        struct guard *guard;
        struct bridge *bridge;
        struct pool *pool;
        struct inventory *inventory;
        struct report *report;
        struct fingerprint_key key;
        int kpageflags_fd;
        uint64_t frames_usec;    /* when the frames had been read */
        struct guest_ram **rams; /* of the guests that were reached, in the order of the inventory */
        size_t *indexes;         /* their places in the inventory */
        size_t n_rams;
};

static void job_deinit(struct job *job)
{
        free(job->rams);
        free(job->indexes);
        report_free(job->report);
        pool_free(job->pool);
        guard_free(job->guard);
        inventory_free(job->inventory);
        bridge_free(job->bridge);
        fingerprint_key_deinit(&job->key);
        close_fd(&job->kpageflags_fd);
}

/* Keeps this thread, and the threads that it starts, on the chosen CPUs. */
static int confine_to_cpus(const struct scan_wish *scan, struct failure *failure)
{
        if (scan->cpus.chosen && sched_setaffinity(0, sizeof(scan->cpus.set), &scan->cpus.set) < 0)
                return failure_errno(failure, -errno, "cannot work on the CPUs of --cpus");
        return 0;
}

static unsigned int n_threads(const struct scan_wish *scan)
{
        cpu_set_t cpus;

        if (scan->threads > 0)
                return scan->threads;
        /* Fails where CPUs have numbers beyond its size. */
        if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0) {
                const long n_online = sysconf(_SC_NPROCESSORS_ONLN);

                return n_online < 1                  ? 1
                       : n_online > POOL_MAX_THREADS ? POOL_MAX_THREADS
                                                     : (unsigned int)n_online;
        }
        return (unsigned int)CPU_COUNT(&cpus);
}

static int start_workers(struct job *job, const struct scan_wish *scan)
{
        int r = pool_new(n_threads(scan), &job->pool);

        /* A scan that pauses no guest keeps nobody waiting. */
        if (r == 0 && scan->mode == SCAN_MODE_LIVE)
                pool_be_idle(job->pool);
        return r;
}

static int list_rams(struct job *job)
{
        job->rams = calloc(job->inventory->n_guests + 1, sizeof(struct guest_ram *));
        job->indexes = calloc(job->inventory->n_guests + 1, sizeof(*job->indexes));
        if (!job->rams || !job->indexes)
                return -ENOMEM;
        for (size_t i = 0; i < job->inventory->n_guests; i++) {
                if (!job->inventory->guests[i].ram)
                        continue;
                job->indexes[job->n_rams] = i;
                job->rams[job->n_rams++] = job->inventory->guests[i].ram;
        }
        return 0;
}

/* Only a scan that may pause needs a guard. Guests that cannot be paused without one report its failure. */
static struct guard *start_guard(const struct job_wish *wish, struct failure *ret_failure)
{
        struct guard *guard = NULL;

        if (wish->scan->mode != SCAN_MODE_LIVE)
                (void)guard_start(wish->place.runtime_dir, &guard, ret_failure);
        return guard;
}

/* A guest that ended after it was read has no frames. Only that guest is left out of the figures. */
static void lose_ended_guests(struct job *job)
{
        for (size_t i = 0; i < job->n_rams; i++) {
                struct report_guest *guest = &job->report->guests[job->indexes[i]];

                if (!guest->scanned || atomic_load(&job->rams[i]->error) == 0)
                        continue;
                guest->scanned = false;
                guest->error = job->rams[i]->failure;
        }
}

static int read_memory(struct job *job, const struct job_wish *wish, const struct job_observer *observer,
                       const struct failure *guard_failure)
{
        struct scan *scan = NULL;
        CLEANUP_CLOSE int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int r = fingerprint_key_init(&job->key);

        if (r < 0)
                return r;
        job->kpageflags_fd = frames_open(proc_fd);
        r = scan_new(job->pool, &job->key, job->rams, job->n_rams, job->kpageflags_fd, &scan);
        if (r == 0)
                r = read_guests_run(&(struct read_guests_context){
                        .wish = wish->scan,
                        .observer = observer,
                        .inventory = job->inventory,
                        .report = job->report,
                        .scan = scan,
                        .guard = job->guard,
                        .guard_failure = guard_failure,
                        .rams = job->rams,
                        .indexes = job->indexes,
                        .n_guests = job->n_rams,
                });
        if (r == 0) {
                scan_read_frames(scan);
                job->frames_usec = clock_now_usec();
                lose_ended_guests(job);
        }
        scan_free(scan);
        return r;
}

/*
 * Frees the guests for other clients before the second look, which reads memory without QEMU's help. It reads
 * private memory only, so shared memory of a guest that ends meanwhile is given back. The result is not
 * urgent enough to take CPU time from a guest.
 */
static void let_go(struct job *job)
{
        guard_free(job->guard);
        job->guard = NULL;
        pool_be_idle(job->pool);
        for (size_t i = 0; i < job->n_rams; i++)
                guest_ram_let_go(job->rams[i]);
        for (size_t i = 0; i < job->inventory->n_guests; i++)
                if (job->inventory->guests[i].qmp)
                        qmp_guest_disconnect(job->inventory->guests[i].qmp);
}

static int make_figures(struct job *job, const struct job_wish *wish, const struct job_observer *observer)
{
        if (wish->scan->recheck_usec > 0)
                let_go(job);
        return figures_fill(
                &(struct first_look){
                        .pool = job->pool,
                        .place = &wish->place,
                        .key = &job->key,
                        .kpageflags_fd = job->kpageflags_fd,
                        .ended_usec = job->frames_usec,
                        .recheck_usec = wish->scan->recheck_usec,
                        .observer = observer,
                },
                wish->merging, job->inventory, job->report);
}

static int run_scan(struct job *job, const struct job_wish *wish, const struct job_observer *observer,
                    struct failure *failure)
{
        const uint64_t started = clock_now_usec();
        struct failure guard_failure = {0};
        struct failure bridge_failure = {0};
        int r = sigbus_install();

        second_look_prepare();
        (void)ksm_clock_tick(wish->place.runtime_dir, wish->place.ksm_dir, NULL);
        job->guard = start_guard(wish, &guard_failure);
        job->bridge = inventory_start_bridge(wish->guests, &bridge_failure);
        if (confine_to_cpus(wish->scan, failure) < 0)
                return -EINVAL;
        if (r == 0)
                r = inventory_new(wish->guests, wish->scan, job->bridge, &bridge_failure, &job->inventory);
        if (r == 0)
                r = describe_inventory(wish->scan, job->inventory, &job->report);
        if (r == 0)
                r = start_workers(job, wish->scan);
        if (r == 0)
                r = list_rams(job);
        if (r == 0)
                r = read_memory(job, wish, observer, &guard_failure);
        if (r == 0)
                r = make_figures(job, wish, observer);
        if (r == 0 && wish->merging->acts)
                merge_act_run(&wish->place, wish->merging->service_pid, wish->guests->libvirt_monitor,
                              job->inventory, job->report);
        (void)ksm_clock_tick(wish->place.runtime_dir, wish->place.ksm_dir, NULL);
        if (r < 0)
                return failure_errno(failure, r, "the scan failed");
        assert(job->report);
        job->report->duration_seconds = (double)(clock_now_usec() - started) / USEC_PER_SEC;
        job->report->complete = report_n_scanned(job->report) == job->report->n_guests;
        return 0;
}

int job_run(const struct job_wish *wish, const struct job_observer *observer, struct report **ret,
            struct failure *failure)
{
        struct job job = {.kpageflags_fd = -1};
        int r = run_scan(&job, wish, observer, failure);

        if (r == 0)
                *ret = TAKE_PTR(job.report);
        job_deinit(&job);
        return r;
}
