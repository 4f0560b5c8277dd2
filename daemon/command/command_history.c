/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/print.h"
#include "daemon/command/command.h"
#include "daemon/command/remote.h"
#include "history/history.h"
#include "history/history_text.h"
#include "report/events.h"
#include "report/report_json.h"
#include "report/report_text.h"

#include <errno.h>
#include <stdio.h>

/* Reads the file itself, which works without a service too. */
static int read_file(const struct options *options, struct json_object **ret, struct failure *failure)
{
        const struct history_filter filter = {
                .guest = options->guests.names.n > 0 ? options->guests.names.words[0] : NULL,
                .since = options->since,
                .until = options->until,
                .limit = options->limit,
        };
        struct history *history = NULL;
        int r = history_open(options->history_file, HISTORY_READ_ONLY, &history, failure);

        if (r == 0)
                r = options->scan_id ? history_get(history, options->scan_id, ret, failure)
                                     : history_query(history, &filter, ret, failure);
        history_free(history);
        return r > 0 ? -EBADMSG : r;
}

static enum exit_code print_report(struct json_object *json)
{
        struct report *report = NULL;
        struct failure failure = {0};

        if (report_parse(json, &report, &failure) < 0) {
                (void)fprintf(stderr, "samepage: %s\n", failure.text);
                return EXIT_CODE_FAILED;
        }
        report_print_complaints(report, stderr);
        report_print(report, stdout);
        report_free(report);
        return print_finish() ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}

static enum exit_code print_history(const struct options *options, struct json_object *json)
{
        if (options->events)
                return events_print(EVENT_REPORT, json_object_get(json)) ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
        if (options->json)
                return print_json(json_object_get(json)) ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
        if (options->scan_id)
                return print_report(json);
        history_print(json, stdout);
        return print_finish() ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}

enum exit_code command_history(const struct options *options)
{
        struct json_object *json = NULL;
        struct failure failure = {0};
        enum exit_code code = EXIT_CODE_DONE;
        int r = 0;

        if (options->guests.names.n > 1) {
                (void)fputs("samepage: the history is told of all guests, or of one\n", stderr);
                return EXIT_CODE_USAGE;
        }
        r = options->history_file ? read_file(options, &json, &failure)
                                  : remote_history(options, &json, &failure);
        if (r < 0) {
                events_complain(options, failure.text);
                return EXIT_CODE_FAILED;
        }
        code = print_history(options, json);
        json_object_put(json);
        return code;
}
