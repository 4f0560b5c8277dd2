/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/fileio.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_NAP_USEC 1000

/* Most files of proc and sys are smaller than a page. */
#define FIRST_BYTES 4096

/* Makes room for one more byte and the NUL. */
static int grow_text(char **text, size_t length, size_t *capacity)
{
        const size_t wanted = *text ? *capacity * 2 : FIRST_BYTES;
        char *larger = NULL;

        if (*text && length + 1 < *capacity)
                return 0;
        if (wanted > FILEIO_MAX_BYTES)
                return -EFBIG;
        larger = realloc(*text, wanted);
        if (!larger)
                return -ENOMEM;
        *text = larger;
        *capacity = wanted;
        return 0;
}

int fileio_read_text(int dir_fd, const char *name, char **ret_text)
{
        CLEANUP_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        CLEANUP_FREE char *text = NULL;
        size_t capacity = 0;
        size_t length = 0;
        ssize_t got = 1;

        if (fd < 0)
                return -errno;
        while (got != 0) {
                int r = grow_text(&text, length, &capacity);

                if (r < 0)
                        return r;
                got = read(fd, text + length, capacity - length - 1);
                if (got < 0 && errno != EINTR)
                        return -errno;
                length += got > 0 ? (size_t)got : 0;
        }
        text[length] = '\0';
        *ret_text = TAKE_PTR(text);
        return 0;
}

int fileio_read_int64(int dir_fd, const char *name, int64_t *ret_value)
{
        CLEANUP_FREE char *text = NULL;
        char *end = NULL;
        long long value = 0;
        int r = fileio_read_text(dir_fd, name, &text);

        if (r < 0)
                return r;
        assert(text);
        errno = 0;
        value = strtoll(text, &end, 10);
        if (errno == ERANGE)
                return -ERANGE;
        if (end == text)
                return -EINVAL;
        while (isspace((unsigned char)*end))
                end++;
        if (*end)
                return -EINVAL;
        *ret_value = value;
        return 0;
}

int fileio_read_field(int dir_fd, const char *name, const char *key, uint64_t *ret_value)
{
        CLEANUP_FREE char *text = NULL;
        const char *line = NULL;
        unsigned long long value = 0;
        int r = fileio_read_text(dir_fd, name, &text);

        if (r < 0)
                return r;
        for (line = text; line && strncmp(line, key, strlen(key)) != 0;) {
                line = strchr(line, '\n');
                line += line != NULL;
        }
        if (!line)
                return -ENODATA;
        errno = 0;
        value = strtoull(line + strlen(key), NULL, 10);
        if (errno == ERANGE)
                return -ERANGE;
        *ret_value = value;
        return 0;
}

DIR *fileio_open_folder(int dir_fd, const char *name)
{
        CLEANUP_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *folder = fd < 0 ? NULL : fdopendir(fd);

        if (folder)
                (void)TAKE_FD(fd); /* the folder owns it now */
        return folder;
}

int fileio_read_up_to(int fd, void *buffer, size_t capacity, size_t *ret_length)
{
        size_t length = 0;

        while (length < capacity) {
                ssize_t got = read(fd, (char *)buffer + length, capacity - length);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                if (got == 0)
                        break;
                length += (size_t)got;
        }
        *ret_length = length;
        return 0;
}

int fileio_pread_full(int fd, void *buffer, size_t length, uint64_t offset)
{
        char *position = buffer;

        while (length > 0) {
                ssize_t got = pread(fd, position, length, (off_t)offset);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                if (got == 0)
                        return -ENODATA;
                position += got;
                offset += (uint64_t)got;
                length -= (size_t)got;
        }
        return 0;
}

static int write_all(int fd, const char *text, size_t length)
{
        while (length > 0) {
                ssize_t written = write(fd, text, length);

                if (written < 0 && errno == EINTR)
                        continue;
                if (written < 0)
                        return -errno;
                text += written;
                length -= (size_t)written;
        }
        return 0;
}

int fileio_lock(int fd, uint64_t wait_usec)
{
        const uint64_t deadline_usec = clock_now_usec() + wait_usec;

        while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return -errno;
                if (clock_now_usec() >= deadline_usec)
                        return -ETIMEDOUT;
                (void)usleep(LOCK_NAP_USEC);
        }
        return 0;
}

int fileio_replace_text(int dir_fd, const char *name, const char *text)
{
        char temporary[NAME_MAX + 1];
        CLEANUP_CLOSE int fd = -1;
        int r = 0;

        if (snprintf(temporary, sizeof(temporary), ".%s.%d", name, (int)getpid()) >= (int)sizeof(temporary))
                return -ENAMETOOLONG;
        fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = write_all(fd, text, strlen(text));
        if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
                r = -errno;
        if (r < 0)
                (void)unlinkat(dir_fd, temporary, 0);
        return r;
}
