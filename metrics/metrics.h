/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What samepaged exports to Prometheus: the figures of the last scan, counters of the scans since the service
 * started, and KSM at the moment of the scrape. It exports only sizes and names, never page content.
 * docs/metrics.md describes every metric.
 *
 * All calls belong to the thread that owns the daemon's state.
 */
#pragma once

#include "metrics/metrics_merge.h"
#include "metrics/metrics_text.h"
#include "report/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Metrics cut a longer name, identifier or group. */
#define METRICS_LABEL_MAX_BYTES 512

/* How a scan ended. */
enum metrics_scan_result {
        METRICS_SCAN_RESULT_COMPLETE,  /* every guest was scanned */
        METRICS_SCAN_RESULT_PARTIAL,   /* some guests were */
        METRICS_SCAN_RESULT_FAILED,    /* no guest was, or there is no report */
        METRICS_SCAN_RESULT_CANCELLED, /* somebody asked to stop */
        METRICS_SCAN_RESULT_MAX_,
};

const char *metrics_scan_result_to_string(enum metrics_scan_result result);

struct metrics;

/**
 * metrics_new() - make metrics without any scan
 * @version: of the program; copied
 *
 * Return: 0 or -ENOMEM.
 */
int metrics_new(const char *version, struct metrics **ret);

struct metrics *metrics_free(struct metrics *metrics);

/**
 * metrics_note_report() - take over the figures of a finished scan of the host
 * @report: of all guests; copied
 *
 * Guests that the report does not name are dropped. Guests that it names without figures lose their figures.
 * With -ENOMEM the scan is counted and the older figures stay.
 *
 * Return: 0 or -ENOMEM.
 */
int metrics_note_report(struct metrics *metrics, const struct report *report);

/**
 * metrics_note_chosen() - the same for a scan of some guests only
 *
 * The other guests and the figures of the host stay unchanged. So do the scanned guests' inter_sharing and
 * saved bytes, which depend on the other guests in the scan: they keep the values of the last scan of the
 * host. Guests of a source that was silent have failed, and keep their figures, as the host does.
 *
 * Return: 0 or -ENOMEM.
 */
int metrics_note_chosen(struct metrics *metrics, const struct report *report);

/**
 * metrics_note_scan_failed() - count a scan that left no report; older figures stay
 */
void metrics_note_scan_failed(struct metrics *metrics, enum metrics_scan_result result);

/**
 * metrics_keep_guests() - say which guests exist
 *
 * Drops all others, and remembers how many exist. Call it when guests come or go, and after
 * metrics_note_report(), since a guest can vanish while it is scanned.
 *
 * Return: 0; -ENOMEM, with nothing changed.
 */
int metrics_keep_guests(struct metrics *metrics, const char *const *names, size_t n_names);

/* How many guests we hold paused now. */
void metrics_set_paused(struct metrics *metrics, unsigned int n_paused);

/* The source of guests (copied; NULL: none), and whether it answers. Without memory, no such metric. */
void metrics_set_source(struct metrics *metrics, const char *source, bool is_up);

/* The exported figures of merging, to be changed in place. */
struct metrics_merge *metrics_merge_of(struct metrics *metrics);

/**
 * metrics_render() - write everything as text
 * @ksm_dir: KSM_DIR or a fixture, read now; a file that cannot be read is left out
 * @ret: the caller frees it
 *
 * A value that is not known is left out, never 0.
 *
 * Return: 0 or -ENOMEM.
 */
int metrics_render(const struct metrics *metrics, const char *ksm_dir, enum metrics_format format, char **ret,
                   size_t *ret_length);
