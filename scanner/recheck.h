/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A second look at some pages, while the guests run. */
#pragma once

#include "base/pool.h"
#include "pages/fingerprint.h"
#include "scanner/guest_ram.h"

#include <stddef.h>
#include <stdint.h>

/* The mark of a page: that it is wanted, and what the second look saw; nothing where it could not be looked at. */
#define RECHECK_WANTED  UINT8_C(1)
#define RECHECK_CHANGED UINT8_C(2) /* it has another content, or went away */
#define RECHECK_KEPT    UINT8_C(4) /* it has the same content, and KSM has not merged it */
#define RECHECK_MERGED  UINT8_C(8) /* it has the same content, and KSM has merged it */

/**
 * recheck_reserve() - give every block of some guests room for marks, all 0
 *
 * A byte a page: 256 KiB per GiB, where there are marks.
 *
 * Return: 0 or -ENOMEM.
 */
int recheck_reserve(struct guest_ram *const *guests, size_t n_guests);

/* How many pages are marked as wanted. */
uint64_t recheck_count(struct guest_ram *const *guests, size_t n_guests);

/**
 * recheck_run() - look at the wanted pages again
 * @key: that their fingerprints were made with
 * @kpageflags_fd: from frames_open()
 *
 * Reads /proc/PID/mem, which changes nothing (process_vm_readv(2) would un-merge pages). The pages of a guest that has ended
 * get no marks; nothing else is lost of it.
 *
 * Return: 0 or -ENOMEM.
 */
int recheck_run(struct pool *pool, const struct fingerprint_key *key, struct guest_ram *const *guests,
                size_t n_guests, int kpageflags_fd);
