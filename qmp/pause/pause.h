/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pause of one guest on one QMP connection, as a state machine that never waits. */
#pragma once

#include "base/failure.h"
#include "base/run_state.h"
#include "base/wire.h"
#include "qmp/pause/pause_outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A reply or an event during a pause; a longer line is a QEMU gone mad. */
#define PAUSE_LINE_MAX_BYTES (1U << 20)

/* Pauses that pause_finish_all() takes at a time. */
#define PAUSE_FINISH_MAX 1024

enum pause_phase {
        PAUSE_PHASE_CHECKING, /* asks whether the guest may be paused */
        PAUSE_PHASE_READY,    /* it may: write the lease, then pause_stop() */
        PAUSE_PHASE_STOPPING, /* stop was sent */
        PAUSE_PHASE_PAUSED,   /* stop was answered; until pause_end() */
        PAUSE_PHASE_ENDING,   /* asks whether the guest may be resumed */
        PAUSE_PHASE_RESUMING, /* cont was sent */
        PAUSE_PHASE_DONE,     /* see the outcome */
};

/* A command whose reply is awaited or has come. */
struct pause_command {
        unsigned int id; /* 0: not sent */
        bool answered;
};

/* Embedded. Read the phase, the outcome, the times and the texts; the rest is private. */
struct pause {
        struct wire wire;
        enum pause_phase phase;
        enum pause_outcome outcome;
        uint64_t stop_sent_usec;
        uint64_t stopped_usec;
        uint64_t cont_sent_usec;
        uint64_t resumed_usec;
        char run_state[RUN_STATE_BYTES]; /* as last told */
        char migration[RUN_STATE_BYTES]; /* its status as last told; empty: there never was one */
        struct failure failure;          /* a sentence with every outcome but RESUMED and RUNNING */
        struct pause_command status, migrate, stop, cont;
        unsigned int sequence;
        bool event_resumed;   /* somebody resumed it after our stop */
        bool event_migrating; /* a migration began after our stop */
        bool end_wanted;
};

/**
 * pause_begin() - start to ask whether the guest may be paused
 * @fd: QMP connection after the negotiation; taken, also on failure
 */
int pause_begin(struct pause *pause, int fd, struct failure *failure);

/**
 * pause_adopt() - take a connection over on which somebody else may have sent stop, and start to end the
 * pause
 * @fd: as above; what a dead predecessor left half-written or half-read is flushed
 */
int pause_adopt(struct pause *pause, int fd, struct failure *failure);

void pause_deinit(struct pause *pause);

/* Sends stop; in phase READY only. */
void pause_stop(struct pause *pause);

/* The other way out of READY: the guest is not paused, for the reason that @outcome and @failure tell. */
void pause_give_up(struct pause *pause, enum pause_outcome outcome, const struct failure *failure);

/**
 * pause_end() - start to resume the guest
 *
 * In phase STOPPING it waits for the reply to stop first; before that it gives up without a stop. In phase
 * DONE with outcome LEFT_MIGRATING or REFUSED it tries again; otherwise it does nothing.
 */
void pause_end(struct pause *pause);

/**
 * pause_process() - read what came, send what can be sent, go on
 *
 * To be called when the descriptor polls as pause_poll_events() wants; takes a bounded number of lines. More
 * may be buffered: returns true when it should be called again without polling.
 */
bool pause_process(struct pause *pause);

short pause_poll_events(const struct pause *pause);

/**
 * pause_finish_all() - end several pauses, waiting
 *
 * Runs every one that is not DONE until it is or @deadline_usec has come; the caller called pause_end().
 */
void pause_finish_all(struct pause *pauses[], size_t count, uint64_t deadline_usec);
