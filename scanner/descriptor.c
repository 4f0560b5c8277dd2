/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ring's fdinfo lists the buffers that are registered with it:
 *
 *      UserBufs:	2
 *          0: 0x7f3c5c000000/2097152
 *          1: <none>
 */
#include "scanner/descriptor.h"

#include "base/cleanup.h"
#include "base/fileio.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFERS_KEY    "UserBufs:"
#define URING_ATTEMPTS 3

/* The first that fits counts. */
static const struct {
        const char *start;
        bool is_whole;
        enum descriptor_kind kind;
} kinds[] = {
        {"anon_inode:[io_uring]", false, DESCRIPTOR_URING},
        {"/dev/vfio/vfio", true, DESCRIPTOR_VFIO_CONTAINER},
        {"/dev/vfio/", false, DESCRIPTOR_VFIO},
        {"/dev/iommu", true, DESCRIPTOR_VFIO},
        {"anon_inode:[vfio-device]", false, DESCRIPTOR_VFIO_DEVICE},
        {"/dev/infiniband/", false, DESCRIPTOR_RDMA},
        {"/dev/vhost-vdpa", false, DESCRIPTOR_VDPA},
        {"/dev/vhost-", false, DESCRIPTOR_VHOST},
        {"anon_inode:[userfaultfd]", false, DESCRIPTOR_USERFAULTFD},
        {"/dev/sev", true, DESCRIPTOR_SEV},
        {"anon_inode:[kvm-gmem]", false, DESCRIPTOR_GUEST_MEMFD},
        {"/dev/udmabuf", true, DESCRIPTOR_DMABUF},
        {"/dmabuf:", false, DESCRIPTOR_DMABUF},
};

int descriptor_identify(int fd_folder, const char *number, enum descriptor_kind *ret_kind)
{
        /* Longer than all that is looked for: what is cut is none of it. */
        char link[64] = "";

        if (readlinkat(fd_folder, number, link, sizeof(link) - 1) < 0)
                return -errno;
        *ret_kind = DESCRIPTOR_OTHER;
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                const char *start = kinds[i].start;

                if (kinds[i].is_whole ? strcmp(link, start) != 0 : strncmp(link, start, strlen(start)) != 0)
                        continue;
                *ret_kind = kinds[i].kind;
                break;
        }
        return 0;
}

/* The line that follows, or NULL. */
static const char *next_descriptor_line(const char *line)
{
        const char *end = strchr(line, '\n');

        return end && end[1] ? end + 1 : NULL;
}

/* The line that starts with the key: names of files are in the text too. */
static const char *find_buffers(const char *text)
{
        const char *line = text;

        while (line && strncmp(line, BUFFERS_KEY, sizeof(BUFFERS_KEY) - 1) != 0)
                line = next_descriptor_line(line);
        return line;
}

int uring_read(int proc_fd, const char *number, struct uring *ret)
{
        char path[sizeof("fdinfo/") + NAME_MAX] = "";

        (void)snprintf(path, sizeof(path), "fdinfo/%s", number);
        /* While the ring is in use its buffers are not printed. */
        for (int i = 0; i < URING_ATTEMPTS; i++) {
                CLEANUP_FREE char *text = NULL;
                const char *line = NULL;
                int r = fileio_read_text(proc_fd, path, &text);

                if (r < 0)
                        return r;
                line = find_buffers(text);
                if (!line)
                        continue;
                *ret = (struct uring){.is_told = true,
                                      .n = strtoull(line + sizeof(BUFFERS_KEY) - 1, NULL, 10)};
                ret->rest = line;
                ret->n_left = ret->n;
                ret->text = TAKE_PTR(text);
                return 0;
        }
        *ret = (struct uring){0};
        return 0;
}

void uring_deinit(struct uring *uring)
{
        free(uring->text);
        *uring = (struct uring){0};
}

/* Reads "NUMBER: 0xADDRESS/LENGTH". False for any other line. */
static bool parse_buffer(const char *line, struct uring_buffer *ret)
{
        char *end = NULL;

        while (*line == ' ')
                line++;
        if (!isdigit((unsigned char)*line))
                return false;
        (void)strtoull(line, &end, 10);
        if (strncmp(end, ": 0x", 4) != 0 || !isxdigit((unsigned char)end[4]))
                return false;
        errno = 0;
        ret->begin = strtoull(end + 2, &end, 16);
        if (errno || *end != '/' || !isdigit((unsigned char)end[1]))
                return false;
        ret->length = strtoull(end + 1, &end, 10);
        return errno == 0 && (*end == '\n' || *end == '\0');
}

bool uring_next(struct uring *uring, struct uring_buffer *ret)
{
        /* As many lines below the key as it says, or until one is not indented. */
        while (uring->n_left > 0) {
                uring->n_left--;
                uring->rest = next_descriptor_line(uring->rest);
                if (!uring->rest || *uring->rest != ' ') {
                        uring->n_left = 0;
                        break;
                }
                if (parse_buffer(uring->rest, ret))
                        return true;
        }
        return false;
}
