/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of every guest is cut into ranges of 2 MiB, and the workers take one range after another. In a
 * range a worker asks which pages exist, reads those, and writes their fingerprints into the guest's array.
 * Workers share nothing but the number of the next range. They ask which pages exist inside the window. So a
 * paused guest is seen as it is at that instant, whatever was prepared before.
 *
 * Each range keeps the times between which it was read. A guest may run again earlier than planned, at the
 * end of its longest permitted pause or because somebody else resumed it. Then scan_accept() discards the
 * ranges that were not read entirely while the guest was paused. So a result is exact even if this process
 * was not scheduled for a while.
 *
 * Only bytes of page tables and hash values remain of guest memory. Page contents pass through a buffer of
 * 2 MiB for each worker, which is wiped at the end.
 */
#include "scanner/scan.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "pages/page.h"
#include "pages/page_reader.h"
#include "scanner/pagemap.h"
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
        struct page_span span;
        struct pages_block *block;
        uint64_t first_page; /* of the span, in the block */
        uint32_t guest;
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
        struct page_buffer buffer;
        uint64_t words[PAGE_SPAN_MAX]; /* fingerprints of what was copied */
        uint64_t last_range_usec;
        struct page_run runs[PAGE_SPAN_MAX];
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
static size_t range_length(const struct pages_range *mapped, uint64_t page)
{
        const uint64_t absolute = (mapped->hva >> PAGE_SHIFT) + page;
        const uint64_t to_boundary = PAGE_SPAN_MAX - absolute % PAGE_SPAN_MAX;
        const uint64_t left = mapped->n_pages - page;

        return left < to_boundary ? left : to_boundary;
}

/* Cuts a guest into ranges, in page order; only counts them while @ranges is NULL. */
static size_t cut_guest(const struct pages *pages, uint32_t guest, struct scan_range *ranges)
{
        size_t n = 0;

        for (size_t b = 0; b < pages->n_blocks; b++)
                for (size_t r = 0; r < pages->blocks[b].n_ranges; r++) {
                        const struct pages_range *mapped = &pages->blocks[b].ranges[r];
                        size_t length = 0;

                        for (uint64_t page = 0; page < mapped->n_pages; page += length, n++) {
                                length = range_length(mapped, page);
                                if (ranges)
                                        ranges[n] = (struct scan_range){
                                                .span = {mapped->reader, page, length},
                                                .block = &pages->blocks[b],
                                                .first_page = mapped->first_page + page,
                                                .guest = guest,
                                        };
                        }
                }
        return n;
}

static int cut_guests(struct scan *scan, struct guest_ram *const *guests)
{
        for (size_t i = 0; i < scan->n_guests; i++) {
                guests[i]->process.kpageflags_fd = scan->kpageflags_fd;
                scan->guests[i].ram = guests[i];
                scan->guests[i].first_range = scan->n_ranges;
                scan->guests[i].n_ranges = cut_guest(&guests[i]->pages, (uint32_t)i, NULL);
                scan->n_ranges += scan->guests[i].n_ranges;
        }
        scan->ranges = calloc(scan->n_ranges + 1, sizeof(*scan->ranges));
        scan->todo = calloc(scan->n_ranges + 1, sizeof(*scan->todo));
        if (!scan->ranges || !scan->todo)
                return -ENOMEM;
        for (size_t i = 0; i < scan->n_guests; i++) {
                struct scan_guest *guest = &scan->guests[i];

                cut_guest(&guests[i]->pages, (uint32_t)i, scan->ranges + guest->first_range);
                guest->todo = scan->todo + guest->first_range;
                for (; guest->n_todo < guest->n_ranges; guest->n_todo++)
                        guest->todo[guest->n_todo] = guest->first_range + guest->n_todo;
        }
        for (size_t i = 0; i < scan->n_ranges; i++)
                scan->total_bytes += scan->ranges[i].span.n * PAGE_BYTES;
        return 0;
}

static bool copies_pages(const struct scan *scan)
{
        for (size_t i = 0; i < scan->n_ranges; i++)
                if (scan->ranges[i].span.reader->kind != PAGE_READER_MAPPED)
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
                r = page_buffer_init(&scan->workers[i].buffer);
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
                page_buffer_deinit(&scan->workers[i].buffer);
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

/* Starts a job on everything that is left of the guests at work. Costs the same however large they are. */
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

/* The fingerprints of the pages of a range from number @page of its mapping on. */
static uint64_t *fingerprints_at(const struct scan_range *range, uint64_t page)
{
        return range->block->fingerprints + range->first_page + (page - range->span.first);
}

/* Has the kernel allocate the memory of the words that are going to be written. */
static void touch_words(const struct scan_range *range, const struct page_run *run)
{
        volatile uint64_t *first = fingerprints_at(range, run->page);
        volatile uint64_t *last = first + run->n_pages - 1;

        /* A run is no longer than a page of words, so no page lies between these two. */
        *first = *first;
        *last = *last;
}

static bool prepare_range(void *context, unsigned int number, size_t item)
{
        const struct scan *scan = context;
        const struct scan_range *range = range_of_item(scan, item);
        const struct page_reader *reader = range->span.reader;
        struct page_run *runs = scan->workers[number].runs;
        size_t n_runs = 0;

        if (reader->find(&range->span, runs, &n_runs) < 0)
                return true; /* an error here comes again in the window, where it counts */
        for (size_t i = 0; i < n_runs; i++) {
                touch_words(range, &runs[i]);
                if (runs[i].state == PAGE_STATE_DATA && reader->prepare)
                        reader->prepare(reader, &runs[i]);
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

/* Fills in the fingerprints of pages that need not be read. Returns whether others are left. */
static bool fill_in_known(const struct scan_range *range, const struct page_run *runs, size_t n_runs)
{
        bool is_left = false;

        for (size_t i = 0; i < n_runs; i++) {
                uint64_t *fingerprints = fingerprints_at(range, runs[i].page);

                if (runs[i].state == PAGE_STATE_DATA) {
                        is_left = true;
                        continue;
                }
                for (size_t j = 0; j < runs[i].n_pages; j++)
                        fingerprints[j] = runs[i].state == PAGE_STATE_SWAPPED ? PAGE_SWAPPED : PAGE_ZERO;
        }
        return is_left;
}

static void fingerprint_run(const struct reading *reading, const struct page_run *run)
{
        const struct page_buffer *buffer = &reading->worker->buffer;
        const size_t first = run->page - reading->range->span.first;
        uint64_t *fingerprints = fingerprints_at(reading->range, run->page);

        if (buffer->in_place)
                fingerprint_pages(reading->scan->key, buffer->bytes + first * PAGE_BYTES, run->n_pages,
                                  fingerprints);
        for (size_t i = 0; !buffer->in_place && i < run->n_pages; i++)
                fingerprints[i] = reading->worker->words[buffer->slots[first + i]];
}

static void read_range(void *argument)
{
        struct reading *reading = argument;
        const struct page_span *span = &reading->range->span;
        struct page_buffer *buffer = &reading->worker->buffer;
        struct page_run *runs = reading->worker->runs;
        size_t n_runs = 0;

        reading->error = span->reader->find(span, runs, &n_runs);
        if (reading->error < 0 || !fill_in_known(reading->range, runs, n_runs))
                return;
        reading->error = span->reader->read(span, runs, n_runs, buffer);
        if (reading->error < 0)
                return;
        if (!buffer->in_place)
                fingerprint_pages(reading->scan->key, buffer->bytes, buffer->n_slots, reading->worker->words);
        for (size_t i = 0; i < n_runs; i++)
                if (runs[i].state == PAGE_STATE_DATA)
                        fingerprint_run(reading, &runs[i]);
}

static void fail_guest(struct guest_ram *ram, int error)
{
        switch (error) {
        case -ESRCH:
                guest_ram_fail(ram, error, "QEMU (process %d) ended while its memory was read",
                               ram->process.pid);
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
                        memset(fingerprints_at(range, range->span.first), 0,
                               range->span.n * sizeof(uint64_t));
                range->begun_usec = now;
                if (!sigbus_survives(read_range, &reading))
                        reading.error = -EIO;
                range->ended_usec = clock_now_usec();
                range->state = RANGE_STATE_READ;
                worker->last_range_usec = range->ended_usec - now;
                atomic_fetch_add_explicit(&scan->done_bytes, range->span.n * PAGE_BYTES,
                                          memory_order_relaxed);
                if (reading.error < 0)
                        fail_guest(guest->ram, reading.error);
        }
        /* Wakes the waiting thread after the last range of a guest in this window. */
        if (atomic_fetch_sub(&guest->n_left, 1) == 1)
                pool_wake(scan->pool);
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
 * A worker begins no range that would probably end too late, judged by the time of its last one. A range that
 * took long because the host stalled says nothing about the next. Without this bound it would keep the worker
 * from ever reading again.
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
 * Pages may seem absent because the process died, which leaves no mappings, or because the RAM file was
 * truncated. The pagemap and the file's size show which.
 */
static void check_intact(struct guest_ram *ram)
{
        uint64_t entry = 0;

        for (size_t b = 0; b < ram->pages.n_blocks; b++) {
                const struct mapping *mappings = ram->mappings[b];

                if (pagemap_read(ram->process.pagemap_fd, mappings[0].hva, &entry, 1) == -ESRCH)
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
                        atomic_fetch_sub(&scan->done_bytes, range->span.n * PAGE_BYTES);
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

/* Fills in the frame words of the pages that were present when they were read. */
static int read_frames(const struct scan_range *range)
{
        const uint64_t *fingerprints = fingerprints_at(range, range->span.first);
        uint64_t *words = range->block->frames + range->first_page;
        uint64_t frames[PAGE_SPAN_MAX];
        size_t n_present = 0;
        int r = 0;

        for (size_t i = 0; i < range->span.n; i++)
                n_present += page_is_present(fingerprints[i]);
        if (n_present == 0)
                return 0; /* also spares the frame words of holes from being allocated */
        r = range->span.reader->frames ? range->span.reader->frames(&range->span, frames) : -ENOTSUP;
        if (r < 0)
                return r;
        for (size_t i = 0; i < range->span.n; i++)
                words[i] = page_is_present(fingerprints[i]) ? frames[i] : FRAME_OWN;
        return 0;
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
        r = read_frames(range);
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
