/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/pool.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

struct worker {
        struct pool *pool;
        pthread_t thread;
        unsigned int number;
};

struct pool {
        pthread_mutex_t lock;
        pthread_cond_t job_begins;
        pthread_cond_t job_moves; /* the job ended, or a worker called pool_wake() */
        unsigned int n_threads;
        unsigned int n_busy;
        uint64_t job; /* number of the current job, 0 before the first */
        bool woken;
        bool ending;
        pool_work_fn *work;
        void *context;
        size_t n_items;
        atomic_size_t next_item;
        struct worker workers[];
};

static void work_on_job(struct pool *pool, unsigned int number)
{
        for (;;) {
                size_t item = atomic_fetch_add_explicit(&pool->next_item, 1, memory_order_relaxed);

                if (item >= pool->n_items)
                        return;
                if (!pool->work(pool->context, number, item))
                        atomic_store(&pool->next_item, pool->n_items);
        }
}

static void *worker_main(void *argument)
{
        struct worker *worker = argument;
        struct pool *pool = worker->pool;
        uint64_t done = 0;

        (void)pthread_mutex_lock(&pool->lock);
        for (;;) {
                while (pool->job == done && !pool->ending)
                        (void)pthread_cond_wait(&pool->job_begins, &pool->lock);
                if (pool->ending)
                        break;
                done = pool->job;
                (void)pthread_mutex_unlock(&pool->lock);
                work_on_job(pool, worker->number);
                (void)pthread_mutex_lock(&pool->lock);
                if (--pool->n_busy == 0)
                        (void)pthread_cond_signal(&pool->job_moves);
        }
        (void)pthread_mutex_unlock(&pool->lock);
        return NULL;
}

static void init_conditions(struct pool *pool)
{
        pthread_condattr_t monotonic;

        (void)pthread_condattr_init(&monotonic);
        (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void)pthread_mutex_init(&pool->lock, NULL);
        (void)pthread_cond_init(&pool->job_begins, NULL);
        (void)pthread_cond_init(&pool->job_moves, &monotonic);
        (void)pthread_condattr_destroy(&monotonic);
}

int pool_new(unsigned int n_threads, struct pool **ret)
{
        struct pool *pool = NULL;
        sigset_t all;
        sigset_t before;
        int r = 0;

        assert(n_threads > 0 && n_threads <= POOL_MAX_THREADS);
        pool = calloc(1, sizeof(*pool) + n_threads * sizeof(pool->workers[0]));
        if (!pool)
                return -ENOMEM;
        init_conditions(pool);
        (void)sigfillset(&all);
        (void)sigdelset(&all, SIGBUS);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        for (unsigned int i = 0; i < n_threads && r == 0; i++) {
                pool->workers[i] = (struct worker){.pool = pool, .number = i};
                r = pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]);
                if (r == 0)
                        pool->n_threads++;
        }
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0) {
                pool_free(pool);
                return -r;
        }
        *ret = pool;
        return 0;
}

struct pool *pool_free(struct pool *pool)
{
        if (!pool)
                return NULL;
        (void)pthread_mutex_lock(&pool->lock);
        pool->ending = true;
        (void)pthread_cond_broadcast(&pool->job_begins);
        (void)pthread_mutex_unlock(&pool->lock);
        for (unsigned int i = 0; i < pool->n_threads; i++)
                (void)pthread_join(pool->workers[i].thread, NULL);
        (void)pthread_cond_destroy(&pool->job_begins);
        (void)pthread_cond_destroy(&pool->job_moves);
        (void)pthread_mutex_destroy(&pool->lock);
        free(pool);
        return NULL;
}

void pool_be_idle(struct pool *pool)
{
        const struct sched_param none = {0};

        for (unsigned int i = 0; i < pool->n_threads; i++)
                (void)pthread_setschedparam(pool->workers[i].thread, SCHED_IDLE, &none);
}

unsigned int pool_n_threads(const struct pool *pool)
{
        return pool->n_threads;
}

void pool_start(struct pool *pool, size_t n_items, pool_work_fn *work, void *context)
{
        (void)pthread_mutex_lock(&pool->lock);
        assert(pool->n_busy == 0);
        pool->work = work;
        pool->context = context;
        pool->n_items = n_items;
        atomic_store(&pool->next_item, 0);
        pool->n_busy = pool->n_threads;
        pool->woken = false;
        pool->job++;
        (void)pthread_cond_broadcast(&pool->job_begins);
        (void)pthread_mutex_unlock(&pool->lock);
}

bool pool_wait(struct pool *pool, uint64_t until_usec)
{
        struct timespec until = {
                .tv_sec = (time_t)(until_usec / USEC_PER_SEC),
                .tv_nsec = (long)(until_usec % USEC_PER_SEC) * 1000,
        };
        bool ended = false;
        int r = 0;

        (void)pthread_mutex_lock(&pool->lock);
        while (pool->n_busy > 0 && !pool->woken && r == 0)
                r = until_usec == USEC_INFINITY
                            ? pthread_cond_wait(&pool->job_moves, &pool->lock)
                            : pthread_cond_timedwait(&pool->job_moves, &pool->lock, &until);
        ended = pool->n_busy == 0;
        pool->woken = false;
        (void)pthread_mutex_unlock(&pool->lock);
        return ended;
}

void pool_run(struct pool *pool, size_t n_items, pool_work_fn *work, void *context)
{
        pool_start(pool, n_items, work, context);
        while (!pool_wait(pool, USEC_INFINITY))
                ;
}

void pool_wake(struct pool *pool)
{
        (void)pthread_mutex_lock(&pool->lock);
        pool->woken = true;
        (void)pthread_cond_signal(&pool->job_moves);
        (void)pthread_mutex_unlock(&pool->lock);
}
