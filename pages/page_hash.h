/* SPDX-License-Identifier: GPL-2.0-or-later */
/* XXH3 of one page, for the widest vector registers that this CPU has. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A secret has as many bytes as XXH3's own. */
#define PAGE_HASH_SECRET_BYTES 192

/**
 * page_hash_fn - XXH3 with 64 bits and a secret, of PAGE_BYTES bytes
 * @page: any alignment
 * @secret: PAGE_HASH_SECRET_BYTES bytes
 */
typedef uint64_t page_hash_fn(const void *page, const unsigned char *secret);

/**
 * struct page_hash - page_hash.c as compiled for one instruction set; all give the same hashes
 * @is_supported: whether this CPU has it
 */
struct page_hash {
        const char *name;
        page_hash_fn *hash;
        bool (*is_supported)(void);
};

/* The widest first. An entry without a name ends the list; every x86-64 CPU supports the one before it. */
extern const struct page_hash page_hashes[];

/* The first one that this CPU supports. */
page_hash_fn *page_hash_choose(void);
