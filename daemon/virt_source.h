/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The libvirt of the configuration, and whether it answers: what scans and its watcher last saw of it. */
#pragma once

#include "metrics/metrics.h"

#include <stdbool.h>

/**
 * struct virt_source - initialise with .metrics
 * @metrics: receives the state; borrowed
 *
 * The other members are its own.
 */
struct virt_source {
        struct metrics *metrics;
        const char *configured; /* NULL: none */
        bool answers;           /* as last seen */
        bool has_answered;      /* so its silence does not mean a host without libvirt */
};

/* Switches to another libvirt, not known yet. @configured is borrowed, also by virt_source_forget(). */
void virt_source_begin(struct virt_source *source, const char *configured);

/* The configuration, read again, names the same libvirt. If it does not answer now, it is gone for good. */
void virt_source_forget(struct virt_source *source, const char *configured);

/* Records whether it answers, as a scan or its watcher just saw. */
void virt_source_hear(struct virt_source *source, bool answers);

/* Its URI, borrowed; NULL when there is none. */
const char *virt_source_uri(const struct virt_source *source);
