/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether pages may be given back: takes plain facts, gives a sentence. */
#pragma once

#include "base/failure.h"
#include "daemon/reclaim/reclaim.h"
#include "daemon/reclaim/reclaim_room.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What QEMU has open and locked; see reclaim_facts.h. */
struct reclaim_process_facts {
        bool vfio;        /* /dev/vfio/…, /dev/iommu: devices reach guest memory by the IOMMU */
        bool rdma;        /* /dev/infiniband/… */
        bool vdpa;        /* /dev/vhost-vdpa-… */
        bool vhost;       /* another /dev/vhost-…: kernel threads reach guest memory */
        bool uring;       /* an io_uring with registered buffers */
        bool userfaultfd; /* another process may supply absent pages */
        bool encrypted;   /* /dev/sev, guest_memfd: KVM has guest memory pinned, or keeps some of its own */
        bool dmabuf;      /* /dev/udmabuf, a dma-buf: pages of a RAM file are a buffer of the display */
        uint64_t locked_bytes;
        uint64_t pinned_bytes;
};

/* Which other users can reach a RAM file. */
enum reclaim_holder {
        RECLAIM_HOLDER_NONE,
        RECLAIM_HOLDER_MAPS_SHARED, /* another process, or QEMU itself beside its private mapping */
        RECLAIM_HOLDER_HAS_OPEN,    /* another process */
        RECLAIM_HOLDER_MAPS_PRIVATE,
};

/**
 * struct reclaim_block_facts - one mapping of a RAM block
 * @is_backend_known: QEMU was asked for the next two
 * @prealloc: of its memory backend
 * @writer: type of a device of the guest that writes to its memory while it is paused, or NULL
 * @device: type of the memory device that it belongs to (dimm, nvdimm, virtio-mem, …), or NULL
 * @is_read_only: its QEMU may not write to it
 * @is_tmpfs: its file lies in memory
 * @room: of its file system
 */
struct reclaim_block_facts {
        enum reclaim_kind kind;
        bool is_backend_known;
        bool prealloc;
        const char *writer;
        const char *device;
        bool hugetlb;
        bool locked;
        bool is_read_only;
        bool is_tmpfs;
        struct reclaim_room room;
        enum reclaim_holder holder;
        pid_t holder_pid;
};

/**
 * reclaim_judge_process() - the part of reclaim_judge() about the process, whose facts can change at any
 * moment
 * @ret_reason: why not, as a sentence
 */
bool reclaim_judge_process(const struct reclaim_process_facts *process, enum reclaim_kind kind,
                           struct failure *ret_reason);

/**
 * reclaim_judge() - whether pages of a mapping may be given back
 * @ret_reason: why not, as a sentence
 *
 * It leaves out what is known only while acting (the guest can be paused, there is no migration).
 */
bool reclaim_judge(const struct reclaim_process_facts *process, const struct reclaim_block_facts *block,
                   struct failure *ret_reason);
