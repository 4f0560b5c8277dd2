/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds pages of RAM files that are all zero, and gives them back. */
#pragma once

#include "base/failure.h"
#include "scanner/guest_ram.h"
#include "scanner/mapping.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pages that are read and punched in one step. */
#define RECLAIM_BATCH_PAGES 64

enum reclaim_kind {
        RECLAIM_KIND_NONE,   /* anonymous memory: there is no file behind it */
        RECLAIM_KIND_ZERO,   /* a shared mapping: the file is the guest's memory */
        RECLAIM_KIND_SHADOW, /* a private mapping: the file is what the guest's memory was copied from */
        RECLAIM_KIND_MAX_,
};

const char *reclaim_kind_to_string(enum reclaim_kind kind);

/* What there is to be got back behind a mapping. */
enum reclaim_kind reclaim_kind_of(const struct mapping *mapping);

/**
 * struct reclaim_file - the file behind one mapping of a RAM block
 * @view: the mapping, with the file open and mapped here; nothing ever touches this map of it
 * @is_writable: reclaim_open_to_change() was called
 * @candidates: one bit for each page of the mapping: the page was zero when it was read
 * @next: the first candidate that is still to be read again
 * @resident_end: candidates before this page were in memory at the last check
 * @zero_pages: all candidates
 * @kept_pages: pages that are not zero, or were swapped out after they were found to be zero
 * @punched_pages: pages that became holes
 * @given_bytes: by how much the punches shrank the file
 */
struct reclaim_file {
        enum reclaim_kind kind;
        struct mapping view;
        bool is_writable;
        uint64_t n_pages;
        uint64_t *candidates;
        uint64_t next;
        uint64_t resident_end;
        uint64_t zero_pages;
        uint64_t kept_pages;
        uint64_t punched_pages;
        uint64_t given_bytes;
};

/**
 * reclaim_open() - open the file behind a mapping, for reading
 * @proc_fd: open /proc/PID folder of its QEMU, borrowed for the call
 *
 * Return: 0, or a negative errno with @failure.
 */
int reclaim_open(int proc_fd, const struct mapping *mapping, struct reclaim_file *ret_file,
                 struct failure *failure);

/**
 * reclaim_open_to_change() - open the file for writing too, as reclaim_punch() needs it
 *
 * Call it only after the file was judged: opening alone changes some files, such as those of an overlay. It
 * does nothing when the file is already open for writing.
 *
 * Return: 0, or a negative errno with @failure.
 */
int reclaim_open_to_change(struct reclaim_file *file, struct failure *failure);

void reclaim_close(struct reclaim_file *file);

/* The memory that the file takes on the host. */
int reclaim_file_bytes(const struct reclaim_file *file, uint64_t *ret_bytes);

/**
 * reclaim_find() - find the candidates; changes nothing, and the guest may run
 * @tick: called now and then with the pages looked at so far; may be NULL
 *
 * Return: 0, or a negative errno with @failure.
 */
int reclaim_find(struct reclaim_file *file, void (*tick)(void *context, uint64_t n_pages), void *context,
                 struct failure *failure);

/* How many candidates reclaim_look_for_resident() leaves for the next pause, which gives back fewer. */
#define RECLAIM_RESIDENT_PAGES (UINT64_C(1) << 18)

/**
 * reclaim_look_for_resident() - drop the next candidates that are not in memory any more
 *
 * Reading a page that was swapped out since it was found would swap it in while the guest waits. The check
 * goes on from @next until it has found RECLAIM_RESIDENT_PAGES in memory; reclaim_punch() goes no farther.
 *
 * Return: 0, or a negative errno with @failure.
 */
int reclaim_look_for_resident(struct reclaim_file *file, struct failure *failure);

/**
 * struct reclaim_permit - until when a file may be changed
 * @holds: asked right before every single change; false ends the work
 * @fresh_usec: for how long the read of a page counts
 */
struct reclaim_permit {
        bool (*holds)(void *context);
        void *context;
        uint64_t fresh_usec;
};

/* Not all candidates were handled: the permit ended, or the rest must first be checked to be in memory. */
#define RECLAIM_E_MORE 1

/**
 * reclaim_punch() - punch the candidates that are still zero, from @next on
 *
 * It reads each page again and punches it at once where it is zero. It never reads holes through a mapping,
 * which would allocate them.
 *
 * Return: 0 when no candidate is left; RECLAIM_E_MORE; a negative errno with @failure.
 */
int reclaim_punch(struct reclaim_file *file, const struct reclaim_permit *permit, struct failure *failure);
