/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One guest over its QMP socket; qmp/virt/domain_guest.h opens one over libvirt. */
#pragma once

#include "base/failure.h"
#include "base/run_state.h"
#include "qmp/blocks.h"
#include "qmp/client.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Fields are for reading; strings and descriptors belong to the guest. */
struct qmp_guest {
        char *name;           /* query-name, else the socket's file name */
        char *uuid;           /* query-uuid; NULL when it is all zero or unknown */
        char *group;          /* its trust group by libvirt's metadata; NULL without one */
        char *socket_path;    /* absolute; for a domain its address, see bridge_format_address() */
        pid_t pid;            /* of the process whose memory is the guest's RAM */
        uint64_t start_ticks; /* when that process started, as in /proc/PID/stat */
        int pidfd;            /* becomes readable when the process ends */
        int proc_fd;          /* its open /proc/PID: reads fail once it ended, whoever got the pid */
        char found_state[RUN_STATE_BYTES]; /* run state when the guest was opened */
        struct ram_blocks blocks;
        struct qmp_client *client;
        /* How the guest learns its blocks; private. */
        int (*learn_blocks)(struct qmp_guest *guest, struct ram_blocks *ret_blocks, struct failure *failure);
};

/**
 * qmp_guest_open() - connect to a guest and learn all that a scan needs
 * @socket_path: may be relative
 * @timeout_usec: for each step, see QMP_CLIENT_TIMEOUT_USEC
 * @ret_guest: qmp_guest_free() it
 *
 * The process is the one that holds the other end of the connection and maps every RAM block. Both are
 * checked, not assumed.
 *
 * Return: 0; as qmp_client_connect(); -EACCES when the process's memory map may not be read; -ESRCH when the
 * process cannot be found; -EBADMSG for replies that make no sense. The sentence lacks the guest's name.
 */
int qmp_guest_open(const char *socket_path, uint64_t timeout_usec, struct qmp_guest **ret_guest,
                   struct failure *failure);

/**
 * qmp_guest_disconnect() - leave its QMP socket to others
 *
 * What is known about the guest stays, but QEMU can no longer be asked. Not allowed while the guest is
 * leased.
 */
void qmp_guest_disconnect(struct qmp_guest *guest);

void qmp_guest_free(struct qmp_guest *guest);

/* What qmp_guest_refresh_state() learned. */
struct qmp_guest_state {
        char run_state[RUN_STATE_BYTES]; /* "running", "paused", … */
        struct qmp_events events;        /* since the last refresh (or opening, or lease) */
        bool migrating;                  /* a migration is set up or under way, in either direction */
};

/**
 * qmp_guest_refresh_state() - ask for the run state, and whether it changed in between
 *
 * For guests that are scanned without a pause of ours. Not allowed while the guest is leased.
 */
int qmp_guest_refresh_state(struct qmp_guest *guest, struct qmp_guest_state *ret_state,
                            struct failure *failure);

/* Learns the blocks again: memory may be plugged or unplugged. Not allowed while the guest is leased. */
int qmp_guest_refresh_blocks(struct qmp_guest *guest, struct failure *failure);

/* Whether the guest's process still lives. */
bool qmp_guest_is_alive(const struct qmp_guest *guest);
