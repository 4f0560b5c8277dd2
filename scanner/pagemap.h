/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's /proc/PID/pagemap: an 8-byte entry a page, and the PAGEMAP_SCAN ioctl on it. The ioctl's
 * numbers are declared here because the oldest headers we build with (6.1) do not have them. Source: the
 * kernel's Documentation/admin-guide/mm/pagemap.rst.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)
/* The page is mapped here and nowhere else. */
#define PAGEMAP_EXCLUSIVE (UINT64_C(1) << 56)
/* Reads as 0 without CAP_SYS_ADMIN. */
#define PAGEMAP_PFN ((UINT64_C(1) << 55) - 1)

#define PAGEMAP_SCAN_PRESENT (UINT64_C(1) << 3)
#define PAGEMAP_SCAN_SWAPPED (UINT64_C(1) << 4)
#define PAGEMAP_SCAN_ZERO    (UINT64_C(1) << 5) /* mapped to the kernel's zero page */
#define PAGEMAP_SCAN_HUGE    (UINT64_C(1) << 6) /* mapped by a huge page */

struct pagemap_scan_region {
        uint64_t start;
        uint64_t end;
        uint64_t categories;
};

struct pagemap_scan_argument {
        uint64_t size;
        uint64_t flags;
        uint64_t start;
        uint64_t end;
        uint64_t walk_end;
        uint64_t vec;
        uint64_t vec_len;
        uint64_t max_pages;
        uint64_t category_inverted;
        uint64_t category_mask;
        uint64_t category_anyof_mask;
        uint64_t return_mask;
};

#define PAGEMAP_SCAN_IOCTL _IOWR('f', 16, struct pagemap_scan_argument)

/* Whether the kernel has PAGEMAP_SCAN for this pagemap file. */
bool pagemap_has_scan(int pagemap_fd);

/**
 * pagemap_read() - read the entries of @n_pages pages from address @hva on
 *
 * Return: 0; -ESRCH when the process is gone; another negative errno.
 */
int pagemap_read(int pagemap_fd, uint64_t hva, uint64_t *ret_entries, size_t n_pages);
