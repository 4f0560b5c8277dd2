/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The libvirt of the configuration, and whether it answers: the last that scans and its watcher saw of it. */
#pragma once

#include "metrics/metrics.h"

#include <stdbool.h>

/**
 * struct virt_source - initialise with .metrics
 * @metrics: where it is told; borrowed
 *
 * The other members are its own.
 */
struct virt_source {
        struct metrics *metrics;
        const char *configured; /* NULL: none */
        bool answers;           /* the last that was heard of it */
        bool has_answered;      /* so that its silence is no host without libvirt */
};

/*
 * Begins with another one, of which nothing is known; @configured is borrowed, also by virt_source_forget().
 */
void virt_source_begin(struct virt_source *source, const char *configured);

/*
 * The configuration was read again, and names the same one: if it does not answer now, it was removed for
 * good.
 */
void virt_source_forget(struct virt_source *source, const char *configured);

/* Whether it answers, as a scan or its watcher has just seen. */
void virt_source_hear(struct virt_source *source, bool answers);

/* Its URI, borrowed; NULL when there is none. */
const char *virt_source_uri(const struct virt_source *source);
