/* SPDX-License-Identifier: GPL-2.0-or-later */
/* samepaged(8): the service. It starts its own program under other names for child processes: worker.c. */
#include "base/version.h"
#include "conf/config.h"
#include "daemon/command/program.h"
#include "daemon/domains.h"
#include "daemon/job/sampler.h"
#include "daemon/service.h"
#include "report/sampler_lines.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define EXIT_USAGE 2

static int finish_output(void)
{
        return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int print_help(void)
{
        (void)fputs(
                "Usage: samepaged [OPTION]...\n\n"
                "Scans the guests of this host on a schedule and on request, keeps the reports, and serves\n"
                "them as metrics.\n\n"
                "Options:\n"
                "  -c, --config FILE  the configuration (default " CONFIG_DEFAULT_PATH "); FILE.d/*.conf\n"
                "                     are read after it\n"
                "  --check-config     read the configuration, say what is wrong with it, and end\n"
                "  --sample-config    print a configuration with all defaults, commented out\n"
                "  --help             this text\n"
                "  --version          the version\n\n"
                "SIGHUP has the configuration read again. Manuals: samepaged(8), samepaged.conf(5).\n\n"
                "The configuration:\n",
                stdout);
        config_print_options(stdout);
        return finish_output();
}

static void print_problem(void *context, enum config_severity severity, const char *text)
{
        (void)context;
        (void)fprintf(stderr, "samepaged: %s%s\n", severity == CONFIG_WARNING ? "warning: " : "", text);
}

static int check_config(const char *path, bool must_exist)
{
        const struct config_source source = {path, must_exist, print_problem, NULL};
        struct options *config = NULL;

        if (config_load(&source, &config, NULL) < 0)
                return EXIT_FAILURE;
        options_free(config);
        return EXIT_SUCCESS;
}

static int fail_usage(const char *sentence, const char *word)
{
        (void)fprintf(stderr, "samepaged: %s %s\n", sentence, word);
        return EXIT_USAGE;
}

static int run_arguments(int argc, char **argv)
{
        enum { CHECK = 1000, SAMPLE, HELP, VERSION };
        static const struct option options[] = {
                {"config", required_argument, NULL, 'c'},     {"check-config", no_argument, NULL, CHECK},
                {"sample-config", no_argument, NULL, SAMPLE}, {"help", no_argument, NULL, HELP},
                {"version", no_argument, NULL, VERSION},      {0},
        };
        const char *path = NULL;
        bool checks = false;
        int option = 0;

        opterr = 0;
        while ((option = getopt_long(argc, argv, ":c:h", options, NULL)) != -1) {
                switch (option) {
                case 'c':
                        path = optarg;
                        break;
                case CHECK:
                        checks = true;
                        break;
                case SAMPLE:
                        config_print_sample(stdout);
                        return finish_output();
                case HELP:
                case 'h':
                        return print_help();
                case VERSION:
                        (void)printf("samepaged %s\n", SAMEPAGE_VERSION);
                        return finish_output();
                default:
                        return fail_usage(option == ':' ? "an argument is missing for" : "unknown option",
                                          argv[optind - 1]);
                }
        }
        if (optind < argc)
                return fail_usage("unexpected argument", argv[optind]);
        if (checks)
                return check_config(path ? path : CONFIG_DEFAULT_PATH, path != NULL);
        return service_run(path ? path : CONFIG_DEFAULT_PATH, path != NULL);
}

int main(int argc, char **argv)
{
        const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
        const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";

        (void)prctl(PR_SET_NAME, name); /* it was started as /proc/self/exe */
        if (strcmp(name, "samepage") == 0)
                return program_run(argc, argv);
        program_prepare();
        if (strcmp(name, DOMAINS_PROGRAM) == 0 && argc == 2)
                return domains_run_program(argv[1]);
        if (strcmp(name, SAMPLER_PROGRAM) == 0)
                return sampler_run_program();
        return run_arguments(argc, argv);
}
