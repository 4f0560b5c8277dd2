/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has a QEMU pin a part of its own memory: preloaded into it, does what is written into the FIFO of the environment
 * variable PINNER, and answers in the file of the same name with ".done".
 *
 *      pin ADDRESS BYTES    registers it with io_uring as a buffer, in pieces of 16 MiB
 *      pipe ADDRESS BYTES   puts it into pipes that nobody reads, by vmsplice(2): each page has one reference more
 *      unpin                closes the ring and the pipes
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECE_BYTES (16UL << 20)
#define PIECES      64

static int pin(unsigned long address, unsigned long bytes)
{
        struct io_uring_params params = {0};
        struct iovec pieces[PIECES] = {0};
        unsigned int n = 0;
        const int ring = (int)syscall(SYS_io_uring_setup, 1, &params);

        for (; bytes > 0 && n < PIECES; n++) {
                pieces[n].iov_base = (void *)address;
                pieces[n].iov_len = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
                address += pieces[n].iov_len;
                bytes -= pieces[n].iov_len;
        }
        if (ring < 0 || syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, pieces, n) < 0)
                return -errno;
        return ring;
}

/* As much as everybody may put into one, a page in each slot. */
#define PIPE_BYTES (1UL << 20)
#define PIPES      64

static int pipes[PIPES];
static unsigned int n_pipes;

static int fill_pipes(unsigned long address, unsigned long bytes)
{
        for (; bytes > 0 && n_pipes < PIPES;
             address += PIPE_BYTES, bytes -= bytes < PIPE_BYTES ? bytes : PIPE_BYTES) {
                struct iovec piece = {(void *)address, bytes < PIPE_BYTES ? bytes : PIPE_BYTES};
                int ends[2];

                if (pipe(ends) < 0)
                        return -errno;
                /* The end that is read from is enough to keep the pages. */
                pipes[n_pipes++] = ends[0];
                if (fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
                        return -errno;
                if (vmsplice(ends[1], &piece, 1, SPLICE_F_NONBLOCK) != (long)piece.iov_len)
                        return -EAGAIN;
                close(ends[1]);
        }
        return 0;
}

static int let_go(int ring)
{
        while (n_pipes > 0)
                close(pipes[--n_pipes]);
        return ring < 0 ? 0 : close(ring);
}

static void answer(const char *path, int value)
{
        char temporary[256], done[256];
        FILE *file = NULL;

        snprintf(done, sizeof(done), "%s.done", path);
        snprintf(temporary, sizeof(temporary), "%s.new", path);
        file = fopen(temporary, "w");
        if (!file)
                return;
        fprintf(file, "%d\n", value);
        fclose(file);
        rename(temporary, done);
}

static void *serve(void *context)
{
        const char *path = context;
        int ring = -1;

        for (;;) {
                unsigned long address = 0, bytes = 0;
                char line[128] = "";
                FILE *fifo = fopen(path, "r");

                if (!fifo)
                        return NULL;
                if (fgets(line, sizeof(line), fifo) && sscanf(line, "pin %lx %lu", &address, &bytes) == 2) {
                        ring = pin(address, bytes);
                        answer(path, ring);
                } else if (sscanf(line, "pipe %lx %lu", &address, &bytes) == 2) {
                        answer(path, fill_pipes(address, bytes));
                } else if (strncmp(line, "unpin", 5) == 0) {
                        answer(path, let_go(ring));
                        ring = -1;
                }
                fclose(fifo);
        }
}

__attribute__((constructor)) static void start(void)
{
        char *path = getenv("PINNER");
        pthread_t thread;

        if (path)
                pthread_create(&thread, NULL, serve, path);
}
