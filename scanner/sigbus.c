/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel raises SIGBUS in the thread that reads the broken page, so each thread has its own way back. The
 * handler does not block further SIGBUS (SA_NODEFER): siglongjmp() without a saved mask would leave it
 * blocked.
 */
#include "scanner/sigbus.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static _Thread_local sigjmp_buf *way_back;

static void on_sigbus(int number)
{
        if (way_back)
                siglongjmp(*way_back, 1);
        (void)signal(number, SIG_DFL);
        (void)raise(number);
}

int sigbus_install(void)
{
        struct sigaction action = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER};

        return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

bool sigbus_survives(void (*function)(void *argument), void *argument)
{
        sigjmp_buf here;
        bool survived = false;

        if (sigsetjmp(here, 0) == 0) {
                way_back = &here;
                function(argument);
                survived = true;
        }
        way_back = NULL;
        return survived;
}
