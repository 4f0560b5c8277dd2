/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/passing.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

union control {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
};

int passing_send(int socket_fd, const void *message, size_t size, int fd, int flags)
{
        union control control = {0};
        struct iovec vector = {.iov_base = (void *)message, .iov_len = size};
        struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};

        if (fd >= 0) {
                header.msg_control = &control;
                header.msg_controllen = sizeof(control);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(fd));
                memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        }
        while (sendmsg(socket_fd, &header, flags | MSG_NOSIGNAL) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

static int take_descriptor(struct msghdr *message)
{
        struct cmsghdr *header = CMSG_FIRSTHDR(message);
        int fd = -1;

        if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
            header->cmsg_len == CMSG_LEN(sizeof(fd)))
                memcpy(&fd, CMSG_DATA(header), sizeof(fd));
        return fd;
}

ssize_t passing_receive(int socket_fd, void *message, size_t size, int flags, int *ret_fd)
{
        union control control;
        struct iovec vector = {.iov_base = message, .iov_len = size};
        struct msghdr header = {
                .msg_iov = &vector,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        ssize_t got = recvmsg(socket_fd, &header, flags | MSG_CMSG_CLOEXEC);

        *ret_fd = got < 0 ? -1 : take_descriptor(&header);
        return got < 0 ? -errno : got;
}
