/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process forked to outlive accidents (base/survive.h), and the SOCK_SEQPACKET pair on which it is spoken
 * with.
 */
#pragma once

#include "base/failure.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Embedded; initialise with CHILD_NONE. */
struct child {
        const char *what; /* as sentences name it */
        pid_t pid;
        int pidfd;
        int control_fd; /* our end; the child sees it end when the last holder closes it */
};

#define CHILD_NONE                            \
        {                                     \
                .pidfd = -1, .control_fd = -1 \
        }

/**
 * child_start() - fork
 * @what: as sentences name it: "the guard process"; borrowed
 * @run: what the child does with its end of the pair; does not return. All signals are blocked there
 *
 * Return: 0; a negative errno with a sentence. child_end() it in both cases.
 */
int child_start(struct child *child, const char *what, void (*run)(int control_fd, void *context),
                void *context, struct failure *failure);

/* Waits for the first message, of exactly @size bytes. Return: 0; a negative errno with a sentence. */
int child_greeted(const struct child *child, void *message, size_t size, uint64_t timeout_usec,
                  struct failure *failure);

/* Closes our end and waits for the child's; after @timeout_usec it goes on by itself. */
void child_end(struct child *child, uint64_t timeout_usec);

/* Kills it and waits until it is dead, or @timeout_usec. Closes our end. child_end() it too. */
void child_kill(struct child *child, uint64_t timeout_usec);
