/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between a scan and its guard: messages on a SOCK_SEQPACKET pair, one per guest, from one program to its own
 * fork. Private to guard.c, guard_loop.c, guard_slot.c and lease.c.
 */
#pragma once

#include "base/child.h"
#include "base/clock.h"
#include "base/failure.h"
#include "base/process.h"
#include "qmp/pause/lease.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* The guard answers a PING within this, however many guests it has; else it counts as hung. */
#define GUARD_ANSWER_USEC (1 * USEC_PER_SEC)
/* What one step of a pause may take before the scan is told that its QEMU does not answer. */
#define GUARD_STEP_USEC QMP_CLIENT_TIMEOUT_USEC

enum guard_operation {
        GUARD_OPERATION_PING,
        GUARD_OPERATION_PAUSE, /* carries the connection's descriptor */
        GUARD_OPERATION_RESUME,
};

struct guard_request {
        enum guard_operation operation;
        uint32_t id;
        uint64_t max_pause_usec;
        bool is_exclusive; /* see lease_pause_exclusive() */
        struct process qemu;
        char guest[256];
        char socket_path[PATH_MAX];
};

struct guard_answer {
        enum guard_operation operation;
        uint32_t id;
        enum pause_outcome state;
        uint64_t stop_sent_usec, stopped_usec, cont_sent_usec, resumed_usec;
        bool resumed_at_deadline, resumed_by_other;
        char run_state[RUN_STATE_BYTES];
        struct failure failure;
};

/* The scan's side of its guard. */
struct guard {
        struct child child;
        int folder_fd;
        struct process self; /* the guard's */
        struct process scanner;
        bool lost;
        struct failure lost_failure;
        uint32_t last_id;
        struct lease *held[LEASE_GUESTS_MAX]; /* paused, or asked to be */
        size_t held_count;
};

/* What the guard's process runs, see guard_loop.c. Returns when the scan is gone and no guest is paused. */
void guard_loop_run(int control_fd, int folder_fd, const struct process *self, const struct process *scanner);
