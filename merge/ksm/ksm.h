/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel says of KSM: settings and counters of the host, progress in one process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KSM_DIR        "/sys/kernel/mm/ksm"
#define KSM_MAX_FILES  128
#define KSM_NAME_BYTES 64
#define KSM_TEXT_BYTES 128

/**
 * struct ksm_file - one file of the kernel's ksm folder
 * @name: its name
 * @text: its content without the line end
 * @value: the same as a number, where it is one
 */
struct ksm_file {
        char name[KSM_NAME_BYTES];
        char text[KSM_TEXT_BYTES];
        int64_t value;
        bool is_number;
};

/**
 * struct ksm - everything in that folder, sorted by name
 * @available: the kernel has KSM
 */
struct ksm {
        struct ksm_file files[KSM_MAX_FILES];
        size_t n_files;
        bool available;
};

/**
 * ksm_read() - read the whole folder
 * @path: KSM_DIR, or a fixture
 *
 * A kernel without KSM is no error: @ret then says that it is not available. Files that cannot be read are
 * left out.
 *
 * Return: 0, or a negative errno when the folder exists but cannot be read.
 */
int ksm_read(const char *path, struct ksm *ret);

/* One file by its name; NULL when there is none. */
const struct ksm_file *ksm_find(const struct ksm *ksm, const char *name);

/**
 * ksm_get() - the number in one file
 *
 * Return: whether it is there.
 */
bool ksm_get(const struct ksm *ksm, const char *name, int64_t *ret_value);

/**
 * struct ksm_progress - how far KSM is
 * @full_scans: its passes since boot
 * @pages_scanned: pages that it looked at since boot; 0 on kernels that do not tell
 * @merged_pages: pages_shared + pages_sharing + ksm_zero_pages, of the whole host
 */
struct ksm_progress {
        int64_t full_scans;
        int64_t pages_scanned;
        int64_t merged_pages;
};

/* Reads it: five small files, for who asks often. Return: 0 or a negative errno. */
int ksm_read_progress(const char *path, struct ksm_progress *ret);

/* Whether ksmd is switched on (run = 1): one small file, for who asks often. False when it cannot be told. */
bool ksm_is_running(const char *path);

/**
 * ksm_visited_pages() - how many pages of a process KSM has looked at
 * @proc_fd: its open /proc/PID folder
 *
 * ksm_rmap_items of /proc/PID/ksm_stat (kernel 6.1): KSM keeps one item for every page that it has met.
 *
 * Return: 0; -ENODATA when the file lacks it; -ENOENT on older kernels; another negative errno.
 */
int ksm_visited_pages(int proc_fd, uint64_t *ret_pages);

/**
 * ksm_frames_needed() - the KSM ceiling: how many KSM pages @copies equal pages need
 * @max_page_sharing: most users of one KSM page; 0: no limit
 *
 * ceil(copies / max_page_sharing), docs/sharing-model.md.
 */
static inline uint64_t ksm_frames_needed(uint64_t copies, uint64_t max_page_sharing)
{
        if (copies == 0 || max_page_sharing == 0)
                return copies > 0;
        return (copies - 1) / max_page_sharing + 1;
}

/* KSM keeps an item of so many bytes for every page that it has met (struct ksm_rmap_item on 64 bits; the
 * kernel's Documentation/admin-guide/mm/ksm.rst reckons with its size in general_profit). */
#define KSM_ITEM_BYTES 64
