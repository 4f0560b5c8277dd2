/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ownership of local variables. A local that owns something carries one of these attributes, is initialised
 * at its declaration, and is handed over with TAKE_PTR or TAKE_FD.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

/* Hands the pointer (or descriptor) in @variable over to the caller and leaves an empty one behind. */
#define TAKE_PTR(variable)                                \
        ({                                                \
                __typeof__(variable) taken_ = (variable); \
                (variable) = NULL;                        \
                taken_;                                   \
        })
#define TAKE_FD(variable)                \
        ({                               \
                int taken_ = (variable); \
                (variable) = -1;         \
                taken_;                  \
        })

static inline void cleanup_free(void *pointer)
{
        free(*(void **)pointer);
}

static inline void cleanup_close(const int *fd)
{
        if (*fd >= 0)
                (void)close(*fd);
}

static inline void cleanup_fclose(FILE **file)
{
        if (*file)
                (void)fclose(*file);
}

static inline void cleanup_closedir(DIR **folder)
{
        if (*folder)
                (void)closedir(*folder);
}

#define CLEANUP_FREE     CLEANUP(cleanup_free)
#define CLEANUP_CLOSE    CLEANUP(cleanup_close)
#define CLEANUP_FCLOSE   CLEANUP(cleanup_fclose)
#define CLEANUP_CLOSEDIR CLEANUP(cleanup_closedir)

/* Closes *@fd if it is open and marks it closed. */
static inline void close_fd(int *fd)
{
        cleanup_close(fd);
        *fd = -1;
}

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
