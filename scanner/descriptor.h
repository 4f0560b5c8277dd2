/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process's descriptor is, as far as it matters for its memory. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum descriptor_kind {
        DESCRIPTOR_OTHER,
        DESCRIPTOR_URING,
        DESCRIPTOR_VFIO_CONTAINER, /* /dev/vfio/vfio: holds nothing without a group or device */
        DESCRIPTOR_VFIO,           /* a group or device below /dev/vfio, or iommufd */
        DESCRIPTOR_VFIO_DEVICE,    /* that a group handed out */
        DESCRIPTOR_RDMA,
        DESCRIPTOR_VDPA,
        DESCRIPTOR_VHOST, /* of the kernel, and not vDPA */
        DESCRIPTOR_USERFAULTFD,
        DESCRIPTOR_SEV,         /* the guest's memory is encrypted, and pinned for it */
        DESCRIPTOR_GUEST_MEMFD, /* KVM keeps memory of the guest that nobody else sees */
        DESCRIPTOR_DMABUF,      /* or what makes them: pages of a file that a device or the display uses */
};

/**
 * descriptor_identify() - tell a descriptor by the name of its link
 * @fd_folder: the process's open /proc/PID/fd, or a fixture
 * @number: name of the entry
 *
 * Return: 0 or a negative errno.
 */
int descriptor_identify(int fd_folder, const char *number, enum descriptor_kind *ret_kind);

struct uring_buffer {
        uint64_t begin;
        uint64_t length;
};

/**
 * struct uring - what an io_uring says of its registered buffers
 * @text: of its fdinfo; owned
 * @is_told: it says how many there are, which it does not while it is busy
 * @n: how many
 * @rest: of @text, for uring_next()
 */
struct uring {
        char *text;
        bool is_told;
        uint64_t n;
        const char *rest;
        uint64_t n_left;
};

/**
 * uring_read() - read an io_uring's fdinfo
 * @proc_fd: the process's open /proc/PID folder, or a fixture
 * @number: of the descriptor
 *
 * Return: 0 or a negative errno.
 */
int uring_read(int proc_fd, const char *number, struct uring *ret);

void uring_deinit(struct uring *uring);

/* The next buffer that is listed. False when there is none: the list may be shorter than @n says. */
bool uring_next(struct uring *uring, struct uring_buffer *ret);
