/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parallel pass over the memory of all guests of a scan. The pass knows nothing of pauses: its caller
 * opens windows of time (the guest is paused, or it does not matter) and then says which readings count.
 */
#pragma once

#include "base/pool.h"
#include "pages/fingerprint.h"
#include "scanner/guest_ram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scan;

/**
 * struct scan_observer - who wants to know how a window goes on
 * @guest_done: nothing of guest number @guest is left to read in this window; called once a guest
 * @tick: called about ten times a second
 *
 * Both are called in the thread that called scan_window(), and may be NULL.
 */
struct scan_observer {
        void (*guest_done)(void *context, size_t guest);
        void (*tick)(void *context);
        void *context;
};

/**
 * scan_new() - prepare a pass
 * @pool, @key, @guests: borrowed for the life of the scan
 * @guests: @n_guests guests; the others of this API are told by their index here
 * @kpageflags_fd: from frames_open(), borrowed for the life of the guests, which keep it; negative: frames
 * stay unknown, and private RAM that KSM may have merged is read more slowly
 *
 * Return: 0, or -ENOMEM.
 */
int scan_new(struct pool *pool, const struct fingerprint_key *key, struct guest_ram *const *guests,
             size_t n_guests, int kpageflags_fd, struct scan **ret);

struct scan *scan_free(struct scan *scan);

/**
 * scan_prepare() - do what need not be done while a guest is paused, with all workers
 *
 * Looks for the pages that exist now, faults them in where they are going to be read through a mapping of
 * ours, and has the kernel allocate the memory of their fingerprints. Holes stay holes. A page that the guest
 * adds later costs the same when it is read.
 */
void scan_prepare(struct scan *scan, size_t guest);

/* Removes our mappings of the guest's RAM, when all of it has been read. */
void scan_unmap(struct scan *scan, size_t guest);

/**
 * scan_window() - read what is left of some guests, with all workers
 * @guests: @n_guests indexes; guests that failed are passed over
 * @until_usec: no range is begun that would probably end after this time; USEC_INFINITY for no limit
 * @observer: may be NULL
 *
 * Returns when everything has been read or the time has run out. What was read counts only after
 * scan_accept().
 */
void scan_window(struct scan *scan, const size_t *guests, size_t n_guests, uint64_t until_usec,
                 const struct scan_observer *observer);

/* Ends the window that is open: no range is begun any more. For observers. */
void scan_end_window(struct scan *scan);

/**
 * scan_accept() - keep what the last window read of a guest in a span of time
 * @from_usec, @until_usec: a range counts when it was begun and ended in this span
 *
 * Everything else is going to be read again. A guest whose process is gone is marked as failed.
 *
 * Return: the number of ranges that counted.
 */
size_t scan_accept(struct scan *scan, size_t guest, uint64_t from_usec, uint64_t until_usec);

/* Whether all of the guest has been read and counts, or the guest failed. */
bool scan_guest_is_complete(const struct scan *scan, size_t guest);

/**
 * scan_read_frames() - find the physical frames of all pages that were read
 *
 * Sets frames_known of each guest. A guest whose process ended since it was read is marked as failed: its
 * memory is gone, and the others must not lose their figures with it.
 */
void scan_read_frames(struct scan *scan);

/**
 * scan_progress() - how far the pass is
 *
 * Return: bytes of RAM looked at so far, holes included; of *@ret_total_bytes.
 */
uint64_t scan_progress(const struct scan *scan, uint64_t *ret_total_bytes);
