/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * With --apply a child process does the work. The guard may have to kill it (lease_pause_exclusive), and then
 * this process reports that. The child ends when this process ends, whatever the cause.
 */
#include "base/clock.h"
#include "base/print.h"
#include "base/text.h"
#include "daemon/command/command.h"
#include "daemon/command/progress.h"
#include "daemon/command/reclaim_print.h"
#include "daemon/reclaim/reclaim_job.h"
#include "report/events.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int run_job(const struct options *options, struct reclaim_trace *trace,
                   struct reclaim_result *ret_result, struct failure *failure)
{
        const struct reclaim_wish wish = {
                .guests = &options->guests,
                .scan = &options->scan,
                .runtime_dir = options->runtime_dir,
                .apply = options->apply,
        };
        struct progress progress;
        const struct job_observer observer = progress_init(&progress, options->events);
        int r = reclaim_job_run(&wish, &observer, trace, ret_result, failure);

        progress_deinit(&progress);
        return r;
}

static bool print_result(const struct options *options, const struct reclaim_result *result)
{
        if (options->events)
                return events_print(EVENT_REPORT, reclaim_to_json(result));
        reclaim_print_complaints(result, stderr);
        if (result->n_guests == 0)
                (void)fputs("samepage: there are no guests\n", stderr);
        if (options->json)
                return print_json(reclaim_to_json(result));
        reclaim_print(result, stdout);
        return print_finish();
}

static enum exit_code judge_reclaim(const struct reclaim_result *result)
{
        size_t n_partly = 0;

        for (size_t i = 0; i < result->n_guests; i++)
                n_partly += reclaim_guest_is_partly(&result->guests[i]);
        if (n_partly == 0)
                return EXIT_CODE_DONE;
        return n_partly == result->n_guests ? EXIT_CODE_FAILED : EXIT_CODE_PARTLY;
}

static enum exit_code reclaim_and_print(const struct options *options, struct reclaim_trace *trace)
{
        struct reclaim_result result = {0};
        struct failure failure = {0};
        enum exit_code code = EXIT_CODE_DONE;

        if (run_job(options, trace, &result, &failure) < 0) {
                events_complain(options, failure.text);
                return EXIT_CODE_FAILED;
        }
        code = print_result(options, &result) ? judge_reclaim(&result) : EXIT_CODE_FAILED;
        reclaim_result_deinit(&result);
        return code;
}

/* Runs in the child that gives memory back. */
static _Noreturn void reclaim_as_child(const struct options *options, struct reclaim_trace *trace,
                                       pid_t parent)
{
        enum exit_code code = EXIT_CODE_FAILED;

        /* The parent has one thread, so its end is the one that counts. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent)
                code = reclaim_and_print(options, trace);
        (void)fflush(stdout);
        _exit((int)code);
}

static void complain_of_end(const struct options *options, const struct reclaim_trace *trace)
{
        char text[512] = "";

        (void)snprintf(text, sizeof(text),
                       "it was ended, probably by its guard, as a guest had to run again or somebody else "
                       "resumed it. It "
                       "was done with %zu of %zu guests%s%s. What was given back stays so; run it again for "
                       "the rest",
                       trace->n_done, trace->n_guests, *trace->guest ? ", and at work on " : "",
                       trace->guest);
        text_make_printable(text);
        events_complain(options, text);
}

/* Forks the child and waits for it. */
static enum exit_code run_apart(const struct options *options, struct reclaim_trace *trace)
{
        const pid_t self = getpid();
        const pid_t pid = fork();
        int status = 0;

        if (pid < 0) {
                events_complain(options, "cannot start the process that gives memory back");
                return EXIT_CODE_FAILED;
        }
        if (pid == 0)
                reclaim_as_child(options, trace, self);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (WIFEXITED(status))
                return (enum exit_code)WEXITSTATUS(status);
        complain_of_end(options, trace);
        return EXIT_CODE_FAILED;
}

static enum exit_code apply_reclaim(const struct options *options)
{
        /* Shared, so it outlives the child that writes it. */
        struct reclaim_trace *trace =
                mmap(NULL, sizeof(*trace), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        enum exit_code code = EXIT_CODE_FAILED;

        if (trace == MAP_FAILED) {
                events_complain(options, "out of memory");
                return EXIT_CODE_FAILED;
        }
        code = run_apart(options, trace);
        (void)munmap(trace, sizeof(*trace));
        return code;
}

enum exit_code command_reclaim(const struct options *options)
{
        if (options->guests.qmp_sockets.n == 0 && !options->guests.libvirt_uri) {
                (void)fputs("samepage: no guest is named: give --qmp SOCKET or --libvirt URI\n", stderr);
                return EXIT_CODE_USAGE;
        }
        if (options->apply && options->scan.max_pause_usec < RECLAIM_GUEST_PAUSE_LEAST_MSEC * USEC_PER_MSEC) {
                (void)fprintf(
                        stderr,
                        "samepage: memory cannot be given back in a pause as short as that: --max-pause has "
                        "to be %d or more\n",
                        RECLAIM_GUEST_PAUSE_LEAST_MSEC);
                return EXIT_CODE_USAGE;
        }
        return options->apply ? apply_reclaim(options) : reclaim_and_print(options, NULL);
}
