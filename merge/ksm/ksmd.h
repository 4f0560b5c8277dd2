/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's thread that merges, and processes that meddle with it. */
#pragma once

#include "base/failure.h"
#include "merge/ksm/apply.h"
#include "merge/ksm/ksm.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* CPU time of ksmd for a page where nothing better is known. */
#define KSMD_PAGE_SECONDS 2.4e-6

/* CPU seconds that ksmd has taken since boot; negative when they are not known. */
double ksmd_cpu_seconds(void);

/**
 * ksmd_page_seconds() - what ksmd takes for a page on this host, in CPU seconds
 * @pages_scanned: that it looked at since boot, as KSM's file of that name says; 0 when that is not known
 *
 * By what it has scanned since boot, if that is enough to tell; else KSMD_PAGE_SECONDS.
 */
double ksmd_page_seconds(int64_t pages_scanned);

/**
 * ksmd_is_at_work() - whether KSM merges what it can
 * @place: where it is noted who acts on KSM
 *
 * It does when it runs, and also when it stands still because a samepaged that lives has stopped it: that one sets it going
 * again when there is something to merge.
 */
bool ksmd_is_at_work(const struct ksm *ksm, const struct apply_place *place);

/**
 * ksmd_find_rival() - a process that tunes KSM by its own lights
 *
 * Return: whether there is one, with a sentence that names it.
 */
bool ksmd_find_rival(struct failure *ret_failure);

/**
 * ksmd_find_stranger() - a process whose memory KSM merges and which is none of some
 * @pids: the @n guests' QEMUs that are to be merged, or will not be mergeable
 *
 * Needs ksm_mergeable in /proc/PID/ksm_stat (Linux 6.14); on older kernels VmFlags of every process's mappings, which
 * takes milliseconds each, are looked at.
 *
 * Return: whether there is one, with a sentence that names it.
 */
bool ksmd_find_stranger(const pid_t *pids, size_t n, struct failure *ret_failure);
