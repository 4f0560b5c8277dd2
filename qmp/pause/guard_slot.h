/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One guest of the guard's: what the scan was told of its pause, and what is due. Private to guard_loop.c. */
#pragma once

#include "qmp/pause/guard_proto.h"
#include "qmp/pause/leasefile.h"
#include "qmp/pause/pause.h"

#include <stdbool.h>
#include <stdint.h>

enum guard_slot_state {
        GUARD_SLOT_STATE_ASKED = 1, /* PAUSE is not answered yet */
        GUARD_SLOT_STATE_MISSED,    /* the same, and the pause ends already */
        GUARD_SLOT_STATE_PAUSED,    /* the scan was told that the guest is paused, and reads it */
        GUARD_SLOT_STATE_ARMED,     /* the same, and the scan may change the guest's memory */
        GUARD_SLOT_STATE_KILLING,   /* the scan was killed for it and is not dead yet */
        GUARD_SLOT_STATE_LATE,      /* the scan was told, and the pause ended at the deadline */
        GUARD_SLOT_STATE_RESUMING,  /* RESUME is not answered yet */
        GUARD_SLOT_STATE_TARDY,     /* the same, and it came after the deadline */
        GUARD_SLOT_STATE_ORPHAN,    /* the scan has its final answer, or is gone */
        GUARD_SLOT_STATE_COUNT_,
};

enum guard_slot_event {
        GUARD_SLOT_EVENT_TOLD,      /* the scan was told that the guest is paused */
        GUARD_SLOT_EVENT_ENTRUSTED, /* the same, of an exclusive pause */
        GUARD_SLOT_EVENT_ANSWERED,  /* the scan was told how the pause ended, or that there is none */
        GUARD_SLOT_EVENT_RESUME,    /* RESUME came */
        GUARD_SLOT_EVENT_DEADLINE,  /* stop_sent + max_pause has come */
        GUARD_SLOT_EVENT_RUNS,      /* of an exclusive pause: somebody resumed it, or its connection broke */
        GUARD_SLOT_EVENT_HANG,      /* its QEMU did not answer to stop in time */
        GUARD_SLOT_EVENT_DEAD,      /* the scan that was killed is dead */
        GUARD_SLOT_EVENT_GONE,      /* the control socket ended */
        GUARD_SLOT_EVENT_COUNT_,
};

enum guard_slot_file {
        GUARD_SLOT_FILE_NONE,    /* not written: stop was not sent */
        GUARD_SLOT_FILE_WRITTEN, /* the guest may be paused */
        GUARD_SLOT_FILE_SETTLED, /* nothing remains to be done about the guest */
};

struct guard_slot_step {
        enum guard_slot_state to; /* 0: the event changes nothing */
        bool ends;                /* the machine begins to end the pause */
};

/* The state changes by guard_slot_take() alone. */
struct guard_slot {
        uint32_t id;
        enum guard_slot_state state;
        enum guard_slot_file file;
        bool is_exclusive; /* see lease_pause_exclusive() */
        bool is_buffered;  /* the machine has more to do without polling */
        struct pause pause;
        struct leasefile note;
        uint64_t max_pause_usec;
        uint64_t end_usec;    /* stop_sent + max_pause */
        uint64_t answer_usec; /* the scan is told of a hang then */
        uint64_t retry_usec;  /* 0: at once */
        unsigned int retries;
};

/**
 * guard_slot_new() - make a slot and start its machine
 * @fd: the guest's connection; taken, also on failure
 *
 * Return: free with guard_slot_free(); NULL when memory is short.
 */
struct guard_slot *guard_slot_new(const struct guard_request *request, int fd, const struct process *scanner,
                                  const struct process *guard);
void guard_slot_free(struct guard_slot *slot);

/* What an event does in a state: the table, for its test. */
struct guard_slot_step guard_slot_step(enum guard_slot_state state, enum guard_slot_event event);

/* Takes the step of this event. */
void guard_slot_take(struct guard_slot *slot, enum guard_slot_event event);

/* Sends stop. The lease file is written. */
void guard_slot_stop(struct guard_slot *slot);

/* Takes the events that time and the guest's machine bring. */
void guard_slot_watch(struct guard_slot *slot, uint64_t now_usec);

/**
 * guard_slot_answer() - what the scan is to be told now
 * @ret_event: to be taken once @ret_answer was sent
 *
 * Return: whether it is to be told anything.
 */
bool guard_slot_answer(const struct guard_slot *slot, uint64_t now_usec, struct guard_answer *ret_answer,
                       enum guard_slot_event *ret_event);

/* When the slot needs attention though nothing arrives. @is_answer_blocked: the scan takes no answers now. */
uint64_t guard_slot_deadline(const struct guard_slot *slot, bool is_answer_blocked);

/* Whether it matters what its connection says. */
bool guard_slot_is_listening(const struct guard_slot *slot);
