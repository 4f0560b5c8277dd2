/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small sample of the memory that KSM may merge: how much of it is merged, and how much changes. */
#pragma once

#include "pages/fingerprint.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Addresses of holes cost little to look at, but tell nothing. */
#define SAMPLE_SPARSE 16

struct sample;

/**
 * struct sample_figures - what was found at a look, in pages of the sample
 * @present: that there are
 * @merged: of them in a frame that KSM made, or without a frame of their own as zero pages
 * @read: that were there when contents were last looked at
 * @changed: of them of other content than at the first look, or not there then
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
 * sample_add() - let it be about the mergeable memory of a process, too
 * @proc_fd: its open /proc/PID, borrowed for the call
 *
 * Return: 0; -ENODATA when it has none; another negative errno.
 */
int sample_add(struct sample *sample, pid_t pid, int proc_fd);

/**
 * sample_draw() - choose pages at random, in place of those before, and look at them for the first time
 * @n_pages: of all addresses, each as likely as any other, whether there is a page or not; where most are holes up to
 *           SAMPLE_SPARSE times as many
 *
 * Return: 0 or -ENOMEM.
 */
int sample_draw(struct sample *sample, size_t n_pages);

/**
 * sample_look() - look which of the pages there are, and which are merged
 * @figures: @present and @merged are set, the others stay
 *
 * Pauses nobody and changes nothing. Pages of a process that has ended count as not present.
 */
void sample_look(struct sample *sample, struct sample_figures *figures);

/**
 * sample_read() - look at their contents, which takes several times as long
 * @figures: @read and @changed are set, the others stay
 *
 * Reads through /proc/PID/mem, and only pages that there are.
 */
void sample_read(struct sample *sample, struct sample_figures *figures);
