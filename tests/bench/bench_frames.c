/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts the frames behind the memory of guests, over and over, for tests/bench/merge.
 *
 * Reads lines `PID BEGIN END CHURN_BEGIN CHURN_END` (addresses in hexadecimal), one per guest, and with an empty line
 * answers `PRESENT FRAMES CHURN_PRESENT CHURN_FRAMES` for all of them: pages present and different frames behind them,
 * outside of CHURN_BEGIN..CHURN_END and within. Pages less frames is what is saved, to the page, whoever merged them;
 * KSM's counters cannot tell that. The kernel's zero page counts as one frame.
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

#define MAX_GUESTS    64
#define CHUNK_ENTRIES 8192u
#define MAX_FRAME     (UINT64_C(1) << 34) /* 64 TiB: a bit per frame is 2 GiB then */

struct span {
        uint64_t begin, end;
};

struct guest {
        int pid;
        struct span ram, churn;
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

static void count_span(struct count *c, int fd, struct span span)
{
        static uint64_t entries[CHUNK_ENTRIES];
        uint64_t page = span.begin / PAGE_BYTES, end = span.end / PAGE_BYTES;

        while (page < end) {
                uint64_t want = end - page < CHUNK_ENTRIES ? end - page : CHUNK_ENTRIES;
                ssize_t n = pread(fd, entries, want * sizeof(*entries), (off_t)(page * sizeof(*entries)));

                if (n <= 0) /* the guest has gone */
                        return;
                for (size_t i = 0; i < (size_t)n / sizeof(*entries); i++)
                        if (entries[i] & PM_PRESENT)
                                count_frame(c, entries[i] & PM_FRAME);
                page += (size_t)n / sizeof(*entries);
        }
}

static void answer(const struct guest *guests, size_t n_guests)
{
        static struct count still, churn;
        struct count *const counts[] = {&still, &churn};

        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
                if (counts[i]->n_words > 0)
                        memset(counts[i]->seen, 0, counts[i]->n_words * sizeof(*counts[i]->seen));
                counts[i]->present = counts[i]->frames = 0;
        }
        for (size_t i = 0; i < n_guests; i++) {
                const struct guest *g = &guests[i];
                char path[64];
                int fd;

                snprintf(path, sizeof(path), "/proc/%d/pagemap", g->pid);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        continue;
                count_span(&still, fd, (struct span){g->ram.begin, g->churn.begin});
                count_span(&churn, fd, g->churn);
                count_span(&still, fd, (struct span){g->churn.end, g->ram.end});
                close(fd);
        }
        printf("%llu %llu %llu %llu\n", (unsigned long long)still.present, (unsigned long long)still.frames,
               (unsigned long long)churn.present, (unsigned long long)churn.frames);
        fflush(stdout);
}

static bool parse(const char *line, struct guest *ret_guest)
{
        unsigned long long a[4];

        if (sscanf(line, "%d %llx %llx %llx %llx", &ret_guest->pid, &a[0], &a[1], &a[2], &a[3]) != 5)
                return false;
        ret_guest->ram = (struct span){a[0], a[1]};
        ret_guest->churn = (struct span){a[2], a[3]};
        return a[0] <= a[2] && a[2] <= a[3] && a[3] <= a[1];
}

int main(void)
{
        struct guest guests[MAX_GUESTS];
        size_t n_guests = 0;
        char line[256];

        while (fgets(line, sizeof(line), stdin)) {
                if (line[0] == '\n') {
                        answer(guests, n_guests);
                        n_guests = 0;
                } else if (n_guests == MAX_GUESTS || !parse(line, &guests[n_guests++])) {
                        fprintf(stderr, "bench_frames: not a guest: %s", line);
                        return EXIT_FAILURE;
                }
        }
        return EXIT_SUCCESS;
}
