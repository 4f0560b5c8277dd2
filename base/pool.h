/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A fixed set of worker threads that share the items of one job after another. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_MAX_THREADS 1024

struct pool;

/**
 * pool_work_fn - work on one item
 * @context: as given to pool_start()
 * @worker: number of the thread, from 0; no two threads share a number
 * @item: number of the item, from 0
 *
 * Return: false to skip all items that no worker has begun.
 */
typedef bool pool_work_fn(void *context, unsigned int worker, size_t item);

/**
 * pool_new() - start the threads; they block all signals
 * @n_threads: 1 to POOL_MAX_THREADS
 *
 * Return: 0, or a negative errno.
 */
int pool_new(unsigned int n_threads, struct pool **ret);

/* Ends the threads; no job may be running. Takes NULL. */
struct pool *pool_free(struct pool *pool);

/* Makes the threads run only when a CPU has nothing else to do (SCHED_IDLE). */
void pool_be_idle(struct pool *pool);

unsigned int pool_n_threads(const struct pool *pool);

/* Gives the workers a job; the previous one must have ended. */
void pool_start(struct pool *pool, size_t n_items, pool_work_fn *work, void *context);

/**
 * pool_wait() - wait for the job
 * @until_usec: give up waiting at this time; the job goes on
 *
 * Return: whether the job has ended. False also after a pool_wake() by a worker.
 */
bool pool_wait(struct pool *pool, uint64_t until_usec);

/* Gives the workers a job and waits for its end. */
void pool_run(struct pool *pool, size_t n_items, pool_work_fn *work, void *context);

/* Makes pool_wait() return early, once. For workers. */
void pool_wake(struct pool *pool);
