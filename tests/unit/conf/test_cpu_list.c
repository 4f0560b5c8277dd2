/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/cpu_list.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/samepage-nodes.XXXXXX";

static void write_node(int node, const char *text)
{
        char path[128] = "";
        FILE *file = NULL;

        (void)snprintf(path, sizeof(path), "%s/node%d", folder, node);
        CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
        (void)snprintf(path, sizeof(path), "%s/node%d/cpulist", folder, node);
        file = fopen(path, "we");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        (void)fputs(text, file);
        (void)fclose(file);
}

static void remove_node(int node)
{
        char path[128] = "";

        (void)snprintf(path, sizeof(path), "%s/node%d/cpulist", folder, node);
        (void)unlink(path);
        *strrchr(path, '/') = '\0';
        (void)rmdir(path);
}

/* The CPUs of a list as a string of digits, below 16 in hexadecimal; or why it is none. */
static const char *parse(const char *text)
{
        static char found[CPU_SETSIZE + 1];
        static struct failure failure;
        size_t n = 0;
        cpu_set_t cpus;

        failure = (struct failure){0};
        if (cpu_list_parse(text, folder, &cpus, &failure) < 0)
                return failure.text;
        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
                if (CPU_ISSET(cpu, &cpus))
                        found[n++] = cpu < 16 ? "0123456789abcdef"[cpu] : '+';
        found[n] = '\0';
        return found;
}

static void test_numbers_and_ranges(void)
{
        CU_ASSERT_STRING_EQUAL(parse("0"), "0");
        CU_ASSERT_STRING_EQUAL(parse("0-3,8"), "01238");
        CU_ASSERT_STRING_EQUAL(parse("3,1,2-3"), "123");
        CU_ASSERT_STRING_EQUAL(parse("1022-1023"), "++");
}

static void test_nodes(void)
{
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
        write_node(0, "0-1,8-9\n");
        write_node(1, "2-3\n");
        write_node(2, "\n"); /* memory only */
        CU_ASSERT_STRING_EQUAL(parse("node0"), "0189");
        CU_ASSERT_STRING_EQUAL(parse("node1,0"), "023");
        CU_ASSERT_STRING_EQUAL(parse("node2"), "NUMA node 2 has no CPUs");
        CU_ASSERT_PTR_NOT_NULL(strstr(parse("node7"), "NUMA node 7 cannot be found"));
        for (int node = 0; node < 3; node++)
                remove_node(node);
        (void)rmdir(folder);
}

static void test_what_is_no_list(void)
{
        static const char *const cases[] = {
                "",     "a",      "1,",   ",1",    "1,,2",   "3-1", "1-",  "-1",
                "1024", "0-1024", "node", "nodeX", "node1x", "1 2", "0x1", "99999999999999999999",
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                CU_ASSERT_PTR_NOT_NULL(strstr(parse(cases[i]), "is no list of CPUs"));
}

static const struct unit_test tests[] = {
        {"numbers and ranges", test_numbers_and_ranges},
        {"nodes", test_nodes},
        {"what is no list", test_what_is_no_list},
};

UNIT_MAIN("cpu_list", tests)
