/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A switch of somebody else's that may be left as it is. */
#pragma once

enum tristate {
        TRISTATE_KEEP,
        TRISTATE_NO,
        TRISTATE_YES,
};
