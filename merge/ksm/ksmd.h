/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's thread that merges, and processes that interfere with it. */
#pragma once

#include "base/failure.h"
#include "merge/ksm/ksm.h"
#include "merge/ksm/ksm_settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* CPU seconds that ksmd takes for a page where nothing better is known. */
#define KSMD_PAGE_SECONDS 2.4e-6

/* CPU seconds that ksmd has taken since boot; negative when they are not known. */
double ksmd_cpu_seconds(void);

/**
 * ksmd_page_seconds() - how many CPU seconds ksmd takes for a page on this host
 * @pages_scanned: pages scanned since boot, from KSM's file of that name; 0 when not known
 *
 * Computed from what ksmd has scanned since boot if that is enough; else KSMD_PAGE_SECONDS.
 */
double ksmd_page_seconds(int64_t pages_scanned);

/**
 * ksmd_is_at_work() - whether KSM merges what it can
 * @place: where the note of the one who acts on KSM is
 *
 * KSM does when it runs. It also does when a samepaged that lives has stopped it: samepaged starts it again
 * when there is something to merge.
 */
bool ksmd_is_at_work(const struct ksm *ksm, const struct ksm_settings_place *place);

/**
 * ksmd_find_rival() - find another program that tunes KSM
 *
 * Return: whether there is one, with a sentence that names it.
 */
bool ksmd_find_rival(struct failure *ret_failure);

/**
 * ksmd_find_stranger() - find a process whose memory KSM merges and that is not among some
 * @pids: QEMUs of @n guests that are to be merged, or will not be mergeable
 *
 * Reads ksm_mergeable in /proc/PID/ksm_stat (Linux 6.14). On older kernels it reads VmFlags of every
 * process's mappings, which takes milliseconds for each process.
 *
 * Return: whether there is one, with a sentence that names it.
 */
bool ksmd_find_stranger(const pid_t *pids, size_t n, struct failure *ret_failure);
