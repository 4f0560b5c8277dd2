/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages between a program and its own forks on a SOCK_SEQPACKET pair. Each may carry a descriptor. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/**
 * passing_send() - send one message
 * @fd: sent with it, and stays the caller's; -1: none
 * @flags: of sendmsg(2); MSG_NOSIGNAL is added
 *
 * Return: 0 or a negative errno; it retries after a signal.
 */
int passing_send(int socket_fd, const void *message, size_t size, int fd, int flags);

/**
 * passing_receive() - receive one message
 * @flags: of recvmsg(2); MSG_CMSG_CLOEXEC is added
 * @ret_fd: the descriptor that came with it, which the caller owns; -1 when there is none
 *
 * Return: the number of its bytes, 0 at the end; a negative errno, including -EINTR.
 */
ssize_t passing_receive(int socket_fd, void *message, size_t size, int flags, int *ret_fd);
