/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a command tells a program that waits for it: JSON lines in the shape of QMP's events. */
#pragma once

#include "conf/options.h"

#include <json-c/json.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Memory is being read: {"done_bytes", "total_bytes"}. With "recheck_in_seconds" it has been read, and the
 * scan waits for its second look.
 */
#define EVENT_PROGRESS "PROGRESS"
/* The end, with the report as --json would print it. */
#define EVENT_REPORT "REPORT"
/* The end without a report: {"desc"}. */
#define EVENT_FAILED "FAILED"

/* Ends the wait for the second look. It is blocked until the wait begins, so that it stays pending. */
#define EVENTS_HURRY_SIGNAL SIGURG

/**
 * events_print() - print one event as a line on standard output
 * @data: taken, also on failure
 *
 * Return: whether all of it could be written.
 */
bool events_print(const char *event, struct json_object *data);

/* Prints EVENT_PROGRESS. */
void events_print_progress(uint64_t done_bytes, uint64_t total_bytes);

/* Prints EVENT_PROGRESS of a scan that waits for its second look. */
void events_print_wait(uint64_t done_bytes, uint64_t total_bytes, uint64_t left_seconds);

/* Prints EVENT_FAILED with a sentence. */
void events_print_failure(const char *sentence);

/* Prints on standard error why the program failed; with --events also as EVENT_FAILED. */
void events_complain(const struct options *options, const char *sentence);
