/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/advice.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_LIMIT 256

static struct ksm make_ksm(int64_t max_page_sharing)
{
        struct ksm ksm = {.available = true, .n_files = 1};

        ksm.files[0] = (struct ksm_file){.value = max_page_sharing, .is_number = true};
        (void)snprintf(ksm.files[0].name, sizeof(ksm.files[0].name), "max_page_sharing");
        return ksm;
}

static const char *remedy(enum gap_reason reason, const struct ksm *ksm, double recheck_seconds)
{
        static char text[ADVICE_REMEDY_BYTES];

        advice_remedy(reason, ksm, recheck_seconds, text, sizeof(text));
        return text;
}

static const char *sentence(enum gap_reason reason, const struct ksm *ksm)
{
        static char text[ADVICE_REMEDY_BYTES];

        advice_sentence(reason, ksm, text, sizeof(text));
        return text;
}

static void test_the_limit_is_doubled(void)
{
        static const struct {
                int64_t now;
                const char *command;
        } limits[] = {
                {DEFAULT_LIMIT, "echo 512 > max_page_sharing"},
                {512, "echo 1024 > max_page_sharing"},
                {2000, "echo 4000 > max_page_sharing"},
                {INT32_MAX - 1, "echo 2147483647 > max_page_sharing"},
        };
        const struct ksm unknown = {.available = true};

        for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
                const struct ksm ksm = make_ksm(limits[i].now);

                CU_ASSERT_PTR_NOT_NULL(strstr(remedy(GAP_REASON_SHARING_LIMIT, &ksm, 0), limits[i].command));
        }
        CU_ASSERT_PTR_NOT_NULL(strstr(remedy(GAP_REASON_SHARING_LIMIT, &unknown, 0), "raise"));
}

/* To a shell brackets mean something; what is behind a # does not. */
static void test_commands_can_be_pasted(void)
{
        const struct ksm ksm = make_ksm(DEFAULT_LIMIT);
        size_t n_commands = 0;

        for (enum gap_reason reason = 0; reason < GAP_REASON_COUNT_; reason++) {
                const char *text = remedy(reason, &ksm, 0);

                CU_ASSERT(*text && strlen(text) + 1 < ADVICE_REMEDY_BYTES);
                if (strncmp(text, "cd ", 3) != 0)
                        continue;
                n_commands++;
                CU_ASSERT_PTR_NULL(strpbrk(text, "()"));
                CU_ASSERT_PTR_NOT_NULL(strstr(text, " # un-merges all first"));
        }
        CU_ASSERT_EQUAL(n_commands, 2);
}

/* Who has just looked twice is not told to. */
static void test_unexplained(void)
{
        const struct ksm ksm = make_ksm(DEFAULT_LIMIT);

        CU_ASSERT_PTR_NOT_NULL(strstr(remedy(GAP_REASON_UNEXPLAINED, &ksm, 0), "--recheck"));
        CU_ASSERT_PTR_NULL(strstr(remedy(GAP_REASON_UNEXPLAINED, &ksm, 60), "--recheck"));
}

static void test_no_ksm(void)
{
        const struct ksm ksm = make_ksm(DEFAULT_LIMIT);
        const struct ksm none = {.available = false};

        CU_ASSERT_PTR_NOT_NULL(strstr(remedy(GAP_REASON_NOT_MERGEABLE, &ksm, 0), "mem-merge=on"));
        CU_ASSERT_PTR_NULL(strstr(remedy(GAP_REASON_NOT_MERGEABLE, &none, 0), "mem-merge=on"));
        CU_ASSERT_PTR_NOT_NULL(strstr(remedy(GAP_REASON_NOT_MERGEABLE, &none, 0), "CONFIG_KSM"));
        CU_ASSERT_PTR_NOT_NULL(strstr(sentence(GAP_REASON_NOT_MERGEABLE, &none), "no KSM"));
        CU_ASSERT_PTR_NULL(strstr(sentence(GAP_REASON_NOT_MERGEABLE, &ksm), "no KSM"));
}

static const struct unit_test tests[] = {
        {"the limit is doubled", test_the_limit_is_doubled},
        {"commands can be pasted", test_commands_can_be_pasted},
        {"unexplained", test_unexplained},
        {"no ksm", test_no_ksm},
};

UNIT_MAIN("advice", tests)
