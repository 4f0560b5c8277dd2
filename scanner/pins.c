/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KSM leaves a page alone that has more references than mappings (write_protect_page() in the kernel's mm/ksm.c):
 * somebody may write to it behind the page tables. References cannot be seen from outside the kernel; two of those who
 * pin memory for long tell it themselves:
 *
 *   io_uring    a ring's fdinfo lists the buffers that are registered with it, each of which is pinned:
 *
 *                     UserBufs:	2
 *                         0: 0x7f3c5c000000/2097152
 *                         1: <none>
 *
 *   VFIO        a descriptor of a VFIO group, device or of iommufd, and at least as many bytes accounted as locked or
 *               pinned (VmLck and VmPin in status) as the guest has RAM: without a virtual IOMMU all of it is mapped for the
 *               device. With one, the guest decides what is, and the sum stays below
 *
 * A buffer that was registered before QEMU gave the memory below it back and got other memory there is still listed: its
 * new pages are not pinned, and yet called so. Direct I/O pins for a moment only and is not looked for.
 */
#include "scanner/pins.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "scanner/page.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_LINK     "anon_inode:[io_uring]"
#define BUFFERS_KEY   "UserBufs:"
#define RING_ATTEMPTS 3

static int add_range(struct pins *pins, uint64_t begin, uint64_t length)
{
        struct pin_range *larger = NULL;
        uint64_t end = 0;

        if (length == 0 || __builtin_add_overflow(begin, length, &end) || pins->n_ranges == PINS_MAX_RANGES)
                return 0;
        /* Grows at powers of two. */
        if ((pins->n_ranges & (pins->n_ranges - 1)) == 0) {
                const size_t capacity = pins->n_ranges ? 2 * pins->n_ranges : 1;

                larger = reallocarray(pins->ranges, capacity, sizeof(*larger));
                if (!larger)
                        return -ENOMEM;
                pins->ranges = larger;
        }
        /* A page that is pinned in part is pinned. */
        pins->ranges[pins->n_ranges++] = (struct pin_range){
                .begin = begin & ~(PAGE_BYTES - 1),
                .end = end > UINT64_MAX - PAGE_BYTES ? UINT64_MAX
                                                     : (end + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1),
        };
        return 0;
}

/* The line that follows, or NULL. */
static const char *next_line(const char *line)
{
        const char *end = strchr(line, '\n');

        return end && end[1] ? end + 1 : NULL;
}

/* Reads "NUMBER: 0xADDRESS/LENGTH". False for any other line. */
static bool parse_buffer(const char *line, uint64_t *ret_begin, uint64_t *ret_length)
{
        char *end = NULL;

        while (*line == ' ')
                line++;
        if (!isdigit((unsigned char)*line))
                return false;
        (void)strtoull(line, &end, 10);
        if (strncmp(end, ": 0x", 4) != 0 || !isxdigit((unsigned char)end[4]))
                return false;
        errno = 0;
        *ret_begin = strtoull(end + 2, &end, 16);
        if (errno || *end != '/' || !isdigit((unsigned char)end[1]))
                return false;
        *ret_length = strtoull(end + 1, &end, 10);
        return errno == 0 && (*end == '\n' || *end == '\0');
}

/* The lines below the key: as many as it says, or until one has no number. */
static int parse_buffers(struct pins *pins, const char *text)
{
        const char *line = strstr(text, BUFFERS_KEY);
        unsigned long n = line ? strtoul(line + sizeof(BUFFERS_KEY) - 1, NULL, 10) : 0;
        int r = 0;

        while (r == 0 && n-- > 0 && (line = next_line(line)) && *line == ' ') {
                uint64_t begin = 0;
                uint64_t length = 0;

                if (parse_buffer(line, &begin, &length))
                        r = add_range(pins, begin, length);
        }
        return r;
}

static int read_ring(struct pins *pins, int proc_fd, const char *descriptor)
{
        char path[sizeof("fdinfo/") + NAME_MAX] = "";

        (void)snprintf(path, sizeof(path), "fdinfo/%s", descriptor);
        /* While the ring is in use its buffers are not printed. */
        for (int i = 0; i < RING_ATTEMPTS; i++) {
                CLEANUP_FREE char *text = NULL;
                int r = fileio_read_text(proc_fd, path, &text);

                if (r == -ENOMEM)
                        return r;
                if (r == 0 && strstr(text, BUFFERS_KEY))
                        return parse_buffers(pins, text);
        }
        return 0;
}

static bool starts_with(const char *text, const char *start)
{
        return strncmp(text, start, strlen(start)) == 0;
}

static bool is_passed_through(const char *link)
{
        /* A container without a group or device holds nothing. */
        return (starts_with(link, "/dev/vfio/") && strcmp(link, "/dev/vfio/vfio") != 0) ||
               strcmp(link, "/dev/iommu") == 0;
}

/* kB in a line of status, in bytes; 0 when there is none. */
static uint64_t status_bytes(const char *text, const char *key)
{
        const char *line = strstr(text, key);
        uint64_t bytes = 0;

        if (!line || __builtin_mul_overflow(strtoull(line + strlen(key), NULL, 10), 1024, &bytes))
                return 0;
        return bytes;
}

static bool holds_all(int proc_fd, uint64_t ram_bytes)
{
        CLEANUP_FREE char *text = NULL;
        uint64_t bytes = 0;

        return fileio_read_text(proc_fd, "status", &text) == 0 &&
               !__builtin_add_overflow(status_bytes(text, "\nVmLck:"), status_bytes(text, "\nVmPin:"),
                                       &bytes) &&
               bytes > 0 && bytes >= ram_bytes;
}

static int look_at_descriptors(struct pins *pins, int proc_fd, DIR *dir, bool *ret_passed_through)
{
        const struct dirent *entry = NULL;
        int r = 0;

        for (size_t n = 0; r == 0 && n < PINS_MAX_DESCRIPTORS && (entry = readdir(dir)); n++) {
                char link[64] = "";

                if (readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1) <= 0)
                        continue;
                if (strcmp(link, RING_LINK) == 0)
                        r = read_ring(pins, proc_fd, entry->d_name);
                *ret_passed_through = *ret_passed_through || is_passed_through(link);
        }
        return r;
}

static int compare_ranges(const void *a, const void *b)
{
        const struct pin_range *x = a;
        const struct pin_range *y = b;

        return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* In order, and those that touch as one. */
static void arrange(struct pins *pins)
{
        size_t n = 0;

        if (pins->n_ranges == 0)
                return;
        qsort(pins->ranges, pins->n_ranges, sizeof(*pins->ranges), compare_ranges);
        for (size_t i = 1; i < pins->n_ranges; i++) {
                struct pin_range *last = &pins->ranges[n];

                if (pins->ranges[i].begin > last->end)
                        pins->ranges[++n] = pins->ranges[i];
                else if (pins->ranges[i].end > last->end)
                        last->end = pins->ranges[i].end;
        }
        pins->n_ranges = n + 1;
}

int pins_read(int proc_fd, uint64_t ram_bytes, struct pins *ret)
{
        struct pins pins = {0};
        bool passed_through = false;
        DIR *dir = fileio_open_folder(proc_fd, "fd");
        int r = 0;

        if (dir) {
                r = look_at_descriptors(&pins, proc_fd, dir, &passed_through);
                (void)closedir(dir);
        }
        if (r < 0) {
                pins_deinit(&pins);
                return r;
        }
        arrange(&pins);
        pins.all = passed_through && holds_all(proc_fd, ram_bytes);
        *ret = pins;
        return 0;
}

void pins_deinit(struct pins *pins)
{
        free(pins->ranges);
        *pins = (struct pins){0};
}

bool pins_hold(const struct pins *pins, uint64_t hva)
{
        size_t low = 0;
        size_t high = pins->n_ranges;

        if (pins->all)
                return true;
        /* The first range that ends behind the address. */
        while (low < high) {
                const size_t middle = low + (high - low) / 2;

                if (pins->ranges[middle].end <= hva)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < pins->n_ranges && pins->ranges[low].begin <= hva;
}
