/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When KSM completed its passes, which shows how many of them a guest has seen. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file in the runtime directory. */
#define KSM_CLOCK_FILE "ksm-passes"
#define KSM_CLOCK_BOOT "/proc/sys/kernel/random/boot_id"

#define KSM_CLOCK_SAMPLES    64
#define KSM_CLOCK_BOOT_BYTES 64

/**
 * struct ksm_clock_sample - how many passes KSM had completed at a moment
 * @usec: of the clock that counts from boot and goes on while the host sleeps (CLOCK_BOOTTIME)
 */
struct ksm_clock_sample {
        uint64_t usec;
        int64_t full_scans;
};

/* Samples, oldest first; times and passes both rise. */
struct ksm_clock {
        struct ksm_clock_sample samples[KSM_CLOCK_SAMPLES];
        size_t n;
};

/**
 * ksm_clock_add() - add a sample
 * @full_scans: read before @usec was
 *
 * Return: whether it says anything new.
 */
bool ksm_clock_add(struct ksm_clock *clock, uint64_t usec, int64_t full_scans);

/**
 * ksm_clock_passes_since() - count the passes that KSM has ended since a moment
 * @usec: of the same clock
 * @full_scans: now
 *
 * Return: an upper bound; -1 when it is not known.
 */
int64_t ksm_clock_passes_since(const struct ksm_clock *clock, uint64_t usec, int64_t full_scans);

/**
 * ksm_clock_parse() - read the text of a file
 * @boot: the host's current boot
 *
 * Damaged text, or that of another boot, counts as empty.
 */
void ksm_clock_parse(const char *text, const char *boot, struct ksm_clock *ret);

/**
 * ksm_clock_tick() - add a sample of now to the file of a runtime directory
 * @runtime_dir: made when it is missing
 * @ksm_dir: KSM_DIR, or a fixture
 * @ret: what the file says then; may be NULL
 *
 * Return: 0; a negative errno when KSM has no counter, or nothing could be written. @ret is written in any
 * case.
 */
int ksm_clock_tick(const char *runtime_dir, const char *ksm_dir, struct ksm_clock *ret);
