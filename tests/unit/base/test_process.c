/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "base/pidfd.h"
#include "base/process.h"
#include "unit.h"
#include "with_pidfd.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_stat(void)
{
        uint64_t ticks = 0;

        CU_ASSERT_EQUAL(
                process_parse_stat("7 (q) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 271363 0 0\n", &ticks), 0);
        CU_ASSERT_EQUAL(ticks, 271363);
        CU_ASSERT_EQUAL(
                process_parse_stat("7 (a) S 9 ) R 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n", &ticks), 0);
        CU_ASSERT_EQUAL(ticks, 5);
        CU_ASSERT_EQUAL(process_parse_stat("7 (q) Z 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n", &ticks),
                        -ESRCH);
        CU_ASSERT_EQUAL(process_parse_stat("", &ticks), -EBADMSG);
        CU_ASSERT_EQUAL(process_parse_stat("7 (q)", &ticks), -EBADMSG);
        CU_ASSERT_EQUAL(process_parse_stat("7 (q) S 1 2", &ticks), -EBADMSG);
}

static void test_maps(void)
{
        static const char maps[] = "1000-3000 rw-p 0 0 0 \n3000-4000 r--p 0 0 0 x\n5000-6000 rw-s 0 0 0 y";

        CU_ASSERT_TRUE(process_maps_cover(maps, 0x1000, 0x3000));
        CU_ASSERT_TRUE(process_maps_cover(maps, 0x2000, 0x1000));
        CU_ASSERT_TRUE(process_maps_cover(maps, 0x5000, 0x1000));
        CU_ASSERT_FALSE(process_maps_cover(maps, 0x1000, 0x3001));
        CU_ASSERT_FALSE(process_maps_cover(maps, 0x0, 0x2000));
        CU_ASSERT_FALSE(process_maps_cover(maps, 0x3000, 0x3000));
        CU_ASSERT_FALSE(process_maps_cover(maps, 0x5000, 0x1001));
        CU_ASSERT_FALSE(process_maps_cover(maps, 0x1000, 0));
        CU_ASSERT_FALSE(process_maps_cover(maps, UINT64_MAX - 10, 4096));
        CU_ASSERT_FALSE(process_maps_cover("", 0x1000, 0x1000));
        CU_ASSERT_FALSE(process_maps_cover("garbage\n-\n\n", 0x1000, 0x1000));
}

static void test_life(void)
{
        struct process self = {0};
        struct process child = {0};
        int pidfd = -1;
        int proc_fd = -1;
        pid_t pid = fork();

        if (pid == 0) {
                (void)pause();
                _exit(0);
        }
        CU_ASSERT_EQUAL(process_identify(getpid(), &self), 0);
        CU_ASSERT_TRUE(process_is_alive(&self));
        self.start_ticks++;
        CU_ASSERT_FALSE(process_is_alive(&self));
        CU_ASSERT_EQUAL(process_identify(pid, &child), 0);
        /* Somebody who had this pid before, or will have it. */
        child.start_ticks++;
        CU_ASSERT_EQUAL(process_open_same(&child, &pidfd, &proc_fd), -ESRCH);
        child.start_ticks--;
        CU_ASSERT_EQUAL_FATAL(process_open_same(&child, &pidfd, &proc_fd), 0);
        CU_ASSERT_TRUE(process_is_alive(&child));
        CU_ASSERT_TRUE(pidfd_is_alive(pidfd));
        (void)kill(pid, SIGKILL);
        (void)waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT);
        /* A zombie is dead. */
        CU_ASSERT_FALSE(process_is_alive(&child));
        CU_ASSERT_FALSE(pidfd_is_alive(pidfd));
        CU_ASSERT_EQUAL(process_get_start_ticks(proc_fd, &child.start_ticks), -ESRCH);
        (void)waitpid(pid, NULL, 0);
        CU_ASSERT_FALSE(process_is_alive(&child));
        CU_ASSERT_EQUAL(process_get_start_ticks(proc_fd, &child.start_ticks), -ESRCH);
        close_fd(&pidfd);
        close_fd(&proc_fd);
        CU_ASSERT_EQUAL(process_open(pid, &pidfd, &proc_fd), -ESRCH);
}

/* Without a descriptor to look with, nobody is declared dead. */
static void test_no_descriptors(void)
{
        struct rlimit before = {0};
        struct rlimit none = {0};
        struct process self = {0};
        bool is_alive = false;

        CU_ASSERT_EQUAL_FATAL(process_identify(getpid(), &self), 0);
        CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
        none.rlim_max = before.rlim_max;
        CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &none), 0);
        is_alive = process_is_alive(&self);
        CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
        CU_ASSERT_TRUE(is_alive);
}

static void test_peers(void)
{
        CLEANUP_FREE pid_t *pids = NULL;
        size_t count = 0;
        struct failure failure = {0};
        uint32_t inode = 0;
        pid_t pid = 0;
        int pidfd = -1;
        int proc_fd = -1;
        int pair[2];
        int pipe_fds[2];
        pid_t child = 0;
        char byte = 0;

        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
        child = fork();
        if (child == 0) {
                (void)close(pair[0]);
                (void)close(pipe_fds[1]);
                _exit((int)read(pipe_fds[0], &byte, 1));
        }
        (void)close(pair[1]);
        CU_ASSERT_EQUAL(process_get_listener(pair[0], &pid), 0);
        CU_ASSERT_EQUAL(pid, getpid());
        CU_ASSERT_EQUAL_FATAL(process_get_peer_inode(pair[0], &inode, &failure), 0);
        CU_ASSERT_EQUAL_FATAL(process_find_holders(inode, &pids, &count, &failure), 0);
        CU_ASSERT_EQUAL_FATAL(count, 1);
        CU_ASSERT_EQUAL(pids[0], child);
        CU_ASSERT_EQUAL_FATAL(process_open(child, &pidfd, &proc_fd), 0);
        CU_ASSERT_EQUAL(process_has_socket(proc_fd, inode), 1);
        CU_ASSERT_EQUAL(process_has_socket(proc_fd, inode + 1), 0);
        (void)close(pipe_fds[0]);
        (void)close(pipe_fds[1]);
        (void)waitpid(child, NULL, 0);
        CU_ASSERT_EQUAL(process_has_socket(proc_fd, inode), -ESRCH);
        CU_ASSERT(process_get_peer_inode(pair[0], &inode, &failure) < 0);
        (void)close(pair[0]);
        close_fd(&pidfd);
        close_fd(&proc_fd);
        CU_ASSERT(process_get_peer_inode(STDIN_FILENO, &inode, &failure) < 0);
}

static const struct unit_test tests[] = {
        {"/proc/PID/stat", test_stat},
        {"what /proc/PID/maps covers", test_maps},
        {"who lives", test_life},
        {"nobody is dead for want of descriptors", test_no_descriptors},
        {"who holds the other end", test_peers},
};
UNIT_MAIN_WITH_PIDFD("base/process", tests)
