/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small sample of the memory that KSM may merge: how much of it is merged, and how much changes. */
#pragma once

#include "pages/fingerprint.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A look at a hole costs little, but shows nothing. */
#define SAMPLE_SPARSE 16

struct sample;

/**
 * struct sample_figures - what a look found, in pages of the sample
 * @present: pages that exist
 * @merged: those of them that have a frame of KSM, or as zero pages no frame of their own
 * @read: pages that existed at the last look at contents
 * @changed: those of them that had other content at the first look, or did not exist then
 */
struct sample_figures {
        uint64_t present;
        uint64_t merged;
        uint64_t read;
        uint64_t changed;
};

/**
 * sample_new() - an empty sample
 * @key: borrowed for its life
 * @kpageflags_fd: from frames_open(), borrowed likewise
 */
int sample_new(const struct fingerprint_key *key, int kpageflags_fd, struct sample **ret);

struct sample *sample_free(struct sample *sample);

/**
 * sample_add() - extend the sample to the mergeable memory of one more process
 * @proc_fd: its open /proc/PID, borrowed for the call
 *
 * Return: 0; -ENODATA when it has none; another negative errno.
 */
int sample_add(struct sample *sample, pid_t pid, int proc_fd);

/**
 * sample_draw() - choose new pages at random, and look at them for the first time
 * @n_pages: how many, each address being as likely as any other, whether a page exists there or not. Where
 *           most addresses are holes, up to SAMPLE_SPARSE times as many are chosen
 *
 * Return: 0 or -ENOMEM.
 */
int sample_draw(struct sample *sample, size_t n_pages);

/**
 * sample_look() - find out which of the pages exist, and which are merged
 * @figures: @present and @merged are set, the others stay
 *
 * Pauses nobody and changes nothing. Pages of a process that has ended count as not present.
 */
void sample_look(struct sample *sample, struct sample_figures *figures);

/**
 * sample_read() - look at the contents of the pages, which takes several times as long
 * @figures: @read and @changed are set, the others stay
 *
 * Reads through /proc/PID/mem, and only pages that exist.
 */
void sample_read(struct sample *sample, struct sample_figures *figures);
