/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which process is the QEMU of a domain. */
#pragma once

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Where libvirt's system daemon leaves the pids of its QEMUs. */
#define DOMAIN_PROCESS_RUN_DIR "/run/libvirt/qemu"
/* Processes that name one UUID: a QEMU, and one that is being forked. */
#define DOMAIN_PROCESS_MAX 16

/* Whether the process with folder @name below @dir_fd has "-uuid" and then this UUID on its command line. */
bool domain_process_has_uuid(int dir_fd, const char *name, const char *uuid);

/**
 * domain_process_find() - the processes that may be the domain's QEMU
 * @run_dir: DOMAIN_PROCESS_RUN_DIR
 * @ret_pids: room for DOMAIN_PROCESS_MAX
 * @ret_count: at least 1 on success
 *
 * The one of libvirt's pid file, if it says so itself; without that, every process that says so: libvirt may
 * run in another mount namespace, or for a user.
 *
 * Return: 0; -ESRCH when there is none; with a sentence.
 */
int domain_process_find(const char *run_dir, const char *name, const char *uuid,
                        pid_t ret_pids[DOMAIN_PROCESS_MAX], size_t *ret_count, struct failure *failure);
