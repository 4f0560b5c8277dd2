/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The physical frames behind present pages: what is really merged. */
#pragma once

#include "pages/page_reader.h"

#include <stddef.h>
#include <stdint.h>

/**
 * frames_open() - open the kernel's table of frame flags, and see how far it is to be believed
 * @proc_dir_fd: open /proc folder, borrowed
 *
 * Return: a descriptor, or a negative errno: without it frames are not known.
 */
int frames_open(int proc_dir_fd);

/**
 * frames_find() - the frame words of some pages
 * @span: of the reader of a mapping, whose guest has a kpageflags_fd
 * @ret_frames: one word a page; one that is not there, or that QEMU itself has not mapped, gets FRAME_OWN
 *
 * Return: 0; -EPERM when the kernel hides frame numbers; -ESRCH when the process is gone; another negative
 * errno.
 */
int frames_find(const struct page_span *span, uint64_t *ret_frames);

/**
 * struct frame_users - the kernel's tables that tell how often a frame is used
 * @kpageflags_fd: from frames_open(), borrowed
 * @kpagecount_fd: negative when it cannot be read
 */
struct frame_users {
        int kpageflags_fd;
        int kpagecount_fd;
};

/* @proc_dir_fd: open /proc folder, borrowed for the call. */
void frame_users_init(struct frame_users *users, int proc_dir_fd, int kpageflags_fd);

void frame_users_deinit(struct frame_users *users);

/* How many mappings a frame has that KSM made; 0 when it is not KSM's any more, or that is not known. */
uint64_t frame_users_of_ksm_page(const struct frame_users *users, uint64_t pfn);
