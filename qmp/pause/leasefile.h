/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The note that a guest is paused by us, for whoever comes after our death. */
#pragma once

#include "base/failure.h"
#include "base/process.h"

#include <stdbool.h>
#include <stddef.h>

/* Lease files looked at; also bounds what a cluttered folder can cost. */
#define LEASEFILE_COUNT_MAX 4096

struct leasefile {
        char *guest;
        char *socket_path;
        struct process qemu;
        struct process scanner;
        struct process guard;
};

void leasefile_deinit(struct leasefile *lease);

/**
 * leasefile_open_folder() - open the folder of lease files
 * @runtime_dir: its sub-folder "leases"
 * @create: make what is missing (mode 0700) and see that it can be written
 */
int leasefile_open_folder(const char *runtime_dir, bool create, int *ret_fd, struct failure *failure);

/**
 * leasefile_write() - note that a guest is about to be paused
 * @lease: borrowed
 *
 * Atomic: a reader finds the whole note or none. A note left by a dead scan is replaced.
 *
 * Return: 0; -EBUSY when a scan that lives holds this QEMU (the sentence names its pid); another errno.
 */
int leasefile_write(int folder_fd, const struct leasefile *lease, struct failure *failure);

/**
 * leasefile_remove() - the guest is no longer paused by us
 *
 * Removes the note only if it is still this one: the same QEMU and the same guard.
 */
int leasefile_remove(int folder_fd, const struct leasefile *lease);

/* Whether this very note (the same QEMU and the same guard) is there. */
bool leasefile_exists(int folder_fd, const struct leasefile *lease);

/* Whether it is certainly not there: not so when it cannot be read, as without a free descriptor. */
bool leasefile_is_gone(int folder_fd, const struct leasefile *lease);

/**
 * leasefile_read() - read one note
 * @name: its file name
 *
 * Return: 0; -ENOENT; -EBADMSG when it makes no sense; another negative errno.
 */
int leasefile_read(int folder_fd, const char *name, struct leasefile *ret_lease);

/* Whether the scanning process or the guard of the note lives. */
bool leasefile_is_held(const struct leasefile *lease);

/**
 * leasefile_list() - the names of all notes
 * @ret_names: the caller frees each and the array
 */
int leasefile_list(int folder_fd, char ***ret_names, size_t *ret_count);
