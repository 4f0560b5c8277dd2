/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast memory is read, in bytes per second, by the program's own pass and beside the most that this machine can do.
 *
 *      bench_memory MIB THREADS ROUNDS [KIND...]
 *
 * Prints one JSON object. Every figure is the best of ROUNDS; those of one kind are taken in turn, so that what else
 * happens on the machine strikes all alike.
 *
 *   idle       CPU time in seconds that a second takes in which the workers wait for work
 *   ceiling    a sum over shared memory, mapped and warm
 *   hash       fingerprints of the same memory
 *   KIND       fingerprints of another process's memory of that kind, by the reader that the program chooses; and how much
 *              memory this process has in use for it at the end of the window, page tables included
 */
#include "base/clock.h"
#include "base/fileio.h"
#include "pages/page.h"
#include "scanner/present.h"
#include "scanner/scan.h"
#include "scanner/sigbus.h"
#include "victim.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB   ((size_t)1 << 20)
#define CHUNK (2 * MIB)

struct bench {
        struct pool *pool;
        struct fingerprint_key key;
        size_t size_bytes;
        int kpageflags_fd;
        const unsigned char *memory; /* of the ceiling and the hash */
        uint64_t *words;
        uint64_t sums[POOL_MAX_THREADS * 16]; /* a cache line each: nobody waits for another's */
};

/* The compiler makes vector code of this, for the best instruction set that the CPU has. */
__attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3"))) static uint64_t sum_words(
        const uint64_t *words, size_t n)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < n; i++)
                sum += words[i];
        return sum;
}

static bool sum_chunk(void *context, unsigned int worker, size_t item)
{
        struct bench *bench = context;

        bench->sums[(size_t)worker * 16] += sum_words(
                (const uint64_t *)(const void *)(bench->memory + item * CHUNK), CHUNK / sizeof(uint64_t));
        return true;
}

static bool hash_chunk(void *context, unsigned int worker, size_t item)
{
        struct bench *bench = context;

        (void)worker;
        fingerprint_pages(&bench->key, bench->memory + item * CHUNK, CHUNK / PAGE_BYTES,
                          bench->words + item * (CHUNK / PAGE_BYTES));
        return true;
}

/* Bytes per second of one job over the memory. */
static double run_job(struct bench *bench, pool_work_fn *work)
{
        const uint64_t begun = clock_now_usec();

        pool_run(bench->pool, bench->size_bytes / CHUNK, work, bench);
        return (double)bench->size_bytes * USEC_PER_SEC / (double)(clock_now_usec() - begun);
}

static struct guest_ram *open_victim(const struct victim *victim)
{
        struct guest_ram *ram = NULL;
        struct failure failure = {0};
        char *smaps = NULL;
        char path[32] = "";
        int proc_fd = -1;

        (void)snprintf(path, sizeof(path), "/proc/%d", victim->pid);
        proc_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (proc_fd < 0 || fileio_read_text(proc_fd, "smaps", &smaps) < 0 ||
            guest_ram_new(victim->pid, proc_fd, &ram, &failure) < 0 ||
            guest_ram_add_block(ram, proc_fd, smaps,
                                &(struct guest_ram_block){"victim", victim->hva, victim->size_bytes},
                                &failure) < 0) {
                (void)fprintf(stderr, "bench_memory: %s\n", failure.text);
                exit(EXIT_FAILURE);
        }
        free(smaps);
        (void)close(proc_fd);
        return ram;
}

/* Bytes of this process's own, those that only page tables take included. */
static long bytes_in_use(void)
{
        static const char *const lines[] = {"RssAnon:", "VmPTE:"};
        char *text = NULL;
        long kib = 0;
        const int proc_fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fileio_read_text(proc_fd, "status", &text) < 0)
                exit(EXIT_FAILURE);
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
                kib += strtol(strstr(text, lines[i]) + strlen(lines[i]), NULL, 10);
        free(text);
        (void)close(proc_fd);
        return kib * 1024;
}

/* Bytes per second of the window, as a pause would see it: what is prepared before is not counted. */
static double run_scan(struct bench *bench, const struct victim *victim, long *ret_bytes_in_use)
{
        static const size_t first[] = {0};
        const long before = bytes_in_use();
        struct guest_ram *ram = open_victim(victim);
        struct scan *scan = NULL;
        uint64_t begun = 0;
        uint64_t ended = 0;

        if (scan_new(bench->pool, &bench->key, &ram, 1, bench->kpageflags_fd, &scan) < 0)
                exit(EXIT_FAILURE);
        scan_prepare(scan, 0);
        begun = clock_now_usec();
        scan_window(scan, first, 1, USEC_INFINITY, NULL);
        ended = clock_now_usec();
        *ret_bytes_in_use = bytes_in_use() - before;
        (void)scan_accept(scan, 0, 0, USEC_INFINITY);
        if (atomic_load(&ram->error) < 0) {
                (void)fprintf(stderr, "bench_memory: %s\n", ram->failure.text);
                exit(EXIT_FAILURE);
        }
        scan_free(scan);
        guest_ram_free(ram);
        return (double)victim->size_bytes * USEC_PER_SEC / (double)(ended - begun);
}

static double better(double a, double b)
{
        return a > b ? a : b;
}

static void bench_kind(struct bench *bench, enum victim_kind kind, int rounds)
{
        struct victim victim = victim_start(kind, bench->size_bytes);
        double ceiling = 0;
        double best = 0;
        long in_use = 0;

        if (kind == VICTIM_MERGED && isatty(STDIN_FILENO) == 0) {
                /* The one who runs us makes KSM merge now, and answers with a line. */
                char line[16] = "";

                (void)printf("{\"merge\": %d}\n", victim.pid);
                (void)fflush(stdout);
                (void)!fgets(line, sizeof(line), stdin);
        }
        for (int round = 0; round < rounds; round++) {
                ceiling = better(ceiling, run_job(bench, sum_chunk));
                best = better(best, run_scan(bench, &victim, &in_use));
        }
        victim_end(&victim);
        (void)printf(
                "{\"kind\": \"%s\", \"ceiling\": %.0f, \"bytes_per_second\": %.0f, \"bytes_in_use\": %ld}\n",
                victim_kind_to_string(kind), ceiling, best, in_use);
        (void)fflush(stdout);
}

static void bench_own_memory(struct bench *bench, int rounds)
{
        double ceiling = 0;
        double hash = 0;

        for (int round = 0; round < rounds; round++) {
                ceiling = better(ceiling, run_job(bench, sum_chunk));
                hash = better(hash, run_job(bench, hash_chunk));
        }
        (void)printf("{\"kind\": \"hash\", \"ceiling\": %.0f, \"bytes_per_second\": %.0f}\n", ceiling, hash);
        (void)fflush(stdout);
}

static double cpu_seconds(void)
{
        struct timespec now = {0};

        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void bench_idle(void)
{
        const double before = cpu_seconds();

        (void)sleep(1);
        (void)printf("{\"kind\": \"idle\", \"cpu_seconds\": %.6f}\n", cpu_seconds() - before);
        (void)fflush(stdout);
}

static void prepare_own_memory(struct bench *bench)
{
        const int fd = memfd_create("bench", MFD_CLOEXEC);
        unsigned char *memory = NULL;

        if (fd < 0 || ftruncate(fd, (off_t)bench->size_bytes) < 0)
                exit(EXIT_FAILURE);
        memory = mmap(NULL, bench->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        bench->words = calloc(bench->size_bytes / PAGE_BYTES, sizeof(*bench->words));
        if (memory == MAP_FAILED || !bench->words)
                exit(EXIT_FAILURE);
        for (size_t i = 0; i < bench->size_bytes / sizeof(uint64_t); i++)
                ((uint64_t *)(void *)memory)[i] = i * UINT64_C(0x9e3779b97f4a7c15);
        memset(bench->words, 1, bench->size_bytes / PAGE_BYTES * sizeof(*bench->words));
        bench->memory = memory;
}

int main(int argc, char **argv)
{
        static struct bench bench;
        const size_t mib = argc > 3 ? strtoul(argv[1], NULL, 10) : 0;
        const unsigned long threads = argc > 3 ? strtoul(argv[2], NULL, 10) : 0;
        const int rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;

        if (mib < 2 || threads < 1 || threads > POOL_MAX_THREADS || rounds < 1) {
                (void)fputs("Usage: bench_memory MIB THREADS ROUNDS [KIND...]\n", stderr);
                return 2;
        }
        bench.kpageflags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
        bench.size_bytes = mib / 2 * 2 * MIB;
        if (sigbus_install() < 0 || fingerprint_key_init(&bench.key) < 0 ||
            pool_new((unsigned int)threads, &bench.pool) < 0)
                return EXIT_FAILURE;
        prepare_own_memory(&bench);
        bench_own_memory(&bench, rounds);
        bench_idle();
        for (enum victim_kind kind = 0; kind < VICTIM_MAX_; kind++)
                for (int i = 4; i < argc; i++)
                        if (strcmp(argv[i], victim_kind_to_string(kind)) == 0)
                                bench_kind(&bench, kind, rounds);
        pool_free(bench.pool);
        return EXIT_SUCCESS;
}
