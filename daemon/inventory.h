/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests that a command is about: connected, their RAM found, nothing read yet. */
#pragma once

#include "base/failure.h"
#include "conf/settings.h"
#include "qmp/guest.h"
#include "scanner/guest_ram.h"

#include <stddef.h>

/**
 * struct inventory_guest - one guest, or what is known of one that could not be reached
 * @name: the guest's; the socket's path while that is all we know
 * @qmp: NULL when it could not be reached
 * @ram: NULL when its memory could not be found
 * @error: 0, or the negative errno that lost it; @failure says why
 */
struct inventory_guest {
        char *name;
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
 * inventory_new() - reach all guests of @settings at once and find their RAM
 *
 * Starts threads for the time of the call, since each guest may take seconds to answer.
 *
 * A guest that fails stays in the inventory with its error; so does a --guest name that no guest has. A
 * second guest of the same name, or a socket given twice, fails: its figures could not be told apart.
 *
 * Return: 0; -ENOMEM, -EAGAIN.
 */
int inventory_new(const struct settings *settings, struct inventory **ret);

struct inventory *inventory_free(struct inventory *inventory);
