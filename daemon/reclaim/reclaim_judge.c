/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why pages are not given back:
 *
 *   pins        A device or kernel user that has a page pinned for good (VFIO, RDMA, io_uring, vDPA, SEV, a
 *               dma-buf of virtio-gpu) keeps using the old page when the guest gets a new one: the two would
 *               no longer see the same memory. The callers of ram_block_discard_disable() in QEMU are the
 *               list to follow.
 *   writers     Something can write to a shared page while the virtual CPUs are stopped. Some devices of QEMU
 *               do (qmp/writers.c). QEMU stops its vhost backends with the guest, but nothing outside can
 *               prove that of a process that maps the file, nor of kernel threads.
 *   faults      With userfaultfd another process decides what an absent page holds.
 *   promises    The operator wants memory that was preallocated or locked to be present. A hole needs a page
 *               again when the guest writes to it. If none is left (in the pool of huge pages, in the size of
 *               a tmpfs), SIGBUS kills QEMU. A huge page that is punched loses its reservation too, so the
 *               pool may be empty then.
 *   devices     virtio-mem, NVDIMMs and similar devices keep their own account of which parts are present.
 *
 * Each of these endangers the guest itself, so the answer is no for both kinds of pages, with two exceptions
 * that concern shared memory only. The kernel's vhost works through QEMU's own mapping, which for a private
 * mapping is not the file. A dma-buf of a page of the file is not guest memory where the guest has a copy of
 * that page.
 */
#include "daemon/reclaim/reclaim_judge.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define LOCKED "memory of its QEMU is locked (mlock)"

static const char *find_pin(const struct reclaim_process_facts *process)
{
        if (process->vfio)
                return "its QEMU uses VFIO or iommufd: a device would go on using the old page";
        if (process->rdma)
                return "its QEMU uses RDMA, which keeps pages pinned";
        if (process->vdpa)
                return "its QEMU uses vhost-vdpa, which keeps pages pinned";
        if (process->uring)
                return "its QEMU has buffers registered with io_uring, which keeps pages pinned";
        if (process->encrypted)
                return "the guest's memory is encrypted or private (SEV, guest_memfd): KVM keeps pages "
                       "pinned";
        if (process->pinned_bytes > 0)
                return "pages of its QEMU are pinned (VmPin)";
        return NULL;
}

/* What speaks against giving back shared memory only. */
static const char *find_sharer(const struct reclaim_process_facts *process)
{
        if (process->vhost)
                return "its QEMU uses vhost of the kernel, which may write to its memory";
        if (process->dmabuf)
                return "its QEMU uses udmabuf (virtio-gpu with blob=on): a buffer would go on using the old "
                       "page";
        return NULL;
}

static const char *find_promise(const struct reclaim_block_facts *block)
{
        if (block->hugetlb)
                return "it is made of huge pages: one that is given back loses its reservation, and the "
                       "guest dies if "
                       "the pool is empty when it writes there again";
        if (block->locked)
                return LOCKED;
        if (!block->is_backend_known)
                return "whether it is preallocated can only be asked over the monitor: use --libvirt-monitor";
        if (block->prealloc)
                return "it is preallocated (prealloc=on): its operator wants it to be there at all times";
        return NULL;
}

static const char *find_place(const struct reclaim_block_facts *block)
{
        if (block->is_read_only && block->kind == RECLAIM_KIND_ZERO)
                return "its QEMU has it mapped read-only: its content is somebody else's";
        if (!block->is_tmpfs)
                return "its file lies on a disk or a device, not in memory";
        if (block->room.is_limited && block->room.promised_bytes == UINT64_MAX)
                return "what the files on its tmpfs may grow to cannot be told, and what is given back could "
                       "be taken by "
                       "them: the guest dies if nothing is left when it writes there again";
        if (block->room.is_limited && block->room.promised_bytes > block->room.size_bytes)
                return "its tmpfs is smaller than the files on it: what is given back could be taken by "
                       "others, and the "
                       "guest dies if nothing is left when it writes there again";
        return NULL;
}

static bool judge_writer(const struct reclaim_block_facts *block, struct failure *ret_reason)
{
        if (!block->writer || block->kind != RECLAIM_KIND_ZERO)
                return true;
        (void)failure_set(ret_reason, -EOPNOTSUPP,
                          "it has a device that may write to its memory while it is paused (%s)",
                          block->writer);
        return false;
}

static bool judge_device(const char *device, struct failure *ret_reason)
{
        if (!device || strcmp(device, "dimm") == 0)
                return true;
        (void)failure_set(ret_reason, -EOPNOTSUPP,
                          "it belongs to a device that keeps its own account of its memory (%s)", device);
        return false;
}

static bool judge_holder(const struct reclaim_block_facts *block, struct failure *ret_reason)
{
        const int pid = (int)block->holder_pid;

        switch (block->holder) {
        case RECLAIM_HOLDER_NONE:
                return true;
        case RECLAIM_HOLDER_MAPS_SHARED:
                (void)failure_set(ret_reason, -EBUSY,
                                  "process %d has its file mapped shared too, as a vhost-user backend has, "
                                  "and may write "
                                  "to it",
                                  pid);
                return false;
        case RECLAIM_HOLDER_MAPS_PRIVATE:
                (void)failure_set(ret_reason, -EBUSY, "process %d has its file mapped too", pid);
                return false;
        case RECLAIM_HOLDER_HAS_OPEN:
                break;
        }
        (void)failure_set(ret_reason, -EBUSY, "process %d has its file open too, and may write to it", pid);
        return false;
}

static bool say_reason(const char *reason, struct failure *ret_reason)
{
        if (reason)
                (void)failure_set(ret_reason, -EBUSY, "%s", reason);
        return !reason;
}

bool reclaim_judge_process(const struct reclaim_process_facts *process, enum reclaim_kind kind,
                           struct failure *ret_reason)
{
        const char *reason = find_pin(process);

        if (!reason && process->userfaultfd)
                reason = "its QEMU uses userfaultfd (postcopy migration, or a background snapshot)";
        if (!reason && kind == RECLAIM_KIND_ZERO)
                reason = find_sharer(process);
        if (!reason && process->locked_bytes > 0)
                reason = LOCKED;
        return say_reason(reason, ret_reason);
}

bool reclaim_judge(const struct reclaim_process_facts *process, const struct reclaim_block_facts *block,
                   struct failure *ret_reason)
{
        const char *reason = find_promise(block);

        if (!reason)
                reason = find_place(block);
        return reclaim_judge_process(process, block->kind, ret_reason) && say_reason(reason, ret_reason) &&
               judge_writer(block, ret_reason) && judge_device(block->device, ret_reason) &&
               judge_holder(block, ret_reason);
}
