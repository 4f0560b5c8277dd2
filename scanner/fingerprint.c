/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hash has to be as fast as memory, so it is xxHash through its run-time dispatch: plain calls of the
 * packaged library are compiled for SSE2, the dispatched ones take AVX2 or AVX-512 where the CPU has them.
 *
 * A zero page is recognised by its hash first, and by its bytes only then: other pages pay nothing for the
 * question.
 */
#include "scanner/fingerprint.h"

#include "scanner/page.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <xxh_x86dispatch.h>

#define CACHE_LINE_BYTES 64
/*
 * The prefetchers of a CPU stop at the end of a page, and would begin anew with every one. Asking for the first half
 * of the next page while this one is hashed brings the hash from 0.8 to 0.95 and more of the speed of a mere sum;
 * a quarter gains half of that, a whole page makes it slower than nothing (tests/bench/bench_memory.c).
 */
#define PREFETCH_BYTES 2048

static const unsigned char zero_page[PAGE_BYTES];

static uint64_t hash_page(const struct fingerprint_key *key, const void *page)
{
        return XXH3_64bits_withSecret_dispatch(page, PAGE_BYTES, key->secret, sizeof(key->secret));
}

int fingerprint_key_init(struct fingerprint_key *key)
{
        size_t filled = 0;

        while (filled < sizeof(key->secret)) {
                ssize_t got = getrandom(key->secret + filled, sizeof(key->secret) - filled, 0);

                if (got < 0 && errno != EINTR)
                        return -errno;
                filled += got > 0 ? (size_t)got : 0;
        }
        key->zero = hash_page(key, zero_page);
        return 0;
}

void fingerprint_key_deinit(struct fingerprint_key *key)
{
        explicit_bzero(key, sizeof(*key));
}

static uint64_t fingerprint_page(const struct fingerprint_key *key, const void *page)
{
        uint64_t hash = hash_page(key, page);

        if (hash == key->zero && memcmp(page, zero_page, PAGE_BYTES) == 0)
                return PAGE_ZERO;
        /* The few values with a meaning of their own move to the other end of the range. */
        return hash < PAGE_FIRST_HASH ? ~hash : hash;
}

/* Asks for the first lines of a page that is going to be hashed next. */
static void prefetch_page(const unsigned char *page)
{
        for (size_t offset = 0; offset < PREFETCH_BYTES; offset += CACHE_LINE_BYTES)
                __builtin_prefetch(page + offset);
}

void fingerprint_pages(const struct fingerprint_key *key, const void *pages, size_t n_pages,
                       uint64_t *ret_fingerprints)
{
        const unsigned char *page = pages;

        for (size_t i = 0; i < n_pages; i++, page += PAGE_BYTES) {
                if (i + 1 < n_pages)
                        prefetch_page(page + PAGE_BYTES);
                ret_fingerprints[i] = fingerprint_page(key, page);
        }
}
