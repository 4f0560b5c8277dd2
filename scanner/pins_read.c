/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KSM does not merge a page that has more references than mappings (write_protect_page() in the kernel's
 * mm/ksm.c): another user may write to it behind the page tables. References cannot be seen from outside the
 * kernel. Two kinds of users that pin memory for long report it themselves:
 *
 *   io_uring    a ring's fdinfo lists the buffers that are registered with it, each of which is pinned
 *
 *   devices     A process has a descriptor of a VFIO group, device or of iommufd, or of vDPA, and at least as
 *               many bytes accounted as locked or pinned (VmLck and VmPin in status) as the guest has RAM.
 *               Without a virtual IOMMU all of the RAM is mapped for the device. With one, the guest decides
 *               what is mapped, and the sum stays below. VFIO accounts in VmLck, iommufd and vDPA in VmPin.
 *               mlock(2) counts in VmLck too but pins nothing, so where the guest's RAM is locked, VmLck says
 *               nothing.
 *
 * A QEMU under an attacker's control can have rings without number, each with a table without end. Their text
 * beyond PINS_MAX_TEXT_BYTES is not read.
 *
 * A buffer that was registered before QEMU gave the memory below it back and got other memory there is still
 * listed: its new pages are not pinned, and yet reported so. Direct I/O pins only for a moment and is
 * ignored.
 */
#include "scanner/pins_read.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "base/numbered.h"
#include "pages/page.h"
#include "scanner/descriptor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct look {
        struct pins pins;
        int proc_fd;
        bool passed_through;
        size_t n;
        size_t text_bytes; /* of all rings read so far */
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
                r = pins_add(&look->pins, buffer.begin, buffer.length);
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

static int take_pinned_descriptor(void *context, int folder_fd, const char *name, long number)
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

int pins_read(int proc_fd, uint64_t ram_bytes, bool ram_is_locked, struct pins *ret)
{
        struct look look = {.proc_fd = proc_fd};
        int r = numbered_for_each(proc_fd, "fd", take_pinned_descriptor, &look);

        if (r == -ENOMEM) {
                pins_deinit(&look.pins);
                return r;
        }
        pins_arrange(&look.pins);
        look.pins.all = look.passed_through && holds_all(proc_fd, ram_bytes, ram_is_locked);
        *ret = look.pins;
        return 0;
}
