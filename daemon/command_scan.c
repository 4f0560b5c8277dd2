/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "daemon/command.h"
#include "daemon/job.h"
#include "daemon/print.h"
#include "daemon/progress.h"
#include "daemon/report_json.h"
#include "daemon/report_text.h"

static void show_progress(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
        progress_update(context, done_bytes, total_bytes);
}

static bool print_report(const struct settings *settings, const struct report *report)
{
        report_print_complaints(report, stderr);
        if (settings->json)
                return print_json(report_to_json(report));
        report_print(report, stdout);
        return print_finish();
}

enum exit_code command_scan(const struct settings *settings)
{
        struct progress progress = {0};
        struct report *report = NULL;
        struct failure failure = {0};
        enum exit_code code = EXIT_CODE_DONE;
        int r = 0;

        if (!print_has_guests(settings))
                return EXIT_CODE_USAGE;
        progress_init(&progress);
        r = job_run(settings, &(struct job_observer){show_progress, &progress}, &report, &failure);
        progress_deinit(&progress);
        if (r < 0) {
                (void)fprintf(stderr, "samepage: %s\n", failure.text);
                return EXIT_CODE_FAILED;
        }
        if (report_n_scanned(report) == 0)
                code = EXIT_CODE_FAILED;
        else if (!report->complete)
                code = EXIT_CODE_PARTLY;
        if (!print_report(settings, report))
                code = EXIT_CODE_FAILED;
        report_free(report);
        return code;
}
