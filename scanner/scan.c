/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of every guest is cut into ranges of 2 MiB, and the workers take one after another. In a range a
 * worker asks which pages exist, reads those, and writes their fingerprints into the guest's array; nothing
 * is shared between workers but the number of the next range. Which pages exist is asked inside the window,
 * so a guest that is paused is seen as it was at that instant, whatever was prepared before.
 *
 * Each range keeps the times between which it was read. A guest may run again earlier than planned (at the
 * end of its longest permitted pause, or because somebody else resumed it): then scan_accept() throws away
 * the ranges that were not read wholly while it was paused. So a result is exact even if this process was not
 * scheduled for a while.
 *
 * Bytes of page tables and hash values are all that remain of guest memory; page contents pass through a
 * buffer of 2 MiB per worker, wiped at the end.
 */
#include "scanner/scan.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "pages/page.h"
#include "scanner/copy.h"
#include "scanner/frames.h"
#include "scanner/pagemap.h"
#include "scanner/present.h"
#include "scanner/reader.h"
#include "scanner/sigbus.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define TICK_USEC (100 * USEC_PER_MSEC)

enum range_state {
        RANGE_STATE_FRESH,   /* never read */
        RANGE_STATE_AGAIN,   /* read, but it did not count */
        RANGE_STATE_READ,    /* read in this window */
        RANGE_STATE_COUNTED, /* accepted */
};

struct scan_range {
        uint64_t begun_usec;
        uint64_t ended_usec;
        uint64_t page; /* in the mapping */
        struct pages_block *block;
        const struct mapping *mapping;
        uint32_t guest;
        uint16_t n_pages;
        uint8_t state;
};

struct scan_guest {
        struct guest_ram *ram;
        size_t first_range;
        size_t n_ranges;
        size_t *todo; /* numbers of the ranges that do not count yet */
        size_t n_todo;
        size_t first_item;    /* of the current job, in which every guest has n_todo items */
        atomic_size_t n_left; /* of the current window */
        bool told;            /* guest_done was called in this window */
        atomic_int frames_error;
};

/* What one worker needs; nobody else touches it. */
struct scan_worker {
        struct copy copy;
        uint64_t words[PRESENT_RANGE_PAGES]; /* fingerprints of what was copied */
        uint64_t last_range_usec;
        struct present_run runs[PRESENT_RANGE_PAGES];
};

struct scan {
        struct pool *pool;
        const struct fingerprint_key *key;
        struct scan_guest *guests;
        size_t n_guests;
        struct scan_range *ranges;
        size_t n_ranges;
        struct scan_worker *workers;
        size_t *todo;                /* of all guests */
        struct scan_guest **at_work; /* guests of the current job */
        size_t n_at_work;
        atomic_uint_fast64_t until_usec;
        int kpageflags_fd;
        uint64_t total_bytes;
        atomic_uint_fast64_t done_bytes;
};

/* Ranges start at multiples of 2 MiB of QEMU's addresses, so that a huge page lies in one range. */
static uint16_t range_length(const struct mapping *mapping, uint64_t page)
{
        const uint64_t absolute = (mapping->hva >> PAGE_SHIFT) + page;
        const uint64_t to_boundary = PRESENT_RANGE_PAGES - absolute % PRESENT_RANGE_PAGES;
        const uint64_t left = (mapping->size_bytes >> PAGE_SHIFT) - page;

        return (uint16_t)(left < to_boundary ? left : to_boundary);
}

/* Cuts a guest into ranges, in page order; only counts them while @ranges is NULL. */
static size_t cut_guest(struct guest_ram *ram, uint32_t guest, struct scan_range *ranges)
{
        size_t n = 0;

        for (size_t b = 0; b < ram->pages.n_blocks; b++) {
                struct pages_block *block = &ram->pages.blocks[b];

                for (size_t r = 0; r < block->n_ranges; r++) {
                        const struct mapping *mapping = &ram->mappings[b][r];
                        const uint64_t n_pages = mapping->size_bytes >> PAGE_SHIFT;
                        uint16_t length = 0;

                        for (uint64_t page = 0; page < n_pages; page += length, n++) {
                                length = range_length(mapping, page);
                                if (ranges)
                                        ranges[n] = (struct scan_range){
                                                .page = page,
                                                .block = block,
                                                .mapping = mapping,
                                                .guest = guest,
                                                .n_pages = length,
                                        };
                        }
                }
        }
        return n;
}

static int cut_guests(struct scan *scan, struct guest_ram *const *guests)
{
        for (size_t i = 0; i < scan->n_guests; i++) {
                scan->guests[i].ram = guests[i];
                scan->guests[i].first_range = scan->n_ranges;
                scan->guests[i].n_ranges = cut_guest(guests[i], (uint32_t)i, NULL);
                scan->n_ranges += scan->guests[i].n_ranges;
        }
        scan->ranges = calloc(scan->n_ranges + 1, sizeof(*scan->ranges));
        scan->todo = calloc(scan->n_ranges + 1, sizeof(*scan->todo));
        if (!scan->ranges || !scan->todo)
                return -ENOMEM;
        for (size_t i = 0; i < scan->n_guests; i++) {
                struct scan_guest *guest = &scan->guests[i];

                cut_guest(guests[i], (uint32_t)i, scan->ranges + guest->first_range);
                guest->todo = scan->todo + guest->first_range;
                for (; guest->n_todo < guest->n_ranges; guest->n_todo++)
                        guest->todo[guest->n_todo] = guest->first_range + guest->n_todo;
        }
        for (size_t i = 0; i < scan->n_ranges; i++)
                scan->total_bytes += scan->ranges[i].n_pages * PAGE_BYTES;
        return 0;
}

static bool copies_pages(const struct scan *scan)
{
        for (size_t i = 0; i < scan->n_ranges; i++)
                if (scan->ranges[i].mapping->reader.kind != PAGE_READER_MAPPED)
                        return true;
        return false;
}

static int new_workers(struct scan *scan)
{
        const unsigned int n = pool_n_threads(scan->pool);
        const bool copies = copies_pages(scan);
        int r = 0;

        scan->workers = calloc(n, sizeof(*scan->workers));
        if (!scan->workers)
                return -ENOMEM;
        for (unsigned int i = 0; copies && i < n && r == 0; i++)
                r = copy_init(&scan->workers[i].copy);
        return r;
}

int scan_new(struct pool *pool, const struct fingerprint_key *key, struct guest_ram *const *guests,
             size_t n_guests, int kpageflags_fd, struct scan **ret)
{
        struct scan *scan = calloc(1, sizeof(*scan));
        int r = 0;

        if (!scan)
                return -ENOMEM;
        scan->pool = pool;
        scan->key = key;
        scan->n_guests = n_guests;
        scan->kpageflags_fd = kpageflags_fd;
        scan->guests = calloc(n_guests + 1, sizeof(*scan->guests));
        scan->at_work = calloc(n_guests + 1, sizeof(struct scan_guest *));
        r = scan->guests && scan->at_work ? cut_guests(scan, guests) : -ENOMEM;
        if (r == 0)
                r = new_workers(scan);
        if (r < 0) {
                scan_free(scan);
                return r;
        }
        *ret = scan;
        return 0;
}

struct scan *scan_free(struct scan *scan)
{
        if (!scan)
                return NULL;
        for (unsigned int i = 0; scan->workers && i < pool_n_threads(scan->pool); i++)
                copy_deinit(&scan->workers[i].copy);
        free(scan->workers);
        free(scan->ranges);
        free(scan->todo);
        free(scan->at_work);
        free(scan->guests);
        free(scan);
        return NULL;
}

void scan_unmap(struct scan *scan, size_t guest)
{
        struct guest_ram *ram = scan->guests[guest].ram;

        for (size_t b = 0; b < ram->pages.n_blocks; b++)
                for (size_t r = 0; r < ram->pages.blocks[b].n_ranges; r++)
                        reader_unmap(&ram->mappings[b][r]);
}

/* A job on everything that is left of the guests at work. Costs the same however large they are. */
static void start_job(struct scan *scan, pool_work_fn *work)
{
        size_t n_items = 0;

        for (size_t i = 0; i < scan->n_at_work; i++) {
                scan->at_work[i]->first_item = n_items;
                n_items += scan->at_work[i]->n_todo;
        }
        pool_start(scan->pool, n_items, work, scan);
}

static struct scan_range *range_of_item(const struct scan *scan, size_t item)
{
        size_t low = 0;
        size_t high = scan->n_at_work - 1;

        while (low < high) {
                const size_t middle = (low + high + 1) / 2;

                if (scan->at_work[middle]->first_item <= item)
                        low = middle;
                else
                        high = middle - 1;
        }
        return &scan->ranges[scan->at_work[low]->todo[item - scan->at_work[low]->first_item]];
}

static uint64_t *words_at(const struct scan_range *range, uint64_t *words, uint64_t page)
{
        return words + range->mapping->first_page + page;
}

/* Has memory stand behind the words that are going to be written. */
static void touch_words(const struct scan_range *range, const struct present_run *run)
{
        volatile uint64_t *first = words_at(range, range->block->fingerprints, run->page);
        volatile uint64_t *last = first + run->n_pages - 1;

        /* A run is no longer than a page of words: no page lies between these two. */
        *first = *first;
        *last = *last;
}

static bool prepare_range(void *context, unsigned int number, size_t item)
{
        const struct scan *scan = context;
        const struct scan_range *range = range_of_item(scan, item);
        struct present_run *runs = scan->workers[number].runs;
        size_t n_runs = 0;

        if (present_find(scan->guests[range->guest].ram, range->mapping, range->page, range->n_pages, runs,
                         &n_runs) < 0)
                return true; /* what goes wrong here goes wrong again when it matters */
        for (size_t i = 0; i < n_runs; i++) {
                touch_words(range, &runs[i]);
                if (runs[i].state == PRESENT_STATE_DATA)
                        reader_populate(range->mapping, runs[i].page, runs[i].n_pages);
        }
        return true;
}

void scan_prepare(struct scan *scan, size_t guest)
{
        scan->at_work[0] = &scan->guests[guest];
        scan->n_at_work = 1;
        start_job(scan, prepare_range);
        while (!pool_wait(scan->pool, USEC_INFINITY))
                ;
}

/* The reading of one range, as an argument for sigbus_survives(). */
struct reading {
        const struct scan *scan;
        const struct scan_range *range;
        struct scan_worker *worker;
        int error;
};

/* The fingerprints of pages that need not be read, or are read where they lie. */
static void read_in_place(const struct reading *reading, const struct present_run *run)
{
        const struct scan_range *range = reading->range;
        uint64_t *fingerprints = words_at(range, range->block->fingerprints, run->page);

        if (run->state == PRESENT_STATE_DATA && range->mapping->reader.kind == PAGE_READER_MAPPED)
                fingerprint_pages(reading->scan->key, range->mapping->window + run->page * PAGE_BYTES,
                                  run->n_pages, fingerprints);
        else if (run->state != PRESENT_STATE_DATA)
                for (size_t i = 0; i < run->n_pages; i++)
                        fingerprints[i] = run->state == PRESENT_STATE_SWAPPED ? PAGE_SWAPPED : PAGE_ZERO;
}

static int read_by_copy(const struct reading *reading, size_t n_runs)
{
        const struct scan_range *range = reading->range;
        struct scan_worker *worker = reading->worker;
        const struct present_run *runs = worker->runs;
        const int r = copy_range(&worker->copy, reading->scan->guests[range->guest].ram, range->mapping,
                                 range->page, range->n_pages, runs, n_runs, reading->scan->kpageflags_fd);

        if (r < 0)
                return r;
        fingerprint_pages(reading->scan->key, worker->copy.buffer, worker->copy.n_slots, worker->words);
        for (size_t i = 0; i < n_runs; i++) {
                uint64_t *fingerprints = words_at(range, range->block->fingerprints, runs[i].page);
                const uint16_t *slots = worker->copy.slots + (runs[i].page - range->page);

                for (size_t j = 0; runs[i].state == PRESENT_STATE_DATA && j < runs[i].n_pages; j++)
                        fingerprints[j] = worker->words[slots[j]];
        }
        return 0;
}

static void read_range(void *argument)
{
        struct reading *reading = argument;
        const struct scan_range *range = reading->range;
        const struct present_run *runs = reading->worker->runs;
        size_t n_runs = 0;

        reading->error = present_find(reading->scan->guests[range->guest].ram, range->mapping, range->page,
                                      range->n_pages, reading->worker->runs, &n_runs);
        if (reading->error < 0)
                return;
        for (size_t i = 0; i < n_runs; i++)
                read_in_place(reading, &runs[i]);
        if (n_runs > 0 && range->mapping->reader.kind != PAGE_READER_MAPPED)
                reading->error = read_by_copy(reading, n_runs);
}

static void fail_guest(struct guest_ram *ram, int error)
{
        switch (error) {
        case -ESRCH:
                guest_ram_fail(ram, error, "QEMU (process %d) ended while its memory was read", ram->pid);
                return;
        case -ENODATA:
                guest_ram_fail(ram, error, "its RAM file was truncated while it was read");
                return;
        case -EIO:
        case -EFAULT:
                guest_ram_fail(ram, error,
                               "a part of its memory cannot be read (unmapped, or a poisoned page)");
                return;
        default:
                guest_ram_fail(ram, error, "cannot read its memory: %s", strerror(-error));
        }
}

/* Tells the waiting thread when the last range of a guest in this window is over. */
static void leave_range(struct scan *scan, struct scan_guest *guest)
{
        if (atomic_fetch_sub(&guest->n_left, 1) == 1)
                pool_wake(scan->pool);
}

static bool work_on_range(void *context, unsigned int number, size_t item)
{
        struct scan *scan = context;
        struct scan_range *range = range_of_item(scan, item);
        struct scan_guest *guest = &scan->guests[range->guest];
        struct scan_worker *worker = &scan->workers[number];
        struct reading reading = {.scan = scan, .range = range, .worker = worker};
        const uint64_t until = atomic_load_explicit(&scan->until_usec, memory_order_relaxed);
        const uint64_t now = clock_now_usec();

        if (until != USEC_INFINITY && now + worker->last_range_usec >= until)
                return false;
        if (atomic_load_explicit(&guest->ram->error, memory_order_relaxed) == 0) {
                /* Slots are cleared only where something was written: untouched ones cost no memory. */
                if (range->state == RANGE_STATE_AGAIN)
                        memset(words_at(range, range->block->fingerprints, range->page), 0,
                               range->n_pages * sizeof(uint64_t));
                range->begun_usec = now;
                if (!sigbus_survives(read_range, &reading))
                        reading.error = -EIO;
                range->ended_usec = clock_now_usec();
                range->state = RANGE_STATE_READ;
                worker->last_range_usec = range->ended_usec - now;
                atomic_fetch_add_explicit(&scan->done_bytes, range->n_pages * PAGE_BYTES,
                                          memory_order_relaxed);
                if (reading.error < 0)
                        fail_guest(guest->ram, reading.error);
        }
        leave_range(scan, guest);
        return true;
}

static void tell_observer(struct scan *scan, const size_t *guests, size_t n_guests,
                          const struct scan_observer *observer)
{
        for (size_t i = 0; i < n_guests && observer->guest_done; i++) {
                struct scan_guest *guest = &scan->guests[guests[i]];

                if (guest->told || atomic_load(&guest->n_left) > 0)
                        continue;
                guest->told = true;
                observer->guest_done(observer->context, guests[i]);
        }
        if (observer->tick)
                observer->tick(observer->context);
}

/*
 * A worker begins no range that would probably end too late, judged by its last one. One that took long because the
 * host stalled says nothing about the next: without a bound it would keep the worker from reading ever again.
 */
static void forgive_stalls(struct scan *scan, uint64_t until_usec)
{
        const uint64_t now = clock_now_usec();
        const uint64_t most = until_usec > now ? (until_usec - now) / 2 : 0;

        for (unsigned int i = 0; i < pool_n_threads(scan->pool); i++)
                if (scan->workers[i].last_range_usec > most)
                        scan->workers[i].last_range_usec = most;
}

void scan_window(struct scan *scan, const size_t *guests, size_t n_guests, uint64_t until_usec,
                 const struct scan_observer *observer)
{
        static const struct scan_observer nobody = {0};
        bool ended = false;

        observer = observer ? observer : &nobody;
        forgive_stalls(scan, until_usec);
        atomic_store(&scan->until_usec, until_usec);
        scan->n_at_work = 0;
        for (size_t i = 0; i < n_guests; i++) {
                struct scan_guest *guest = &scan->guests[guests[i]];

                if (atomic_load(&guest->ram->error) < 0)
                        continue;
                guest->told = false;
                atomic_store(&guest->n_left, guest->n_todo);
                scan->at_work[scan->n_at_work++] = guest;
        }
        start_job(scan, work_on_range);
        while (!ended) {
                ended = pool_wait(scan->pool, clock_now_usec() + TICK_USEC);
                tell_observer(scan, guests, n_guests, observer);
        }
}

void scan_end_window(struct scan *scan)
{
        atomic_store(&scan->until_usec, 0);
}

/*
 * What looks like absent pages may be a process that died, which has no mappings left, or a RAM file that was cut
 * short. Its pagemap, and the file's size, tell.
 */
static void check_intact(struct guest_ram *ram)
{
        uint64_t entry = 0;

        for (size_t b = 0; b < ram->pages.n_blocks; b++) {
                const struct mapping *mappings = ram->mappings[b];

                if (pagemap_read(ram->pagemap_fd, mappings[0].hva, &entry, 1) == -ESRCH)
                        fail_guest(ram, -ESRCH);
                for (size_t r = 0; r < ram->pages.blocks[b].n_ranges; r++) {
                        const struct mapping *mapping = &mappings[r];
                        struct stat status = {0};

                        if (mapping->file_fd >= 0 && fstat(mapping->file_fd, &status) == 0 &&
                            (uint64_t)status.st_size < mapping->file_offset + mapping->size_bytes)
                                fail_guest(ram, -ENODATA);
                }
        }
}

size_t scan_accept(struct scan *scan, size_t guest_index, uint64_t from_usec, uint64_t until_usec)
{
        struct scan_guest *guest = &scan->guests[guest_index];
        size_t n_left = 0;
        size_t n_accepted = 0;

        check_intact(guest->ram);
        for (size_t i = 0; i < guest->n_todo; i++) {
                struct scan_range *range = &scan->ranges[guest->todo[i]];

                if (range->state == RANGE_STATE_READ && range->begun_usec >= from_usec &&
                    range->ended_usec <= until_usec) {
                        range->state = RANGE_STATE_COUNTED;
                        n_accepted++;
                        continue;
                }
                if (range->state == RANGE_STATE_READ) {
                        range->state = RANGE_STATE_AGAIN;
                        atomic_fetch_sub(&scan->done_bytes, range->n_pages * PAGE_BYTES);
                }
                guest->todo[n_left++] = guest->todo[i];
        }
        guest->n_todo = n_left;
        return n_accepted;
}

bool scan_guest_is_complete(const struct scan *scan, size_t guest)
{
        return atomic_load(&scan->guests[guest].ram->error) < 0 || scan->guests[guest].n_todo == 0;
}

static bool work_on_frames(void *context, unsigned int number, size_t item)
{
        struct scan *scan = context;
        const struct scan_range *range = &scan->ranges[item];
        struct scan_guest *guest = &scan->guests[range->guest];
        int r = 0;

        (void)number;
        if (range->state != RANGE_STATE_COUNTED || atomic_load(&guest->frames_error) < 0)
                return true;
        r = frames_read_range(guest->ram, range->block, range->mapping, range->page, range->n_pages,
                              scan->kpageflags_fd);
        if (r < 0)
                atomic_store(&guest->frames_error, r);
        return true;
}

void scan_read_frames(struct scan *scan)
{
        if (scan->kpageflags_fd < 0)
                return;
        pool_run(scan->pool, scan->n_ranges, work_on_frames, scan);
        for (size_t i = 0; i < scan->n_guests; i++) {
                const int error = atomic_load(&scan->guests[i].frames_error);

                scan->guests[i].ram->pages.frames_known = error == 0;
                if (error == -ESRCH)
                        fail_guest(scan->guests[i].ram, error);
        }
}

uint64_t scan_progress(const struct scan *scan, uint64_t *ret_total_bytes)
{
        *ret_total_bytes = scan->total_bytes;
        return atomic_load(&scan->done_bytes);
}
