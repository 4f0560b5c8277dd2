/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How those who wait for a job are told how it goes on. */
#pragma once

#include <stdint.h>

/**
 * struct job_observer - who wants to know how the scan goes on
 * @progress: called about ten times a second while memory is read; may be NULL
 * @waiting: called once a second while the second look is waited for, with the time that is left; may be NULL
 */
struct job_observer {
        void (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes);
        void (*waiting)(void *context, uint64_t left_usec);
        void *context;
};
