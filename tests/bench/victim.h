/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process whose memory is read by a benchmark as a QEMU's would be. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum victim_kind {
        VICTIM_SHARED,       /* a memfd, mapped shared, in pages of 4 KiB */
        VICTIM_PRIVATE_HUGE, /* anonymous memory in transparent huge pages, mergeable as QEMU's is */
        VICTIM_PRIVATE,      /* anonymous memory in pages of 4 KiB, not mergeable */
        VICTIM_MERGED, /* anonymous memory in pages of 4 KiB, mergeable; every second page equals another */
        VICTIM_MAX_,
};

const char *victim_kind_to_string(enum victim_kind kind);

struct victim {
        pid_t pid;
        uint64_t hva;
        size_t size_bytes;
};

/**
 * victim_start() - fork a process and let it fill @size_bytes of memory with pages of random content
 *
 * It sleeps until victim_end(), and dies with this process. Ends the program when it cannot be started.
 */
struct victim victim_start(enum victim_kind kind, size_t size_bytes);

void victim_end(const struct victim *victim);
