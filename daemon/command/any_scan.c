/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/command/any_scan.h"

#include "base/print.h"
#include "daemon/command/progress.h"
#include "daemon/command/remote.h"
#include "daemon/job/job.h"
#include "report/events.h"
#include "report/report_json.h"
#include "report/report_text.h"

#include <stdio.h>

int any_scan_run(const struct options *options, struct report **ret, struct failure *failure)
{
        const struct job_wish wish = {
                .guests = &options->guests,
                .scan = &options->scan,
                .merging = &options->merging,
                .place = {options->ksm_dir, options->runtime_dir},
        };
        struct progress progress;
        const struct job_observer observer = progress_init(&progress, options->events);
        int r = remote_is_wanted(options) ? remote_scan(options, &observer, ret, failure)
                                          : job_run(&wish, &observer, ret, failure);

        progress_deinit(&progress);
        return r;
}

bool any_scan_print(const struct options *options, const struct report *report)
{
        if (options->events)
                return events_print(EVENT_REPORT, report_to_json(report));
        report_print_complaints(report, stderr);
        if (report->n_guests == 0)
                (void)fputs("samepage: there are no guests\n", stderr);
        if (options->json)
                return print_json(report_to_json(report));
        report_print(report, stdout);
        return print_finish();
}
