/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/wishes.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const char *const scan_modes[] = {
        [SCAN_MODE_SNAPSHOT] = "snapshot",
        [SCAN_MODE_SLICED] = "sliced",
        [SCAN_MODE_LIVE] = "live",
};
static_assert(ARRAY_SIZE(scan_modes) == SCAN_MODE_COUNT_, "every mode has a name");

const char *scan_mode_to_string(enum scan_mode mode)
{
        return scan_modes[mode];
}

int scan_mode_from_string(const char *name, enum scan_mode *ret)
{
        for (size_t i = 0; i < ARRAY_SIZE(scan_modes); i++)
                if (strcmp(scan_modes[i], name) == 0) {
                        *ret = (enum scan_mode)i;
                        return 0;
                }
        return -EINVAL;
}
