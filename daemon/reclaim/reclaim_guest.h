/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory of one guest that could be given back, and giving it back. */
#pragma once

#include "base/failure.h"
#include "daemon/job/inventory.h"
#include "daemon/reclaim/reclaim.h"
#include "qmp/pause/guard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A shorter pause leaves no time to punch pages in. */
#define RECLAIM_GUEST_PAUSE_LEAST_MSEC 5

/**
 * struct reclaim_part - one mapping of a RAM block
 * @is_open: @file is open
 * @is_asked, @prealloc, @device: what QEMU said about the memory backend; @device is owned
 * @refusal: why the part is left alone; empty if it is not
 */
struct reclaim_part {
        size_t block; /* in the guest's RAM */
        struct mapping mapping;
        struct reclaim_file file;
        bool is_open;
        bool is_asked;
        bool prealloc;
        char *device;
        struct failure refusal;
};

/* What a guest costs the host. */
struct reclaim_cost {
        uint64_t file_bytes;      /* of all its RAM files */
        uint64_t rss_shmem_bytes; /* of its QEMU; 0 if not known */
};

/**
 * struct reclaim_guest - one guest
 * @source: borrowed
 * @is_asked: its QEMU may be asked about its devices and memory backends
 * @writer: type of a device that writes to its memory while it is paused, or NULL
 * @error: why nothing, or not all, was done; else empty
 * @longest_usec, @paused_usec, @n_pauses: of its pauses
 */
struct reclaim_guest {
        const struct inventory_guest *source;
        struct reclaim_part *parts;
        size_t n_parts;
        bool is_asked;
        const char *writer;
        struct failure error;
        char found_state[RUN_STATE_BYTES];
        struct reclaim_cost before;
        struct reclaim_cost after;
        uint64_t longest_usec;
        uint64_t paused_usec;
        unsigned int n_pauses;
};

/* Finds the guest's parts, opens their files, and decides what is left as it is. Sets @error where that
 * fails. */
void reclaim_guest_open(struct reclaim_guest *guest, const struct inventory_guest *source, bool uses_monitor);

/* Finds the pages that could be given back; changes nothing. */
void reclaim_guest_find(struct reclaim_guest *guest, void (*tick)(void *context, uint64_t n_pages),
                        void *context);

/**
 * reclaim_guest_apply() - give the pages back
 * @guard: NULL when it could not be started; @guard_failure then says why
 *
 * No guest is paused when it returns.
 */
void reclaim_guest_apply(struct reclaim_guest *guest, uint64_t max_pause_usec, struct guard *guard,
                         const struct failure *guard_failure);

/* Notes what the guest costs now in @guest->after. */
void reclaim_guest_measure_after(struct reclaim_guest *guest);

/* Whether some part failed or was left alone for a reason. */
bool reclaim_guest_is_partly(const struct reclaim_guest *guest);

void reclaim_guest_deinit(struct reclaim_guest *guest);
