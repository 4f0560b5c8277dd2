/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KSM leaves a page alone that has more references than mappings (write_protect_page() in the kernel's mm/ksm.c):
 * somebody may write to it behind the page tables. References cannot be seen from outside the kernel; two of those who
 * pin memory for long tell it themselves:
 *
 *   io_uring    a ring's fdinfo lists the buffers that are registered with it, each of which is pinned
 *
 *   devices     a descriptor of a VFIO group, device or of iommufd, or of vDPA, and at least as many bytes accounted as
 *               locked or pinned (VmLck and VmPin in status) as the guest has RAM: without a virtual IOMMU all of it is mapped
 *               for the device. With one, the guest decides what is, and the sum stays below. VFIO accounts in VmLck, iommufd
 *               and vDPA in VmPin. mlock(2) counts in VmLck too, and pins nothing: where the guest's RAM is locked, VmLck
 *               says nothing
 *
 * A QEMU that somebody has broken into can have rings without number, each with a table without end: what is beyond
 * PINS_MAX_TEXT_BYTES of them is not looked at.
 *
 * A buffer that was registered before QEMU gave the memory below it back and got other memory there is still listed: its
 * new pages are not pinned, and yet called so. Direct I/O pins for a moment only and is not looked for.
 */
#include "scanner/pins.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "base/numbered.h"
#include "pages/page.h"
#include "scanner/descriptor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

struct look {
        struct pins pins;
        int proc_fd;
        bool passed_through;
        size_t n;
        size_t text_bytes; /* of the rings that were read */
};

static int take_buffers(struct look *look, const char *descriptor)
{
        CLEANUP(uring_deinit) struct uring uring = {0};
        struct uring_buffer buffer = {0};
        int r = 0;

        if (look->text_bytes > PINS_MAX_TEXT_BYTES)
                return 0;
        r = uring_read(look->proc_fd, descriptor, &uring);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        look->text_bytes += uring.text ? strlen(uring.text) : 0;
        while (r == 0 && uring_next(&uring, &buffer))
                r = add_range(&look->pins, buffer.begin, buffer.length);
        return r;
}

static bool holds_all(int proc_fd, uint64_t ram_bytes, bool ram_is_locked)
{
        uint64_t locked_kb = 0;
        uint64_t pinned_kb = 0;
        uint64_t bytes = 0;

        return (ram_is_locked || fileio_read_field(proc_fd, "status", "VmLck:", &locked_kb) == 0) &&
               fileio_read_field(proc_fd, "status", "VmPin:", &pinned_kb) == 0 &&
               !__builtin_add_overflow(locked_kb, pinned_kb, &bytes) &&
               !__builtin_mul_overflow(bytes, 1024, &bytes) && bytes > 0 && bytes >= ram_bytes;
}

static int look_at_descriptor(void *context, int folder_fd, const char *name, long number)
{
        struct look *look = context;
        enum descriptor_kind kind = DESCRIPTOR_OTHER;

        (void)number;
        if (look->n++ == PINS_MAX_DESCRIPTORS)
                return 1;
        if (descriptor_identify(folder_fd, name, &kind) < 0)
                return 0;
        if (kind == DESCRIPTOR_URING)
                return take_buffers(look, name);
        look->passed_through = look->passed_through || kind == DESCRIPTOR_VFIO || kind == DESCRIPTOR_VDPA;
        return 0;
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

int pins_read(int proc_fd, uint64_t ram_bytes, bool ram_is_locked, struct pins *ret)
{
        struct look look = {.proc_fd = proc_fd};
        int r = numbered_for_each(proc_fd, "fd", look_at_descriptor, &look);

        if (r == -ENOMEM) {
                pins_deinit(&look.pins);
                return r;
        }
        arrange(&look.pins);
        look.pins.all = look.passed_through && holds_all(proc_fd, ram_bytes, ram_is_locked);
        *ret = look.pins;
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
