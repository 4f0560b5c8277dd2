/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keyed fingerprints of pages. */
#pragma once

#include "pages/page_hash.h"

#include <stddef.h>
#include <stdint.h>

/**
 * struct fingerprint_key - the secret that the fingerprints of one scan are keyed with
 * @secret: random bytes; a fingerprint tells nothing about content to somebody who does not have them
 * @hash: for this CPU
 * @zero: the hash of a page of zeros under this secret
 */
struct fingerprint_key {
        unsigned char secret[PAGE_HASH_SECRET_BYTES];
        page_hash_fn *hash;
        uint64_t zero;
};

/**
 * fingerprint_key_init() - draw a new random key
 *
 * Return: 0, or a negative errno when the kernel gives no random bytes.
 */
int fingerprint_key_init(struct fingerprint_key *key);

/* Wipes the key. */
void fingerprint_key_deinit(struct fingerprint_key *key);

/**
 * fingerprint_pages() - fingerprint whole pages
 * @pages: @n_pages × PAGE_BYTES bytes
 * @ret_fingerprints: @n_pages words: PAGE_ZERO for a page of zeros, else a value ≥ PAGE_FIRST_HASH
 *
 * XXH3 with 64 bits and a secret. Two different pages get the same value with probability 2^-64: at 2^28
 * pages (1 TiB) one pair in 500 such hosts.
 */
void fingerprint_pages(const struct fingerprint_key *key, const void *pages, size_t n_pages,
                       uint64_t *ret_fingerprints);
