/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What QEMU's names for states mean to us. */
#pragma once

#include <stdbool.h>

/**
 * runstate_migration_is_over() - whether a migration of this status can no longer move the guest
 * @status: of query-migrate or a MIGRATION event; NULL: there never was one
 *
 * An unknown status counts as under way.
 */
bool runstate_migration_is_over(const char *status);

/* Whether a migration of this status ended with the guest still here. */
bool runstate_migration_is_undone(const char *status);
