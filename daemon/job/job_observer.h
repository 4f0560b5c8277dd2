/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a job reports its progress. */
#pragma once

#include <stdint.h>

/**
 * struct job_observer - receives the progress of a scan
 * @progress: called about ten times a second while memory is read; may be NULL
 * @waiting: called once a second during the wait for the second look, with the time left; may be NULL
 */
struct job_observer {
        void (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes);
        void (*waiting)(void *context, uint64_t left_usec);
        void *context;
};
