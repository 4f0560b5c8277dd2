/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A second look at some pages, while the guests run. */
#pragma once

#include "base/pool.h"
#include "pages/fingerprint.h"
#include "pages/pages.h"

#include <stddef.h>
#include <stdint.h>

/**
 * recheck_run() - look at the pages marked as wanted again
 * @guests: @n_guests guests with marks (pages_add_marks()); those whose ranges have no reader are passed over
 * @key: that their fingerprints were made with
 *
 * Reads /proc/PID/mem, which changes nothing: process_vm_readv(2) would un-merge pages. The pages of a guest
 * that has ended get no marks; nothing else is lost of it.
 *
 * Return: 0 or -ENOMEM.
 */
int recheck_run(struct pool *pool, const struct fingerprint_key *key, struct pages *const *guests,
                size_t n_guests);
