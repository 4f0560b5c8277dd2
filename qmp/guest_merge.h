/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Marks a guest's RAM for KSM while the guest runs. */
#pragma once

#include "base/failure.h"
#include "qmp/guest.h"

#include <stdbool.h>

/**
 * qmp_guest_set_merge() - make QEMU mark a RAM block for KSM, or remove the mark
 * @id: the block's
 * @merged_bytes: how much of the guest is in KSM's pages; removing the mark copies them before QEMU answers,
 * and the time-out allows for it
 *
 * Removing the mark takes memory, and QEMU does nothing else meanwhile. QEMU also says yes for RAM where the
 * mark has no effect (share=on): only the mapping's flag afterwards shows the result.
 *
 * Return: 0; -EREMOTEIO when QEMU or libvirt refuses; another negative errno.
 */
int qmp_guest_set_merge(struct qmp_guest *guest, const char *id, bool merge, uint64_t merged_bytes,
                        struct failure *failure);
