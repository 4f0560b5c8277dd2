/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/runstate.h"

#include <stddef.h>
#include <string.h>

bool runstate_migration_is_undone(const char *status)
{
        return status && (strcmp(status, "cancelled") == 0 || strcmp(status, "failed") == 0);
}

bool runstate_migration_is_over(const char *status)
{
        return !status || !*status || strcmp(status, "none") == 0 || strcmp(status, "completed") == 0 ||
               runstate_migration_is_undone(status);
}
