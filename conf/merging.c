/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/merging.h"

#include <assert.h>

const char *merging_policy_to_string(enum merging_policy policy)
{
        static const char *const names[] = {
                [MERGING_POLICY_OFF] = "off",
                [MERGING_POLICY_OBSERVE] = "observe",
                [MERGING_POLICY_ADVISE] = "advise",
                [MERGING_POLICY_ACT] = "act",
        };

        static_assert(sizeof(names) / sizeof(names[0]) == MERGING_POLICY_MAX_, "every policy has a name");
        return names[policy];
}

const char *merging_switch_to_string(enum merging_switch value)
{
        static const char *const names[] = {
                [MERGING_SWITCH_KEEP] = "keep",
                [MERGING_SWITCH_NO] = "no",
                [MERGING_SWITCH_YES] = "yes",
        };

        static_assert(sizeof(names) / sizeof(names[0]) == MERGING_SWITCH_MAX_, "every value has a name");
        return names[value];
}
