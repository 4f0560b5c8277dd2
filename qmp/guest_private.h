/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What guests over QMP and guests over libvirt have in common. Private to guest.c and virt/domain_guest.c. */
#pragma once

#include "qmp/guest.h"

/* A guest with nothing in it; NULL without memory. */
struct qmp_guest *qmp_guest_new(void);

/* Sets found_state. */
int qmp_guest_ask_found_state(struct qmp_guest *guest, struct failure *failure);

/* Asks QEMU for the RAM blocks. */
int qmp_guest_ask_blocks(struct qmp_guest *guest, struct ram_blocks *ret_blocks, struct failure *failure);

/* Makes @pid the guest's process, in place of one that it had; -ESRCH when there is none. */
int qmp_guest_hold_process(struct qmp_guest *guest, pid_t pid);

/* 0 when the guest's process maps all of the guest's blocks and lives; -ESRCH when it does not. */
int qmp_guest_check_process(const struct qmp_guest *guest);

/* The sentence of a process that may not be looked at; -EACCES. */
int qmp_guest_deny(pid_t pid, struct failure *failure);
