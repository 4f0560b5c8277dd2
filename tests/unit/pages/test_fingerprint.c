/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pages/fingerprint.h"
#include "pages/page.h"
#include "unit.h"

#include <string.h>
#include <xxhash.h>

static unsigned char pages[4][PAGE_BYTES];

static void test_zero_page(void)
{
        struct fingerprint_key key;
        uint64_t words[4] = {0};

        CU_ASSERT_EQUAL(fingerprint_key_init(&key), 0);
        memset(pages, 0, sizeof(pages));
        pages[1][0] = 1;
        pages[2][PAGE_BYTES - 1] = 1;
        fingerprint_pages(&key, pages, 4, words);
        CU_ASSERT_EQUAL(words[0], PAGE_ZERO);
        CU_ASSERT(words[1] >= PAGE_FIRST_HASH);
        CU_ASSERT(words[2] >= PAGE_FIRST_HASH);
        CU_ASSERT_EQUAL(words[3], PAGE_ZERO);
        fingerprint_key_deinit(&key);
}

static void test_every_bit_counts(void)
{
        struct fingerprint_key key;
        uint64_t words[2] = {0};

        CU_ASSERT_EQUAL(fingerprint_key_init(&key), 0);
        memset(pages, 0x5a, sizeof(pages));
        fingerprint_pages(&key, pages, 2, words);
        CU_ASSERT_EQUAL(words[0], words[1]);
        for (size_t bit = 0; bit < PAGE_BYTES * 8; bit += 61) {
                uint64_t changed = 0;

                pages[0][bit / 8] ^= (unsigned char)(1U << bit % 8);
                fingerprint_pages(&key, pages[0], 1, &changed);
                CU_ASSERT_NOT_EQUAL(changed, words[1]);
                pages[0][bit / 8] ^= (unsigned char)(1U << bit % 8);
        }
        fingerprint_key_deinit(&key);
}

/* Without the key a fingerprint says nothing: two keys give different ones for the same page. */
static void test_keyed(void)
{
        struct fingerprint_key a;
        struct fingerprint_key b;
        uint64_t words[2] = {0};

        CU_ASSERT_EQUAL(fingerprint_key_init(&a), 0);
        CU_ASSERT_EQUAL(fingerprint_key_init(&b), 0);
        memset(pages, 0x11, sizeof(pages));
        fingerprint_pages(&a, pages, 1, &words[0]);
        fingerprint_pages(&b, pages, 1, &words[1]);
        CU_ASSERT_NOT_EQUAL(words[0], words[1]);
        fingerprint_key_deinit(&a);
        fingerprint_key_deinit(&b);
        CU_ASSERT_EQUAL(a.secret[0] | a.secret[PAGE_HASH_SECRET_BYTES - 1], 0);
}

/* Each instruction set that this CPU has gives what the packaged library gives. */
static void test_every_instruction_set(void)
{
        unsigned char secret[PAGE_HASH_SECRET_BYTES];

        for (size_t i = 0; i < sizeof(secret); i++)
                secret[i] = (unsigned char)(i * 151 + 7);
        for (size_t i = 0; i < sizeof(pages); i++)
                pages[i / PAGE_BYTES][i % PAGE_BYTES] = (unsigned char)(i * i + i / 251);
        for (const struct page_hash *set = page_hashes; set->name; set++) {
                if (!set->is_supported())
                        continue;
                for (size_t i = 0; i < 4; i++)
                        CU_ASSERT_EQUAL(set->hash(pages[i], secret),
                                        XXH3_64bits_withSecret(pages[i], PAGE_BYTES, secret, sizeof(secret)));
                /* Pages in a buffer are aligned, in a file at an offset they might not be. */
                CU_ASSERT_EQUAL(set->hash(pages[0] + 5, secret),
                                XXH3_64bits_withSecret(pages[0] + 5, PAGE_BYTES, secret, sizeof(secret)));
        }
}

static const struct unit_test tests[] = {
        {"zero page", test_zero_page},
        {"every bit counts", test_every_bit_counts},
        {"keyed", test_keyed},
        {"every instruction set", test_every_instruction_set},
};

UNIT_MAIN("fingerprint", tests)
