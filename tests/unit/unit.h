/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The main() that all unit tests share: runs every test, prints what failed, and exits with 1 if anything
 * did. */
#pragma once

#include <CUnit/Basic.h>
#include <stddef.h>

/* What a test program exits with that cannot say anything here. */
#define EXIT_SKIPPED 77

struct unit_test {
        const char *name;
        void (*run)(void);
};

static inline int unit_run(const char *suite_name, const struct unit_test *tests, size_t n_tests)
{
        CU_pSuite suite = NULL;
        unsigned int n_failures = 1;

        if (CU_initialize_registry() != CUE_SUCCESS)
                return 1;
        suite = CU_add_suite(suite_name, NULL, NULL);
        for (size_t i = 0; suite && i < n_tests; i++)
                if (!CU_add_test(suite, tests[i].name, tests[i].run))
                        suite = NULL;
        if (suite) {
                CU_basic_set_mode(CU_BRM_VERBOSE);
                (void)CU_basic_run_tests();
                n_failures = CU_get_number_of_failures();
        }
        CU_cleanup_registry();
        return n_failures > 0;
}

#define UNIT_MAIN(suite, tests)                                                    \
        int main(void)                                                             \
        {                                                                          \
                return unit_run(suite, tests, sizeof(tests) / sizeof((tests)[0])); \
        }
