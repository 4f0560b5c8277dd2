/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/command/program.h"

#include "base/print.h"
#include "base/version.h"
#include "conf/options.h"
#include "daemon/command/command.h"
#include "daemon/command/command_line.h"
#include "report/events.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const struct command commands[] = {
        {"guests", OPTION_FOR_GUESTS, "list guests, how their RAM is read, and whether KSM can merge it",
         command_guests},
        {"scan", OPTION_FOR_SCAN, "scan guests once and report ideal against actual sharing", command_scan},
        {"tune", OPTION_FOR_TUNE, "forecast what merging saves and costs, and have KSM do it", command_tune},
        {"history", OPTION_FOR_HISTORY, "list the scans of the service, or print one of its reports",
         command_history},
        {"watch", OPTION_FOR_WATCH, "show what the service does and its last report, again and again",
         command_watch},
        {"resume", OPTION_FOR_RESUME, "resume the guests that a scan left paused; also ends scans that live",
         command_resume},
        {"reclaim", OPTION_FOR_RECLAIM,
         "give back zero pages of shared RAM and dead copies behind private RAM files", command_reclaim},
        {0},
};

/* Fingerprints can confirm what is in a guest's memory: no core dump, and no debugger except root's. */
static void keep_secrets(void)
{
        (void)prctl(PR_SET_DUMPABLE, 0);
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0});
}

/* A guest takes five descriptors and one per shared mapping: 200 guests exceed the usual 1024. */
static void raise_limits(void)
{
        struct rlimit files = {0};

        if (getrlimit(RLIMIT_NOFILE, &files) < 0)
                return;
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
}

static enum exit_code run_command(int argc, char **argv, struct options *options)
{
        const struct command_line line = {argc, argv, commands};
        const struct command *command = NULL;
        struct failure failure = {0};
        int r = command_line_parse(&line, options, &command, &failure);

        switch (r) {
        case COMMAND_LINE_HELP:
                command_line_print_help(commands, command, stdout);
                return print_finish() ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
        case COMMAND_LINE_VERSION:
                (void)printf("samepage %s\n", SAMEPAGE_VERSION);
                return print_finish() ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
        case COMMAND_LINE_RUN:
                return command->run(options);
        default:
                events_complain(options, failure.text); /* parsed before the error, so --events is honoured */
                return EXIT_CODE_USAGE;
        }
}

void program_prepare(void)
{
        keep_secrets();
        raise_limits();
        (void)signal(SIGPIPE, SIG_IGN);
}

int program_run(int argc, char **argv)
{
        struct options *options = NULL;
        enum exit_code code = EXIT_CODE_FAILED;

        program_prepare();
        if (options_new(false, &options) == 0)
                code = run_command(argc, argv, options);
        options_free(options);
        return (int)code;
}
