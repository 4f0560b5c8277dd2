/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The physical frames behind present pages: what is really merged. */
#pragma once

#include "scanner/guest_ram.h"

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
 * @page: first page, counted from the mapping's start
 * @n_pages: at most PRESENT_RANGE_PAGES
 * @kpageflags_fd: from frames_open()
 * @ret_frames: @n_pages words; a page that is not there, or that QEMU itself has not mapped, gets FRAME_OWN
 *
 * Return: 0; -EPERM when the kernel hides frame numbers; -ESRCH when the process is gone; another negative
 * errno.
 */
int frames_find(const struct guest_ram *ram, const struct mapping *mapping, uint64_t page, size_t n_pages,
                int kpageflags_fd, uint64_t *ret_frames);

/**
 * frames_read_range() - fill in the frame words of present pages
 *
 * As frames_find(), for the pages of @block in @mapping whose fingerprint says that they were present.
 */
int frames_read_range(const struct guest_ram *ram, struct pages_block *block, const struct mapping *mapping,
                      uint64_t page, size_t n_pages, int kpageflags_fd);

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
