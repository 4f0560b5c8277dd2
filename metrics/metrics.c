/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A report is copied into a new array of guests, which replaces the old one when nothing can fail any more.
 * So a scrape sees one scan or the other.
 *
 * Names are unique: two series with the same labels would spoil the whole scrape. Reports keep figures unique
 * by name (a second guest with the same name is not scanned). So of two guests with one name, the one with
 * figures counts.
 */
#include "metrics/metrics.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "metrics/metrics_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A pause lasts at most max_pause, 500 ms by default, plus the time that QEMU takes to stop and to answer. */
static const uint64_t pause_bounds_usec[] = {
        1000, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 10000000,
};
/* From one small guest to a host full of them, scanned one after the other in slices. */
static const uint64_t scan_bounds_usec[] = {
        100000, 500000, 1000000, 5000000, 10000000, 30000000, 60000000, 300000000, 900000000, 3600000000,
};

const char *metrics_scan_result_to_string(enum metrics_scan_result result)
{
        static const char *const names[] = {
                [METRICS_SCAN_RESULT_COMPLETE] = "complete",
                [METRICS_SCAN_RESULT_PARTIAL] = "partial",
                [METRICS_SCAN_RESULT_FAILED] = "failed",
                [METRICS_SCAN_RESULT_CANCELLED] = "cancelled",
        };

        static_assert(ARRAY_SIZE(names) == METRICS_SCAN_RESULT_MAX_, "every result has a name");
        return names[result];
}

static uint64_t wall_clock_usec(void)
{
        struct timespec now = {0};

        (void)clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

int metrics_new(const char *version, struct metrics **ret)
{
        struct metrics *metrics = calloc(1, sizeof(*metrics));

        if (!metrics)
                return -ENOMEM;
        metrics->version = strdup(version);
        if (!metrics->version) {
                metrics_free(metrics);
                return -ENOMEM;
        }
        metrics->started_usec = wall_clock_usec();
        metrics->n_known_guests = REPORT_UNKNOWN;
        metrics->merge = METRICS_MERGE_NONE;
        metrics_histogram_init(&metrics->pauses, pause_bounds_usec, ARRAY_SIZE(pause_bounds_usec));
        metrics_histogram_init(&metrics->scans, scan_bounds_usec, ARRAY_SIZE(scan_bounds_usec));
        *ret = metrics;
        return 0;
}

static void guest_deinit(struct metrics_guest *guest)
{
        free(guest->name);
        free(guest->uuid);
        free(guest->group);
        *guest = (struct metrics_guest){0};
}

static void free_guests(struct metrics_guest *guests, size_t n)
{
        for (size_t i = 0; guests && i < n; i++)
                guest_deinit(&guests[i]);
        free(guests);
}

struct metrics *metrics_free(struct metrics *metrics)
{
        if (!metrics)
                return NULL;
        free_guests(metrics->guests, metrics->n_guests);
        free(metrics->source);
        free(metrics->version);
        free(metrics);
        return NULL;
}

/* Makes foreign text a label: bounded, UTF-8, and harmless for the terminal that shows a scrape. */
static char *copy_label(const char *text)
{
        char *copy = strndup(text, METRICS_LABEL_MAX_BYTES);

        if (copy)
                text_make_printable(copy);
        return copy;
}

static struct metrics_guest *find_guest(struct metrics_guest *guests, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++)
                if (guests[i].name && strcmp(guests[i].name, name) == 0)
                        return &guests[i];
        return NULL;
}

static int compare_guests(const void *a, const void *b)
{
        return strcmp(((const struct metrics_guest *)a)->name, ((const struct metrics_guest *)b)->name);
}

/* Return: -1 when not known. */
static int64_t to_usec(double seconds)
{
        /* A year, so that the sums of a thousand guests fit; NaN fails this test and so counts as unknown. */
        if (!(seconds >= 0 && seconds < 366.0 * 86400))
                return REPORT_UNKNOWN;
        return (int64_t)(seconds * (double)USEC_PER_SEC + 0.5);
}

static uint64_t end_of_scan_usec(const struct report *report)
{
        const int64_t took = to_usec(report->duration_seconds);
        struct tm utc = {0};
        const char *end = strptime(report->started, "%Y-%m-%dT%H:%M:%SZ", &utc);
        const time_t started = end && *end == '\0' ? timegm(&utc) : 0;

        if (started <= 0)
                return wall_clock_usec();
        return (uint64_t)started * USEC_PER_SEC + (took > 0 ? (uint64_t)took : 0);
}

/*
 * A guest that could not be reached has no identifier and no group in the report. It keeps those it had: they
 * are labels, so a change would make it another guest.
 */
static int fill_guest(const struct report_guest *from, const struct metrics_guest *old, uint64_t end_usec,
                      struct metrics_guest *guest)
{
        const char *uuid = from->uuid ? from->uuid : old ? old->uuid : NULL;
        const char *group = from->group || from->scanned ? from->group : old ? old->group : NULL;

        guest->uuid = uuid ? copy_label(uuid) : NULL;
        guest->group = group ? copy_label(group) : NULL;
        if ((uuid && !guest->uuid) || (group && !guest->group))
                return -ENOMEM;
        guest->via = from->via ? from->via : old ? old->via : NULL;
        guest->scanned = from->scanned;
        guest->failed = !from->scanned;
        guest->consistency = from->consistency;
        guest->figures = from->figures;
        guest->last_scan_usec = from->scanned ? end_usec : old ? old->last_scan_usec : 0;
        return 0;
}

/* Adds the report's guests as new entries of @guests, which has room for all. */
static int copy_guests(struct metrics *metrics, const struct report *report, struct metrics_guest *guests,
                       size_t *n)
{
        const uint64_t end_usec = end_of_scan_usec(report);
        int r = 0;

        for (size_t i = 0; i < report->n_guests && r == 0; i++) {
                const struct report_guest *from = &report->guests[i];
                char *name = copy_label(from->name);
                struct metrics_guest *guest = name ? find_guest(guests, *n, name) : NULL;

                if (!name)
                        return -ENOMEM;
                if (guest && (guest->scanned || !from->scanned)) {
                        free(name);
                        continue;
                }
                if (guest)
                        guest_deinit(guest);
                else
                        guest = &guests[(*n)++];
                guest->name = name;
                r = fill_guest(from, find_guest(metrics->guests, metrics->n_guests, name), end_usec, guest);
        }
        return r;
}

/*
 * After a scan of some guests: what the scan could not know about them stays as it was, and the other guests
 * move over.
 */
static void carry_over(struct metrics *metrics, const struct report *report, struct metrics_guest *guests,
                       size_t *n)
{
        const size_t n_chosen = *n;

        for (size_t i = 0; i < n_chosen; i++) {
                struct report_figures *figures = &guests[i].figures;
                const struct metrics_guest *old =
                        find_guest(metrics->guests, metrics->n_guests, guests[i].name);
                const bool known = old && old->scanned;

                figures->inter_sharing_bytes = known ? old->figures.inter_sharing_bytes : REPORT_UNKNOWN;
                figures->actual_saved_bytes = known ? old->figures.actual_saved_bytes : REPORT_UNKNOWN;
        }
        for (size_t i = 0; i < metrics->n_guests; i++) {
                struct metrics_guest *old = &metrics->guests[i];

                if (find_guest(guests, n_chosen, old->name))
                        continue;
                if (report->silent_via && old->via && strcmp(old->via, report->silent_via) == 0)
                        old->failed = true;
                guests[(*n)++] = *old;
                *old = (struct metrics_guest){0};
        }
}

static int note_guests(struct metrics *metrics, const struct report *report, bool chosen)
{
        struct metrics_guest *guests = calloc(report->n_guests + metrics->n_guests + 1, sizeof(*guests));
        size_t n = 0;
        int r = guests ? copy_guests(metrics, report, guests, &n) : -ENOMEM;

        if (r < 0) {
                free_guests(guests, n);
                return r;
        }
        if (chosen)
                carry_over(metrics, report, guests, &n);
        free_guests(metrics->guests, metrics->n_guests);
        qsort(guests, n, sizeof(*guests), compare_guests);
        metrics->guests = guests;
        metrics->n_guests = n;
        return 0;
}

static void note_host(struct metrics *metrics, const struct report *report)
{
        struct metrics_host *host = &metrics->host;
        const bool gap_known = report->gap_bytes != REPORT_UNKNOWN;

        /* Sums over no guests are known if there are no guests; if all guests failed, they are mere zeros. */
        host->known = report_n_scanned(report) > 0 || report->n_guests == 0;
        host->total = report->total;
        for (enum gap_reason reason = 0; reason < GAP_REASON_COUNT_; reason++)
                host->gap_bytes[reason] = gap_known ? 0 : REPORT_UNKNOWN;
        for (size_t i = 0; gap_known && i < report->n_reasons; i++)
                host->gap_bytes[report->reasons[i].reason] = report->reasons[i].bytes;
        if (host->known)
                metrics->last_scan_usec = end_of_scan_usec(report);
}

static enum metrics_scan_result result_of(const struct report *report)
{
        if (report->complete)
                return METRICS_SCAN_RESULT_COMPLETE;
        return report_n_scanned(report) > 0 ? METRICS_SCAN_RESULT_PARTIAL : METRICS_SCAN_RESULT_FAILED;
}

/* Adds to the counters. A guest that was paused and then failed still counts as paused. */
static void count_scan(struct metrics *metrics, const struct report *report)
{
        const int64_t took = to_usec(report->duration_seconds);

        metrics->n_scans[result_of(report)]++;
        if (took >= 0)
                metrics_histogram_add(&metrics->scans, 1, (uint64_t)took);
        for (size_t i = 0; i < report->n_guests; i++) {
                const int64_t paused = to_usec(report->guests[i].pause_seconds);

                if (paused >= 0)
                        metrics_histogram_add(&metrics->pauses, report->guests[i].pauses, (uint64_t)paused);
        }
}

int metrics_note_report(struct metrics *metrics, const struct report *report)
{
        int r = note_guests(metrics, report, false);

        count_scan(metrics, report);
        if (r == 0)
                note_host(metrics, report);
        return r;
}

int metrics_note_chosen(struct metrics *metrics, const struct report *report)
{
        count_scan(metrics, report);
        return note_guests(metrics, report, true);
}

void metrics_note_scan_failed(struct metrics *metrics, enum metrics_scan_result result)
{
        assert(result < METRICS_SCAN_RESULT_MAX_);
        metrics->n_scans[result]++;
}

static int compare_words(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_words(char **words, size_t n)
{
        for (size_t i = 0; words && i < n; i++)
                free(words[i]);
        free(words);
}

/* Copies @names in the form of labels, sorted. */
static int copy_names(const char *const *names, size_t n, char ***ret)
{
        char **words = calloc(n + 1, sizeof(*words));

        if (!words)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                words[i] = copy_label(names[i]);
                if (!words[i]) {
                        free_words(words, i);
                        return -ENOMEM;
                }
        }
        qsort(words, n, sizeof(*words), compare_words);
        *ret = words;
        return 0;
}

int metrics_keep_guests(struct metrics *metrics, const char *const *names, size_t n_names)
{
        char **words = NULL;
        size_t n = 0;
        int r = copy_names(names, n_names, &words);

        if (r < 0)
                return r;
        for (size_t i = 0; i < metrics->n_guests; i++) {
                struct metrics_guest *guest = &metrics->guests[i];

                if (bsearch(&guest->name, words, n_names, sizeof(*words), compare_words))
                        metrics->guests[n++] = *guest;
                else
                        guest_deinit(guest);
        }
        free_words(words, n_names);
        metrics->n_guests = n;
        metrics->n_known_guests = (int64_t)n_names;
        return 0;
}

void metrics_set_paused(struct metrics *metrics, unsigned int n_paused)
{
        metrics->n_paused = n_paused;
}

void metrics_set_source(struct metrics *metrics, const char *source, bool is_up)
{
        free(metrics->source);
        metrics->source = source ? copy_label(source) : NULL;
        metrics->source_is_up = is_up;
}

struct metrics_merge *metrics_merge_of(struct metrics *metrics)
{
        return &metrics->merge;
}
