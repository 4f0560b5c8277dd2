/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * This file is compiled once for each instruction set, with PAGE_HASH_FUNCTION as the function's name
 * (pages/meson.build).
 *
 * The packaged xxHash chooses an instruction set at run time too, but prefetches only 0.3 to 0.5 KiB ahead.
 * The hardware prefetchers of a CPU stop at the end of a page and begin anew with the next one. So the
 * distance must be long enough for them to have begun when the hash gets there. Half a page brought 0.8 to
 * 0.98 of the speed of a mere sum on an Intel CPU with AVX-512. Prefetching half a page at once between two
 * pages cost an AMD CPU with AVX2 two fifths of its speed. Line by line, as here, it costs nothing there
 * (tests/bench/bench_memory.c).
 */
#define XXH_INLINE_ALL
#define XXH_PREFETCH_DIST 2048
#include <xxhash.h>

#include "pages/page.h"
#include "pages/page_hash.h"

uint64_t PAGE_HASH_FUNCTION(const void *page, const unsigned char *secret);

uint64_t PAGE_HASH_FUNCTION(const void *page, const unsigned char *secret)
{
        return XXH3_64bits_withSecret(page, PAGE_BYTES, secret, PAGE_HASH_SECRET_BYTES);
}
