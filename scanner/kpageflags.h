/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc/kpageflags says of a frame, and how far it is to be believed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * kpageflags_probe() - find out whether this kernel calls each anonymous page one of KSM's
 * @proc_dir_fd: open /proc folder, borrowed
 *
 * Once in a process, before its threads ask for frames. Where it cannot be found out, or nobody has tried,
 * the kernel is believed.
 */
void kpageflags_probe(int proc_dir_fd, int kpageflags_fd);

/* Whether the kernel says of the page at @page, ours and never marked for KSM, that it is one of KSM's. */
bool kpageflags_is_wrong_of(int pagemap_fd, int kpageflags_fd, const void *page);

/* For tests: takes the part of the probe. Returns what was so before. */
bool kpageflags_doubt_ksm(bool doubt);

/**
 * kpageflags_is_ksm() - whether a frame is one of KSM's
 * @flags: its word of /proc/kpageflags
 * @exclusive: it is mapped once. Where the kernel is not believed, such a frame counts as none of KSM's: it
 * saves nothing.
 */
bool kpageflags_is_ksm(uint64_t flags, bool exclusive);

/* The frame word of a present page, from its pagemap entry and its frame's word of /proc/kpageflags. */
uint64_t kpageflags_frame_word(uint64_t entry, uint64_t flags);
