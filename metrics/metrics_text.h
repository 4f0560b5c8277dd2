/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes metrics as text, in the two formats that scrapers ask for: Prometheus text 0.0.4 and OpenMetrics
 * 1.0.0. The caller names families and samples once; this file handles the differences between the formats.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum metrics_format {
        METRICS_FORMAT_TEXT,
        METRICS_FORMAT_OPENMETRICS,
        METRICS_FORMAT_MAX_,
};

enum metrics_type {
        METRICS_TYPE_GAUGE,
        METRICS_TYPE_COUNTER,
        METRICS_TYPE_HISTOGRAM,
        METRICS_TYPE_INFO,
        METRICS_TYPE_MAX_,
};

/**
 * struct metrics_family - what all samples of one metric share
 * @name: without the _total of a counter and the _info of an info
 * @unit: the end of @name, such as "bytes"; NULL when it has none
 * @help: one sentence
 */
struct metrics_family {
        const char *name;
        enum metrics_type type;
        const char *unit;
        const char *help;
};

/* The text being written; a failure to write is kept until metrics_text_finish(). */
struct metrics_text {
        enum metrics_format format;
        FILE *file;
        char *bytes;
        size_t length;
        const struct metrics_family *family;
        unsigned int n_samples;
        unsigned int n_labels;
};

/* The Content-Type of a format. */
const char *metrics_text_content_type(enum metrics_format format);

/**
 * metrics_text_choose() - the format for a scraper
 * @accept: its Accept header; NULL without one
 *
 * A scraper that can read OpenMetrics 1.0.0 names it and prefers it, so its weights are ignored.
 */
enum metrics_format metrics_text_choose(const char *accept);

/**
 * metrics_text_init() - begin
 *
 * Return: 0 or -ENOMEM.
 */
int metrics_text_init(struct metrics_text *text, enum metrics_format format);

void metrics_text_deinit(struct metrics_text *text);

/**
 * metrics_text_finish() - end, and hand over the text
 * @ret: NUL-terminated; the caller frees it
 * @ret_length: without the NUL
 *
 * Return: 0 or -ENOMEM.
 */
int metrics_text_finish(struct metrics_text *text, char **ret, size_t *ret_length);

/**
 * metrics_text_family() - start a family; the samples that follow belong to it
 * @family: borrowed until the next call
 *
 * Its head is written with its first sample: a family without samples leaves no trace.
 */
void metrics_text_family(struct metrics_text *text, const struct metrics_family *family);

/**
 * metrics_text_sample() - begin a sample, to be followed by its labels and its value
 * @suffix: what follows the family's name in its own: "_total", "_info", "_bucket"…, or ""
 */
void metrics_text_sample(struct metrics_text *text, const char *suffix);

/* Writes a label of the sample; @value is UTF-8, NULL for an empty one. */
void metrics_text_label(struct metrics_text *text, const char *name, const char *value);

/* Writes the value, which ends the sample. */
void metrics_text_value(struct metrics_text *text, int64_t value);

/* The same for microseconds, written as seconds. */
void metrics_text_value_usec(struct metrics_text *text, uint64_t usec);

/* Room for metrics_text_print_usec(). */
#define METRICS_TEXT_USEC_BYTES 32

/* @usec as seconds, without needless zeros: 250000 is "0.25", 1000000 is "1.0". */
void metrics_text_print_usec(uint64_t usec, char ret[METRICS_TEXT_USEC_BYTES]);
