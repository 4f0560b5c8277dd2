/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pages/page_hash.h"

#include <stddef.h>

/* Of page_hash.c. */
page_hash_fn page_hash_avx512;
page_hash_fn page_hash_avx2;
page_hash_fn page_hash_sse2;

static bool has_avx512(void)
{
        return __builtin_cpu_supports("avx512f");
}

static bool has_avx2(void)
{
        return __builtin_cpu_supports("avx2");
}

static bool has_sse2(void)
{
        return true;
}

const struct page_hash page_hashes[] = {
        {"AVX-512", page_hash_avx512, has_avx512},
        {"AVX2", page_hash_avx2, has_avx2},
        {"SSE2", page_hash_sse2, has_sse2},
        {0},
};

page_hash_fn *page_hash_choose(void)
{
        size_t i = 0;

        while (!page_hashes[i].is_supported())
                i++;
        return page_hashes[i].hash;
}
