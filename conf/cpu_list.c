/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/cpu_list.h"

#include "base/cleanup.h"
#include "base/fileio.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads a number at *@text and passes over it. */
static bool take_cpu_number(const char **text, unsigned long *ret)
{
        char *end = NULL;

        if (!isdigit((unsigned char)**text))
                return false;
        errno = 0;
        *ret = strtoul(*text, &end, 10);
        *text = end;
        return errno == 0;
}

/* "3" or "0-3", and nothing behind. */
static int add_cpu_range(const char *text, cpu_set_t *cpus)
{
        unsigned long first = 0;
        unsigned long last = 0;

        if (!take_cpu_number(&text, &first))
                return -EINVAL;
        last = first;
        if (*text == '-') {
                text++;
                if (!take_cpu_number(&text, &last))
                        return -EINVAL;
        }
        if (*text != '\0' || last < first || last >= CPU_SETSIZE)
                return -EINVAL;
        for (unsigned long cpu = first; cpu <= last; cpu++)
                CPU_SET(cpu, cpus);
        return 0;
}

static int add_node_cpus(unsigned long node, const char *node_dir, cpu_set_t *cpus, struct failure *failure)
{
        CLEANUP_CLOSE int dir_fd = open(node_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        CLEANUP_FREE char *text = NULL;
        char name[64] = "";
        char *rest = NULL;
        int r = 0;

        (void)snprintf(name, sizeof(name), "node%lu/cpulist", node);
        r = fileio_read_text(dir_fd, name, &text);
        if (r < 0)
                return failure_errno(failure, r, "the CPUs of NUMA node %lu cannot be found", node);
        text[strcspn(text, "\n")] = '\0';
        for (rest = text; r == 0 && rest;)
                r = add_cpu_range(strsep(&rest, ","), cpus);
        if (r < 0)
                return failure_set(failure, -EINVAL, "NUMA node %lu has no CPUs", node);
        return 0;
}

static int add_cpu_item(const char *item, const char *node_dir, cpu_set_t *cpus, struct failure *failure)
{
        const char *digits = item + 4;
        unsigned long node = 0;

        if (strncmp(item, "node", 4) != 0)
                return add_cpu_range(item, cpus);
        if (!take_cpu_number(&digits, &node) || *digits)
                return -EINVAL;
        return add_node_cpus(node, node_dir, cpus, failure);
}

int cpu_list_parse(const char *text, const char *node_dir, cpu_set_t *ret, struct failure *failure)
{
        CLEANUP_FREE char *copy = strdup(text);
        struct failure reason = {0};
        cpu_set_t cpus;
        char *rest = copy;
        int r = copy ? 0 : -ENOMEM;

        CPU_ZERO(&cpus);
        while (r == 0 && rest)
                r = add_cpu_item(strsep(&rest, ","), node_dir, &cpus, &reason);
        if (r < 0 && reason.text[0])
                return failure_set(failure, r, "%s", reason.text);
        if (r < 0)
                return failure_set(failure, r, "\"%s\" is no list of CPUs below %d like 0-3,8 or node1", text,
                                   CPU_SETSIZE);
        *ret = cpus;
        return 0;
}
