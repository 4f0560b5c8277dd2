/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What guests over QMP and guests over libvirt share. Private to guest.c and virt/domain_guest.c. */
#pragma once

#include "qmp/guest.h"

/* An empty guest; NULL when memory is out. */
struct qmp_guest *qmp_guest_new(void);

/* Sets found_state. */
int qmp_guest_ask_found_state(struct qmp_guest *guest, struct failure *failure);

/* Asks QEMU for the RAM blocks. */
int qmp_guest_ask_blocks(struct qmp_guest *guest, struct ram_blocks *ret_blocks, struct failure *failure);

/* Makes @pid the guest's process in place of any earlier one; -ESRCH when there is none. */
int qmp_guest_hold_process(struct qmp_guest *guest, pid_t pid);

/* Returns 0 when the guest's process maps all of the guest's blocks and lives; -ESRCH when it does not. */
int qmp_guest_check_process(const struct qmp_guest *guest);

/* Sets the sentence for a process that may not be read; returns -EACCES. */
int qmp_guest_deny(pid_t pid, struct failure *failure);
