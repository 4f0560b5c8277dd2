/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests of the last scans: when each was last paused, and whether its QEMU still lives. */
#pragma once

#include "conf/patterns.h"
#include "report/report.h"

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct guest_list;

/**
 * guest_list_new() - make an empty list
 * @gone: called after the process of a guest ended and the guest was removed
 */
int guest_list_new(sd_event *event, void (*gone)(void *context, const char *name), void *context,
                   struct guest_list **ret);

struct guest_list *guest_list_free(struct guest_list *guest_list);

/* Takes over a report's guests. With @all, removes those it does not name, unless their process lives. */
int guest_list_note(struct guest_list *guest_list, const struct report *report, bool all);

/* Notes that these guests (all, if none is named) may have been paused by a scan that left no report. */
void guest_list_note_pause(struct guest_list *guest_list, const struct patterns *names);

/**
 * guest_list_paused_since() - the guests that we paused less than @gap_usec ago
 * @ret: appended to
 *
 * Return: 0, -E2BIG or -ENOMEM.
 */
int guest_list_paused_since(const struct guest_list *guest_list, uint64_t gap_usec, struct patterns *ret);

/* All names, borrowed until the next change: @ret has guest_list_n() of them. */
const char *const *guest_list_names(struct guest_list *guest_list);
size_t guest_list_n(const struct guest_list *guest_list);
