/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests that a command is about: connected, their RAM found, nothing read yet. */
#pragma once

#include "base/failure.h"
#include "conf/wishes.h"
#include "qmp/guest.h"
#include "qmp/virt/bridge.h"
#include "scanner/guest_ram.h"

#include <stdbool.h>
#include <stddef.h>

/**
 * struct inventory_guest - one guest, or what is known of one that could not be reached
 * @name: the guest's; the socket's path, or libvirt's URI, while that is all we know
 * @domain_uuid: of a domain of libvirt; NULL of a guest that is reached over its QMP socket
 * @by_libvirt: it is a domain, or libvirt itself
 * @qmp: NULL when it could not be reached
 * @ram: NULL when its memory could not be found
 * @error: 0, or the negative errno that lost it; @failure says why
 */
struct inventory_guest {
        char *name;
        char *domain_uuid;
        bool by_libvirt;
        struct qmp_guest *qmp;
        struct guest_ram *ram;
        int error;
        struct failure failure;
};

struct inventory {
        struct inventory_guest *guests;
        size_t n_guests;
};

/**
 * inventory_new() - connect to all guests of @choice at once and find their RAM
 * @bridge: to libvirt; borrowed for the call; NULL without one
 * @bridge_failure: why there is none, though @choice names a libvirt
 *
 * Starts threads for the time of the call, since each guest may take seconds to answer.
 *
 * A guest that fails stays in the inventory with its error. So does a --guest name that no guest has. A
 * second guest of the same name, a socket given twice, or a domain that is also given by its QMP socket,
 * fails: its figures could not be told apart, or would count twice. A libvirt that does not answer is a guest
 * that failed, named by its URI.
 *
 * Return: 0; -ENOMEM, -EAGAIN.
 */
int inventory_new(const struct guest_choice *choice, const struct scan_wish *scan,
                  const struct bridge *bridge, const struct failure *bridge_failure, struct inventory **ret);

/**
 * inventory_start_bridge() - start the bridge to libvirt, if one is wanted
 * @ret_failure: why it could not be started
 *
 * Call it while the process has one thread.
 *
 * Return: NULL when it could not be started, or none is wanted.
 */
struct bridge *inventory_start_bridge(const struct guest_choice *choice, struct failure *ret_failure);

struct inventory *inventory_free(struct inventory *inventory);
