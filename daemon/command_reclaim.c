/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * With --apply the work is done by a process of its own: the guard may have to kill it (lease_pause_deadly), and somebody
 * has to be left who says so. It ends with this process, whatever that dies of.
 */
#include "base/clock.h"
#include "daemon/command.h"
#include "daemon/events.h"
#include "daemon/print.h"
#include "daemon/progress.h"
#include "daemon/reclaim_job.h"
#include "daemon/reclaim_print.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int run_job(const struct settings *settings, struct reclaim_result *ret_result,
                   struct failure *failure)
{
        struct progress progress = {0};
        int r = 0;

        if (settings->events)
                return reclaim_job_run(settings, &(struct job_observer){.progress = progress_tell},
                                       ret_result, failure);
        progress_init(&progress);
        r = reclaim_job_run(settings, &(struct job_observer){progress_show, &progress}, ret_result, failure);
        progress_deinit(&progress);
        return r;
}

static bool print_result(const struct settings *settings, const struct reclaim_result *result)
{
        if (settings->events)
                return events_print(EVENT_REPORT, reclaim_to_json(result));
        reclaim_print_complaints(result, stderr);
        if (result->n_guests == 0)
                (void)fputs("samepage: there are no guests\n", stderr);
        if (settings->json)
                return print_json(reclaim_to_json(result));
        reclaim_print(result, stdout);
        return print_finish();
}

static enum exit_code judge(const struct reclaim_result *result)
{
        size_t n_partly = 0;

        for (size_t i = 0; i < result->n_guests; i++)
                n_partly += reclaim_guest_is_partly(&result->guests[i]);
        if (n_partly == 0)
                return EXIT_CODE_DONE;
        return n_partly == result->n_guests ? EXIT_CODE_FAILED : EXIT_CODE_PARTLY;
}

static enum exit_code run(const struct settings *settings)
{
        struct reclaim_result result = {0};
        struct failure failure = {0};
        enum exit_code code = EXIT_CODE_DONE;

        if (run_job(settings, &result, &failure) < 0) {
                events_complain(settings, failure.text);
                return EXIT_CODE_FAILED;
        }
        code = print_result(settings, &result) ? judge(&result) : EXIT_CODE_FAILED;
        reclaim_result_deinit(&result);
        return code;
}

/* The process that acts. */
static _Noreturn void act(const struct settings *settings, pid_t parent)
{
        enum exit_code code = EXIT_CODE_FAILED;

        /* The parent has one thread, so its end is the one that counts. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent)
                code = run(settings);
        (void)fflush(stdout);
        _exit((int)code);
}

static enum exit_code run_apart(const struct settings *settings)
{
        const pid_t self = getpid();
        const pid_t pid = fork();
        int status = 0;

        if (pid < 0) {
                events_complain(settings, "cannot start the process that gives memory back");
                return EXIT_CODE_FAILED;
        }
        if (pid == 0)
                act(settings, self);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (WIFEXITED(status))
                return (enum exit_code)WEXITSTATUS(status);
        events_complain(settings,
                        "it was ended, probably by its guard, as a guest had to run again or somebody else "
                        "resumed it. What was given back stays so; run it again for the rest");
        return EXIT_CODE_FAILED;
}

enum exit_code command_reclaim(const struct settings *settings)
{
        if (settings->qmp_sockets.n == 0 && !settings->libvirt_uri) {
                (void)fputs("samepage: no guest is named: give --qmp SOCKET or --libvirt URI\n", stderr);
                return EXIT_CODE_USAGE;
        }
        if (settings->apply && settings->max_pause_usec < RECLAIM_GUEST_PAUSE_LEAST_MSEC * USEC_PER_MSEC) {
                (void)fprintf(
                        stderr,
                        "samepage: memory cannot be given back in a pause as short as that: --max-pause has "
                        "to be %d or more\n",
                        RECLAIM_GUEST_PAUSE_LEAST_MSEC);
                return EXIT_CODE_USAGE;
        }
        return settings->apply ? run_apart(settings) : run(settings);
}
