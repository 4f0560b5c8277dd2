/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hash must be as fast as memory (pages/page_hash.c).
 *
 * A zero page is recognised by its hash. Its bytes are compared only then, so other pages pay nothing for the
 * check.
 */
#include "pages/fingerprint.h"

#include "pages/page.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static const unsigned char zero_page[PAGE_BYTES];

int fingerprint_key_init(struct fingerprint_key *key)
{
        size_t filled = 0;

        while (filled < sizeof(key->secret)) {
                ssize_t got = getrandom(key->secret + filled, sizeof(key->secret) - filled, 0);

                if (got < 0 && errno != EINTR)
                        return -errno;
                filled += got > 0 ? (size_t)got : 0;
        }
        key->hash = page_hash_choose();
        key->zero = key->hash(zero_page, key->secret);
        return 0;
}

void fingerprint_key_deinit(struct fingerprint_key *key)
{
        explicit_bzero(key, sizeof(*key));
}

static uint64_t fingerprint_page(const struct fingerprint_key *key, const void *page)
{
        uint64_t hash = key->hash(page, key->secret);

        if (hash == key->zero && memcmp(page, zero_page, PAGE_BYTES) == 0)
                return PAGE_ZERO;
        /* Values that have a special meaning move to the other end of the range. */
        return hash < PAGE_FIRST_HASH ? ~hash : hash;
}

void fingerprint_pages(const struct fingerprint_key *key, const void *pages, size_t n_pages,
                       uint64_t *ret_fingerprints)
{
        const unsigned char *page = pages;

        for (size_t i = 0; i < n_pages; i++, page += PAGE_BYTES)
                ret_fingerprints[i] = fingerprint_page(key, page);
}
