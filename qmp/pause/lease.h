/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pausing guests for a bounded time: the only way in which the program stops a guest. */
#pragma once

#include "base/failure.h"
#include "qmp/guest.h"
#include "qmp/pause/guard.h"
#include "qmp/pause/pause_outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Guests that may be leased at a time. */
#define LEASE_GUESTS_MAX 1024

/* Initialise with { .guest = … }; may be used for any number of pauses, one after the other. */
struct lease {
        struct qmp_guest *guest; /* borrowed; not to be used otherwise while PAUSED */
        /*
         * clock_now_usec() of this pause; 0 where it did not come so far. What was read between
         * stopped_usec and cont_sent_usec was read from a guest that stood still, unless resumed_by_other.
         * The guest's pause is resumed_usec - stop_sent_usec.
         */
        uint64_t stop_sent_usec;
        uint64_t stopped_usec;
        uint64_t cont_sent_usec;
        uint64_t resumed_usec;
        enum pause_outcome state;        /* simplified; RESUMED also where somebody else did it */
        uint32_t id;                     /* private */
        char run_state[RUN_STATE_BYTES]; /* with NOT_RUNNING and LEFT: what it was in instead */
        struct failure failure;          /* a sentence in every state but NONE, PAUSED and RESUMED */
        bool resumed_at_deadline;        /* the guard did it: nothing read after cont_sent_usec counts */
        bool resumed_by_other; /* somebody else did it at an unknown moment: nothing of this pause counts */
        bool is_asked;         /* private */
        bool was_cut_off;      /* private: guard and connection broke, and it was reached over a new one */
};

/* What query-status, query-migrate and cont take together on a busy host; a quarter of a very short pause. */
#define LEASE_LEAD_USEC UINT64_C(1000)

/**
 * lease_end_usec() - when a pause has to begin to end
 * @stop_sent_usec: when it began
 *
 * A little before @max_pause_usec are over, by what it takes to ask QEMU whether the guest may be resumed.
 * The guard ends it then, so there is no use in reading on.
 */
static inline uint64_t lease_end_usec(uint64_t stop_sent_usec, uint64_t max_pause_usec)
{
        const uint64_t lead_usec =
                max_pause_usec / 4 < LEASE_LEAD_USEC ? max_pause_usec / 4 : LEASE_LEAD_USEC;
        uint64_t end_usec = 0;

        return __builtin_add_overflow(stop_sent_usec, max_pause_usec - lead_usec, &end_usec) ? UINT64_MAX
                                                                                             : end_usec;
}

/**
 * lease_pause() - pause guests
 * @leases: not PAUSED; each receives its own result
 * @count: up to LEASE_GUESTS_MAX
 * @max_pause_usec: the guard resumes each guest this long after its stop was sent, whatever we do
 *
 * Returns when each one is paused or has failed. Guests do not wait for each other: a QEMU that hangs costs
 * this call up to QMP_CLIENT_TIMEOUT_USEC, while the deadlines of the others run.
 *
 * Return: 0; -EOWNERDEAD when the guard died or hung, now or earlier: then no guest of @leases is paused.
 */
int lease_pause(struct guard *guard, struct lease *leases[], size_t count, uint64_t max_pause_usec);

/**
 * lease_pause_exclusive() - pause guests whose memory this process is going to change
 *
 * As lease_pause(). But before such a guest runs again without this process having asked for it (at the
 * deadline, when its connection breaks), and when somebody else has resumed it, the guard kills this process
 * and waits until no thread of it is left. lease_resume() is the promise that nothing is changed any more. A
 * guest that QEMU was too slow to stop becomes RESUMED here.
 */
int lease_pause_exclusive(struct guard *guard, struct lease *leases[], size_t count, uint64_t max_pause_usec);

/**
 * lease_resume() - resume guests
 * @leases: those that are not PAUSED are passed over
 *
 * Returns when each one runs, or is known not to. A guest whose QEMU does not answer becomes FAILED; the
 * guard goes on trying as long as that QEMU lives. After FAILED and LEFT the guard may still be reading the
 * connection: the guest is of no more use, free it.
 *
 * Return: 0; -EOWNERDEAD when the guard died or hung: this process has resumed the guests itself, or says in
 * a lease that its guest may be paused. That takes a minute at most, whatever hangs.
 */
int lease_resume(struct guard *guard, struct lease *leases[], size_t count);
