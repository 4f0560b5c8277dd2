/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/command/any_scan.h"
#include "daemon/command/command.h"
#include "report/events.h"

#include <stdio.h>

static enum exit_code judge_scan(const struct report *report)
{
        if (report_n_scanned(report) == 0)
                return EXIT_CODE_FAILED;
        return report->complete ? EXIT_CODE_DONE : EXIT_CODE_PARTLY;
}

enum exit_code command_scan(const struct options *options)
{
        struct report *report = NULL;
        struct failure failure = {0};
        enum exit_code code = EXIT_CODE_DONE;

        if (any_scan_run(options, &report, &failure) < 0) {
                events_complain(options, failure.text);
                return EXIT_CODE_FAILED;
        }
        code = any_scan_print(options, report) ? judge_scan(report) : EXIT_CODE_FAILED;
        report_free(report);
        return code;
}
