/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests of the last scans: when each was last paused, and whether its QEMU still lives. */
#pragma once

#include "conf/patterns.h"
#include "report/report.h"

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct roster;

/**
 * roster_new() - make an empty roster
 * @gone: called when the process of a guest ended and the guest was struck off
 */
int roster_new(sd_event *event, void (*gone)(void *context, const char *name), void *context,
               struct roster **ret);

struct roster *roster_free(struct roster *roster);

/* Takes over a report's guests. With @all, strikes off those it does not name, unless their process lives. */
int roster_note(struct roster *roster, const struct report *report, bool all);

/* Notes that these guests (all, if none is named) may have been paused by a scan that left no report. */
void roster_note_pause(struct roster *roster, const struct patterns *names);

/**
 * roster_paused_since() - who was paused by us less than @gap_usec ago
 * @ret: appended to
 *
 * Return: 0, -E2BIG or -ENOMEM.
 */
int roster_paused_since(const struct roster *roster, uint64_t gap_usec, struct patterns *ret);

/* All names, borrowed until the next change: @ret has roster_n() of them. */
const char *const *roster_names(struct roster *roster);
size_t roster_n(const struct roster *roster);
