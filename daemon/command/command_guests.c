/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "base/print.h"
#include "daemon/command/command.h"
#include "daemon/command/remote.h"
#include "daemon/job/describe.h"
#include "daemon/job/inventory.h"
#include "report/events.h"
#include "report/report.h"
#include "report/report_json.h"
#include "report/report_text.h"

#include <string.h>

static enum exit_code judge_guests(const struct report *report)
{
        size_t n_failed = 0;

        for (size_t i = 0; i < report->n_guests; i++)
                n_failed += report->guests[i].error.text[0] != '\0';
        if (n_failed == 0)
                return EXIT_CODE_DONE;
        return n_failed == report->n_guests ? EXIT_CODE_FAILED : EXIT_CODE_PARTLY;
}

static int make_report(const struct options *options, struct report **ret)
{
        struct inventory *inventory = NULL;
        struct failure failure = {0};
        struct bridge *bridge = inventory_start_bridge(&options->guests, &failure);
        int r = inventory_new(&options->guests, &options->scan, bridge, &failure, &inventory);

        if (r == 0)
                r = describe_inventory(&options->scan, inventory, ret);
        if (r == 0)
                (void)ksm_read(options->ksm_dir, &(*ret)->ksm);
        inventory_free(inventory);
        bridge_free(bridge);
        return r;
}

static bool print_guest_list(const struct options *options, const struct report *report)
{
        if (options->events)
                return events_print(EVENT_REPORT, report_guests_to_json(report));
        report_print_complaints(report, stderr);
        if (report->n_guests == 0)
                (void)fputs("samepage: there are no guests\n", stderr);
        if (options->json)
                return print_json(report_guests_to_json(report));
        report_print_guests(report, stdout);
        return print_finish();
}

enum exit_code command_guests(const struct options *options)
{
        struct report *report = NULL;
        struct failure failure = {0};
        enum exit_code code = EXIT_CODE_DONE;
        int r = 0;

        if (remote_is_wanted(options))
                r = remote_guests(options, &report, &failure);
        else if ((r = make_report(options, &report)) < 0)
                (void)failure_errno(&failure, r, "cannot list the guests");
        if (r < 0 || !report) {
                events_complain(options, failure.text);
                return EXIT_CODE_FAILED;
        }
        code = print_guest_list(options, report) ? judge_guests(report) : EXIT_CODE_FAILED;
        report_free(report);
        return code;
}
