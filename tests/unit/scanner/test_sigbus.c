/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "own_memory.h"
#include "scanner/sigbus.h"
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static void touch(void *argument)
{
        (void)*(volatile unsigned char *)argument;
}

static struct own_memory truncated_file(void)
{
        struct own_memory memory = own_memory_map(1, MAP_SHARED, 1);

        own_memory_fill(&memory, 0, 1);
        CU_ASSERT_EQUAL(ftruncate(memory.fd, 0), 0);
        return memory;
}

static void test_survives_again_and_again(void)
{
        struct own_memory gone = truncated_file();
        struct own_memory there = own_memory_map(1, MAP_SHARED, 1);

        CU_ASSERT_EQUAL_FATAL(sigbus_install(), 0);
        for (int i = 0; i < 3; i++) {
                CU_ASSERT_FALSE(sigbus_survives(touch, gone.pages));
                CU_ASSERT_TRUE(sigbus_survives(touch, there.pages));
        }
        own_memory_unmap(&gone);
        own_memory_unmap(&there);
}

static void *touch_in_thread(void *argument)
{
        return sigbus_survives(touch, argument) ? argument : NULL;
}

static void test_each_thread_has_its_own_way_back(void)
{
        struct own_memory gone = truncated_file();
        pthread_t threads[4];

        CU_ASSERT_EQUAL_FATAL(sigbus_install(), 0);
        for (size_t i = 0; i < 4; i++)
                CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, touch_in_thread, gone.pages), 0);
        for (size_t i = 0; i < 4; i++) {
                void *survived = &threads;

                CU_ASSERT_EQUAL(pthread_join(threads[i], &survived), 0);
                CU_ASSERT_PTR_NULL(survived);
        }
        own_memory_unmap(&gone);
}

/* A mistake of ours must not be hidden. */
static void test_elsewhere_it_still_ends_the_process(void)
{
        struct own_memory gone = truncated_file();
        int status = 0;
        const pid_t pid = fork();

        if (pid == 0) {
                (void)sigbus_install();
                touch(gone.pages);
                _exit(0);
        }
        CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
        CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
        own_memory_unmap(&gone);
}

static const struct unit_test tests[] = {
        {"survives again and again", test_survives_again_and_again},
        {"each thread has its own way back", test_each_thread_has_its_own_way_back},
        {"elsewhere it still ends the process", test_elsewhere_it_still_ends_the_process},
};

UNIT_MAIN("sigbus", tests)
