/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Other processes of the host: which one it is, whether it still lives, what it maps, who holds a socket. */
#pragma once

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Identifies a process for good: a pid may be used again, but not with the same start time. */
struct process {
        pid_t pid;
        uint64_t start_ticks; /* field 22 of /proc/PID/stat */
};

/**
 * process_open() - hold on to a process so that its identity survives its end
 * @ret_pidfd: becomes readable when it ends
 * @ret_proc_fd: its /proc/PID, which stays this process's
 *
 * Return: 0; -ESRCH when there is none, or it is a zombie; another negative errno.
 */
int process_open(pid_t pid, int *ret_pidfd, int *ret_proc_fd);

/* As process_open(), for a known process; -ESRCH also when another process has its pid by now. */
int process_open_same(const struct process *process, int *ret_pidfd, int *ret_proc_fd);

/* When the process whose /proc/PID is open as @proc_fd started; -ESRCH when it ended or is a zombie. */
int process_get_start_ticks(int proc_fd, uint64_t *ret_start_ticks);

/* Fills @ret_process for a pid that lives. */
int process_identify(pid_t pid, struct process *ret_process);

/*
 * Whether exactly this process lives; a zombie does not. A process that cannot be examined (no descriptors
 * left, say) counts as alive, so that nobody's lease is taken for stale by mistake.
 */
bool process_is_alive(const struct process *process);

/* Parses a line of /proc/PID/stat; -ESRCH for a zombie, -EBADMSG for any other text. */
int process_parse_stat(const char *text, uint64_t *ret_start_ticks);

/* Whether the mappings in the text of /proc/PID/maps cover every byte of [@start, @start + @size_bytes). */
bool process_maps_cover(const char *maps, uint64_t start, uint64_t size_bytes);

/*
 * The process that called listen(2) on the other end of @fd; 0 when it is outside our namespace. This is only
 * a hint: that process may have passed the socket on, or it may have ended and another process may have its
 * pid.
 */
int process_get_listener(int fd, pid_t *ret_pid);

/* The inode of the other end of a connected unix socket, from the kernel's list. Sets a sentence. */
int process_get_peer_inode(int fd, uint32_t *ret_inode, struct failure *failure);

/* Whether the process whose /proc/PID is open as @proc_fd holds this socket: 1, 0 or a negative errno. */
int process_has_socket(int proc_fd, uint32_t inode);

/**
 * process_find_holders() - the processes that hold a socket now
 * @ret_pids: the caller frees it; may be empty
 *
 * It searches every /proc/PID/fd, which takes a while on a large host. So call it only when the likeliest
 * process does not hold the socket.
 *
 * Return: 0; a negative errno with a sentence.
 */
int process_find_holders(uint32_t inode, pid_t **ret_pids, size_t *ret_count, struct failure *failure);
