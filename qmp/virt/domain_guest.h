/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest that libvirt runs. */
#pragma once

#include "base/failure.h"
#include "qmp/guest.h"
#include "qmp/virt/bridge.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * domain_guest_open() - qmp_guest_open() for a domain of libvirt
 * @bridge: borrowed for the call
 * @use_monitor: ask QEMU for the RAM blocks, over the monitor; else they are found by the domain's XML and
 * the memory map of its process
 *
 * Return: as qmp_guest_open(); -ENOENT and -ENOTUNIQ when the blocks cannot be found without the monitor.
 */
int domain_guest_open(const struct bridge *bridge, const char *uuid, bool use_monitor, uint64_t timeout_usec,
                      struct qmp_guest **ret_guest, struct failure *failure);

/**
 * domain_guest_watch() - see to it that somebody else's resume of a domain is told at once
 * @guest: one of domain_guest_open()
 *
 * For the pause that comes next; needed by who changes its memory under it.
 *
 * Return: 0, or a negative errno with @failure, as when libvirt sends no events.
 */
int domain_guest_watch(struct qmp_guest *guest, struct failure *failure);
