/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process that plays QEMU on a unix socket: enough of QMP for opening, pausing and resuming a guest. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FAKE_RAM_BYTES (1U << 20)

/* Shared between the test and the fake's process. */
struct fake_state {
        /* What the test sets. */
        volatile bool is_mute; /* takes commands and answers nothing, until it is false again */
        volatile bool refuses_cont;
        volatile bool says_garbage;            /* once, as the next reply */
        volatile bool closes;                  /* the connection, instead of the next reply; once */
        volatile bool lies;                    /* about where its RAM is */
        volatile bool stop_event_resumed;      /* an operator resumes the guest right after the next stop */
        volatile unsigned int stop_delay_usec; /* from stopping to the reply */
        volatile unsigned int stop_event_delay_usec; /* so long after its reply */
        char migration[32];                          /* status of query-migrate; empty: none */
        /* What the fake tells. */
        volatile bool is_listening;
        char run_state[32];
        volatile unsigned int stops, conts, clients;
        volatile uint64_t stopped_usec, resumed_usec; /* the newest of each */
};

struct fake_qemu {
        char path[128];
        pid_t pid;
        struct fake_state *state;
        void *ram;
};

/**
 * fake_qemu_start() - start one
 * @folder: for its socket
 * @foreign_listener: this process makes the socket and the fake inherits it, as with fd passing
 */
void fake_qemu_start(struct fake_qemu *fake, const char *folder, const char *name, bool foreign_listener);

/* Kills it and removes its socket. */
void fake_qemu_stop(struct fake_qemu *fake);

/* Waits up to @msec until the guest is in this state. */
bool fake_qemu_wait_for(const struct fake_qemu *fake, const char *run_state, int msec);
