/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What QEMU calls the state of a guest, or of its migration. */
#pragma once

/* Room for its name; the longest, "postcopy-recover-setup", has 22 letters. */
#define RUN_STATE_BYTES 32
