/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The result of one scan as plain data, from which text, JSON, metrics and history are made. Sizes are bytes,
 * times seconds. A negative number (REPORT_UNKNOWN) means "not known", which JSON prints as null.
 */
#pragma once

#include "base/failure.h"
#include "base/run_state.h"
#include "conf/wishes.h"
#include "merge/gap.h"
#include "merge/ksm/ksm.h"
#include "report/fields.h"
#include "report/report_merge.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define REPORT_UNKNOWN FIELD_UNKNOWN

#define REPORT_SCHEMA_SCAN   "samepage.scan.v1"
#define REPORT_SCHEMA_GUESTS "samepage.guests.v1"

/* Why KSM cannot merge a RAM block: the guest does not see it. */
#define REPORT_NOT_MAPPED "not-mapped"

#define REPORT_VIA_QMP     "qmp"
#define REPORT_VIA_LIBVIRT "libvirt"

/* How far a guest's figures belong to one instant. */
enum report_consistency {
        REPORT_CONSISTENCY_EXACT,  /* all read while it was paused, at once */
        REPORT_CONSISTENCY_SLICED, /* all read while it was paused, in several pauses */
        REPORT_CONSISTENCY_LIVE,   /* read while it ran */
        REPORT_CONSISTENCY_COUNT_,
};

const char *report_consistency_to_string(enum report_consistency consistency);

/**
 * struct report_block - one RAM block
 * @present_bytes: REPORT_UNKNOWN before a scan
 * @backend: QEMU's type of the memory backend; NULL when not known
 * @reader: how its pages are read; NULL when they cannot be
 * @reason: why KSM can never merge it (gap reason, or REPORT_NOT_MAPPED); NULL when it can
 */
struct report_block {
        char *id;
        int64_t size_bytes;
        int64_t present_bytes;
        char *backend;
        bool shared;
        int64_t page_size;
        const char *reader;
        bool ksm_eligible;
        const char *reason;
};

/* A guest's figures in bytes; the actual_… ones are REPORT_UNKNOWN where frames are not known. */
struct report_figures {
        int64_t ram_bytes;
        int64_t present_bytes;
        int64_t absent_bytes;
        int64_t swapped_bytes;
        int64_t zero_bytes;
        int64_t distinct_bytes;
        int64_t self_sharing_bytes;
        int64_t inter_sharing_bytes;
        int64_t actual_saved_bytes;
        int64_t actual_ksm_bytes;
        int64_t actual_self_bytes;
        int64_t actual_inter_bytes;
        int64_t actual_zero_bytes;
};

/**
 * struct report_guest - one guest
 * @name: printable, whatever it was made of
 * @group: its trust group; NULL when it has none
 * @via: over what it was reached, "qmp" or "libvirt"
 * @scanned: it has figures; otherwise @error says why not
 * @error: a sentence; empty when all is well
 * @note: a sentence about a guest that was scanned; empty when there is nothing to say
 */
struct report_guest {
        char *name;
        char *uuid;
        char *group;
        const char *via;
        pid_t pid;
        char found_state[RUN_STATE_BYTES];
        enum report_consistency consistency;
        double pause_seconds;
        unsigned int pauses;
        double scan_seconds;
        bool scanned;
        struct report_figures figures;
        struct report_block *blocks;
        size_t n_blocks;
        struct failure error;
        struct failure note;
};

/**
 * struct report_reason - one reason of the gap
 * @by_guest: bytes of each guest of the report, in its order
 */
struct report_reason {
        enum gap_reason reason;
        int64_t bytes;
        int64_t *by_guest;
};

struct report {
        char id[40];
        char started[32];
        enum scan_mode mode;
        bool together;
        bool complete;
        double duration_seconds;
        struct failure note;    /* a sentence about the whole scan; empty when there is nothing to say */
        const char *silent_via; /* guests of this "via" are missing: their source was silent; not in JSON */
        double recheck_seconds; /* between the two looks at some pages; 0 when there was no second one */
        char host_name[256];
        char kernel[256];
        int64_t host_memory_bytes;
        struct report_guest *guests;
        size_t n_guests;
        struct report_figures total;
        struct ksm ksm;
        int64_t gap_bytes;
        struct report_reason reasons[GAP_REASON_COUNT_];
        size_t n_reasons;
        struct report_merge *merge; /* NULL without a forecast */
};

/* Frees it; returns NULL. */
struct report *report_free(struct report *report);

/* How many guests have figures. */
size_t report_n_scanned(const struct report *report);

/* Whether a guest was found at all: one that was not found has no process. */
static inline bool report_guest_is_found(const struct report_guest *guest)
{
        return guest->pid > 0;
}

/* Whether it is a domain of libvirt, or libvirt itself. */
static inline bool report_guest_is_domain(const struct report_guest *guest)
{
        return strcmp(guest->via, REPORT_VIA_LIBVIRT) == 0;
}

/* Bytes that sharing would free, and that are merged, both without zero pages; REPORT_UNKNOWN if unknown. */
int64_t report_ideal_bytes(const struct report_figures *figures);
int64_t report_merged_bytes(const struct report_figures *figures);
