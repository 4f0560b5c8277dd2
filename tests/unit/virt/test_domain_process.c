/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "qmp/virt/domain_process.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMED   "11111111-2222-3333-4444-0123456789ab"
#define UNNAMED "11111111-2222-3333-4444-0123456789ac"

static char folder[64];
static struct failure failure;

/* A process with this command line, which does nothing. */
static pid_t start(const char *word, const char *uuid)
{
        int ready[2];
        char byte = 0;
        pid_t pid = 0;

        CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
        pid = fork();
        if (pid == 0) {
                (void)dup2(ready[1], 1);
                (void)execl("/bin/sh", "sh", "-c", "echo; kill -STOP $$", "qemu", word, uuid, NULL);
                _exit(EXIT_FAILURE);
        }
        CU_ASSERT_EQUAL(read(ready[0], &byte, 1), 1);
        (void)close(ready[0]);
        (void)close(ready[1]);
        return pid;
}

static void stop(pid_t pid)
{
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
}

static void write_pid_file(const char *name, const char *text)
{
        char path[128];
        FILE *file = NULL;

        (void)snprintf(path, sizeof(path), "%s/%s.pid", folder, name);
        file = fopen(path, "we");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        if (!file)
                return;
        (void)fputs(text, file);
        (void)fclose(file);
}

static void begin(void)
{
        (void)snprintf(folder, sizeof(folder), "/tmp/samepage-domain-XXXXXX");
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

static void end(void)
{
        char path[128];

        (void)snprintf(path, sizeof(path), "%s/web.pid", folder);
        (void)unlink(path);
        (void)rmdir(folder);
}

static bool has_uuid(pid_t pid, const char *uuid)
{
        char path[32];

        (void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
        return domain_process_has_uuid(AT_FDCWD, path, uuid);
}

static void test_has_uuid(void)
{
        pid_t pid = start("-uuid", NAMED);

        CU_ASSERT_TRUE(has_uuid(pid, NAMED));
        CU_ASSERT_TRUE(has_uuid(pid, "11111111-2222-3333-4444-0123456789AB"));
        CU_ASSERT_FALSE(has_uuid(pid, UNNAMED));
        stop(pid);
        CU_ASSERT_FALSE(has_uuid(pid, NAMED));
        pid = start("-name", NAMED);
        CU_ASSERT_FALSE(has_uuid(pid, NAMED));
        stop(pid);
}

static void test_pid_file(void)
{
        static const char *const useless[] = {"",          "0", "-1", "1", "x", "12x", "99999999999999999999",
                                              "4194304000"};
        pid_t one = start("-uuid", NAMED);
        pid_t two = start("-uuid", NAMED);
        pid_t pids[DOMAIN_PROCESS_MAX];
        size_t count = 0;
        char text[32];

        begin();
        (void)snprintf(text, sizeof(text), "%d", (int)two);
        write_pid_file("web", text);
        CU_ASSERT_EQUAL(domain_process_find(folder, "web", NAMED, pids, &count, &failure), 0);
        CU_ASSERT_EQUAL(count, 1);
        CU_ASSERT_EQUAL(pids[0], two);
        /* Without one that tells, all who say so are found. */
        for (size_t i = 0; i < ARRAY_SIZE(useless); i++) {
                write_pid_file("web", useless[i]);
                CU_ASSERT_EQUAL(domain_process_find(folder, "web", NAMED, pids, &count, &failure), 0);
                CU_ASSERT_EQUAL(count, 2);
        }
        CU_ASSERT_EQUAL(domain_process_find(folder, "../web", NAMED, pids, &count, &failure), 0);
        CU_ASSERT_EQUAL(count, 2);
        stop(one);
        CU_ASSERT_EQUAL(domain_process_find(folder, "none", NAMED, pids, &count, &failure), 0);
        CU_ASSERT_EQUAL(count, 1);
        stop(two);
        CU_ASSERT_EQUAL(domain_process_find(folder, "none", NAMED, pids, &count, &failure), -ESRCH);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, NAMED));
        end();
}

static const struct unit_test tests[] = {
        {"the UUID on the command line", test_has_uuid},
        {"libvirt's pid file", test_pid_file},
};

UNIT_MAIN("virt/domain_process", tests)
