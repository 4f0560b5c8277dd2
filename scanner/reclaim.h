/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages of RAM files that are all zero, found and given back. */
#pragma once

#include "base/failure.h"
#include "scanner/guest_ram.h"
#include "scanner/region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pages that are looked at and given back in one step. */
#define RECLAIM_BATCH_PAGES 64

enum reclaim_kind {
        RECLAIM_KIND_NONE,   /* anonymous memory: there is no file behind it */
        RECLAIM_KIND_ZERO,   /* a shared mapping: the file is the guest's memory */
        RECLAIM_KIND_SHADOW, /* a private mapping: the file is what the guest's memory was copied from */
        RECLAIM_KIND_MAX_,
};

const char *reclaim_kind_to_string(enum reclaim_kind kind);

/* What there is to be got back behind a mapping. */
enum reclaim_kind reclaim_kind_of(const struct region *region);

/**
 * struct reclaim_file - the file behind one mapping of a RAM block
 * @view: the mapping, with the file open and mapped here; nothing of it is ever touched
 * @is_writable: opened to be changed
 * @candidates: one bit for each page of the mapping: it was zero when it was looked at
 * @next: the first candidate that is still to be looked at again
 * @zero_pages: candidates in all
 * @kept_pages: pages with data that are not zero
 * @punched_pages: given back
 */
struct reclaim_file {
        enum reclaim_kind kind;
        struct guest_region view;
        bool is_writable;
        uint64_t n_pages;
        uint64_t *candidates;
        uint64_t next;
        uint64_t zero_pages;
        uint64_t kept_pages;
        uint64_t punched_pages;
};

/**
 * reclaim_open() - open the file behind a mapping
 * @proc_fd: open /proc/PID folder of its QEMU, borrowed for the call
 * @to_change: for reclaim_punch() too
 *
 * Return: 0, or a negative errno with @failure.
 */
int reclaim_open(int proc_fd, const struct region *region, bool to_change, struct reclaim_file *ret_file,
                 struct failure *failure);

void reclaim_close(struct reclaim_file *file);

/* What the file takes on the host. */
int reclaim_file_bytes(const struct reclaim_file *file, uint64_t *ret_bytes);

/**
 * reclaim_find() - find the candidates; changes nothing, and the guest may run
 * @ram: of the guest; borrowed
 * @tick: called now and then with the pages looked at so far; may be NULL
 *
 * Return: 0, or a negative errno with @failure.
 */
int reclaim_find(const struct guest_ram *ram, struct reclaim_file *file,
                 void (*tick)(void *context, uint64_t n_pages), void *context, struct failure *failure);

/**
 * struct reclaim_permit - until when a file may be changed
 * @holds: asked right before every single change; false ends it
 * @fresh_usec: a page counts as looked at for so long; USEC_INFINITY if nobody can write to it meanwhile
 */
struct reclaim_permit {
        bool (*holds)(void *context);
        void *context;
        uint64_t fresh_usec;
};

/* Not all candidates have been looked at, since the permit ended. */
#define RECLAIM_E_MORE 1

/**
 * reclaim_punch() - give candidates back that are still zero, from @next on
 *
 * Each page is read again, and a hole is made in the file at once where it is zero. Holes are never read through a
 * mapping, which would allocate them.
 *
 * Return: 0 when no candidate is left; RECLAIM_E_MORE; a negative errno with @failure.
 */
int reclaim_punch(struct reclaim_file *file, const struct reclaim_permit *permit, struct failure *failure);
