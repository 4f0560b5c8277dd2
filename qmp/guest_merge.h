/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Marking a guest's RAM for KSM, while the guest runs. */
#pragma once

#include "base/failure.h"
#include "qmp/guest.h"

#include <stdbool.h>

/**
 * qmp_guest_set_merge() - have QEMU mark a RAM block for KSM, or take the mark away
 * @id: the block's
 *
 * @merged_bytes: how much of the guest is in KSM's pages; taking the mark away copies them before QEMU answers, and is
 *                given time for it
 *
 * Taking it away takes memory, and QEMU does nothing else meanwhile. QEMU says yes for RAM for which this does nothing
 * (share=on): what counts is the mapping's flag afterwards.
 *
 * Return: 0; -EREMOTEIO when QEMU or libvirt refuses; another negative errno.
 */
int qmp_guest_set_merge(struct qmp_guest *guest, const char *id, bool merge, uint64_t merged_bytes,
                        struct failure *failure);
