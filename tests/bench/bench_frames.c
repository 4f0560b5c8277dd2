/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts the frames behind the memory of guests, over and over, for tests/bench/merge.
 *
 * Reads lines `PID KIND BEGIN END` (addresses in hexadecimal), each a piece of a guest's memory, and with an empty line answers
 * `PRESENT FRAMES` for each of the KINDS in turn: pages present and different frames behind them. Pages less frames is
 * what is saved, to the page, whoever merged them; KSM's counters cannot tell that. The kernel's zero page counts as one
 * frame.
 *
 * Frames are counted with one bit each. A page takes some 30 ns, most of them the kernel's for the entry of its pagemap,
 * so that a sample costs less than what is measured. It shares no code with what it judges.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_BYTES 4096u
#define PM_PRESENT (UINT64_C(1) << 63)
#define PM_FRAME   ((UINT64_C(1) << 55) - 1)

#define KINDS         3u
#define MAX_PIECES    256
#define CHUNK_ENTRIES 8192u
#define MAX_FRAME     (UINT64_C(1) << 34) /* 64 TiB: a bit per frame is 2 GiB then */

struct piece {
        int pid;
        unsigned int kind;
        uint64_t begin, end;
};

struct count {
        uint64_t *seen; /* a bit per frame */
        uint64_t n_words;
        uint64_t present, frames;
};

static void die(const char *what)
{
        perror(what);
        exit(EXIT_FAILURE);
}

static void count_frame(struct count *c, uint64_t frame)
{
        uint64_t word = frame / 64, bit = UINT64_C(1) << (frame % 64);

        if (frame == 0 || frame >= MAX_FRAME) {
                fprintf(stderr, "bench_frames: no frame numbers: root is needed\n");
                exit(EXIT_FAILURE);
        }
        if (word >= c->n_words) {
                uint64_t n = word + word / 2 + 4096;

                c->seen = realloc(c->seen, n * sizeof(*c->seen));
                if (!c->seen)
                        die("bench_frames");
                memset(c->seen + c->n_words, 0, (n - c->n_words) * sizeof(*c->seen));
                c->n_words = n;
        }
        c->present++;
        c->frames += !(c->seen[word] & bit);
        c->seen[word] |= bit;
}

static void count_piece(struct count *c, const struct piece *piece)
{
        static uint64_t entries[CHUNK_ENTRIES];
        uint64_t page = piece->begin / PAGE_BYTES, end = piece->end / PAGE_BYTES;
        char path[64];
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/pagemap", piece->pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) /* the guest has gone */
                return;
        while (page < end) {
                uint64_t want = end - page < CHUNK_ENTRIES ? end - page : CHUNK_ENTRIES;
                ssize_t n = pread(fd, entries, want * sizeof(*entries), (off_t)(page * sizeof(*entries)));

                if (n <= 0)
                        break;
                for (size_t i = 0; i < (size_t)n / sizeof(*entries); i++)
                        if (entries[i] & PM_PRESENT)
                                count_frame(c, entries[i] & PM_FRAME);
                page += (size_t)n / sizeof(*entries);
        }
        close(fd);
}

static void answer(const struct piece *pieces, size_t n_pieces)
{
        static struct count counts[KINDS];

        for (size_t i = 0; i < KINDS; i++) {
                if (counts[i].n_words > 0)
                        memset(counts[i].seen, 0, counts[i].n_words * sizeof(*counts[i].seen));
                counts[i].present = counts[i].frames = 0;
        }
        for (size_t i = 0; i < n_pieces; i++)
                count_piece(&counts[pieces[i].kind], &pieces[i]);
        for (size_t i = 0; i < KINDS; i++)
                printf("%llu %llu%c", (unsigned long long)counts[i].present,
                       (unsigned long long)counts[i].frames, i + 1 < KINDS ? ' ' : '\n');
        fflush(stdout);
}

static bool parse(const char *line, struct piece *ret_piece)
{
        unsigned long long begin, end;

        if (sscanf(line, "%d %u %llx %llx", &ret_piece->pid, &ret_piece->kind, &begin, &end) != 4)
                return false;
        ret_piece->begin = begin;
        ret_piece->end = end;
        return ret_piece->kind < KINDS && begin <= end;
}

int main(void)
{
        struct piece pieces[MAX_PIECES];
        size_t n_pieces = 0;
        char line[256];

        while (fgets(line, sizeof(line), stdin)) {
                if (line[0] == '\n') {
                        answer(pieces, n_pieces);
                        n_pieces = 0;
                } else if (n_pieces == MAX_PIECES || !parse(line, &pieces[n_pieces++])) {
                        fprintf(stderr, "bench_frames: not a piece of memory: %s", line);
                        return EXIT_FAILURE;
                }
        }
        return EXIT_SUCCESS;
}
