/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages between a program and its own forks, on a SOCK_SEQPACKET pair, with a descriptor if there is one. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/**
 * passing_send() - send one message
 * @fd: goes with it, and stays the caller's; -1: none
 * @flags: of sendmsg(2); MSG_NOSIGNAL is added
 *
 * Return: 0 or a negative errno; a signal is no reason to fail.
 */
int passing_send(int socket_fd, const void *message, size_t size, int fd, int flags);

/**
 * passing_receive() - receive one message
 * @flags: of recvmsg(2); MSG_CMSG_CLOEXEC is added
 * @ret_fd: the descriptor that came with it, the caller's; -1 when there is none
 *
 * Return: its bytes, 0 at the end; a negative errno, -EINTR too.
 */
ssize_t passing_receive(int socket_fd, void *message, size_t size, int flags, int *ret_fd);
