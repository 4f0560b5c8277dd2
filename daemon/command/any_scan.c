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

static int scan_anywhere(const struct options *options, const struct job_observer *observer,
                         struct report **ret, struct failure *failure)
{
        const struct job_wish wish = {
                .guests = &options->guests,
                .scan = &options->scan,
                .merging = &options->merging,
                .place = {options->ksm_dir, options->runtime_dir},
        };

        return remote_is_wanted(options) ? remote_scan(options, observer, ret, failure)
                                         : job_run(&wish, observer, ret, failure);
}

int any_scan_run(const struct options *options, struct report **ret, struct failure *failure)
{
        struct progress progress = {0};
        int r = 0;

        if (options->events)
                return scan_anywhere(options,
                                     &(struct job_observer){progress_tell, progress_tell_wait, &progress},
                                     ret, failure);
        progress_init(&progress);
        r = scan_anywhere(options, &(struct job_observer){progress_show, progress_show_wait, &progress}, ret,
                          failure);
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
