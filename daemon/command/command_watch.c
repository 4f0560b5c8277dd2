/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/print.h"
#include "base/text.h"
#include "daemon/command/command.h"
#include "daemon/command/control_call.h"
#include "report/report_json.h"
#include "report/report_text.h"
#include "report/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLEAR "\033[H\033[J"

/* Prints one line: what the service is doing now. */
static void print_state(struct json_object *state)
{
        struct json_object *running = NULL;
        struct json_object *waiting = NULL;
        char kind[32] = "";
        char done[TABLE_SIZE_BYTES] = "";
        char total[TABLE_SIZE_BYTES] = "";
        const time_t now = time(NULL);
        char clock[16] = "";
        struct tm local = {0};

        if (localtime_r(&now, &local))
                (void)strftime(clock, sizeof(clock), "%H:%M:%S", &local);
        (void)json_object_object_get_ex(state, "running", &running);
        (void)json_object_object_get_ex(state, "waiting", &waiting);
        if (json_get_text(running, "kind"))
                (void)snprintf(kind, sizeof(kind), "%s", json_get_text(running, "kind"));
        text_make_printable(kind);
        if (kind[0] && strcmp(kind, "scan") != 0)
                (void)printf("%s  %s", clock, kind);
        else if (json_get_int(running, "recheck_in_seconds", 0) > 0)
                (void)printf("%s  looking again in %" PRId64 " s", clock,
                             json_get_int(running, "recheck_in_seconds", 0));
        else if (running)
                (void)printf("%s  scanning: %s of %s", clock,
                             table_format_bytes(json_get_int(running, "done_bytes", 0), done),
                             table_format_bytes(json_get_int(running, "total_bytes", 0), total));
        else
                (void)printf("%s  idle", clock);
        if (json_object_is_type(waiting, json_type_array) && json_object_array_length(waiting) > 0)
                (void)printf(", %zu waiting", json_object_array_length(waiting));
        (void)printf("\n\n");
}

/* Prints the last report. Having none yet is no failure. */
static void print_last(struct control_call *call, uint64_t deadline_usec)
{
        CLEANUP_JSON struct json_object *json = NULL;
        struct report *report = NULL;
        struct failure failure = {0};

        if (control_call_execute(call, "query-report", NULL, deadline_usec, NULL, NULL, &json, &failure) <
                    0 ||
            report_parse(json, &report, &failure) < 0) {
                (void)printf("%s\n", failure.text);
                return;
        }
        (void)printf("Scan of %s\n", report->started);
        report_print(report, stdout);
        report_print_complaints(report, stdout);
        report_free(report);
}

static int print_state_and_report(const struct options *options, struct control_call *call,
                                  struct failure *failure)
{
        const uint64_t deadline_usec = clock_now_usec() + 10 * options->guests.timeout_usec;
        CLEANUP_JSON struct json_object *state = NULL;
        int r = control_call_execute(call, "query-scan", NULL, deadline_usec, NULL, NULL, &state, failure);

        if (r < 0)
                return r;
        if (isatty(STDOUT_FILENO))
                (void)fputs(CLEAR, stdout);
        print_state(state);
        print_last(call, deadline_usec);
        (void)putchar('\n');
        return 0;
}

enum exit_code command_watch(const struct options *options)
{
        struct control_call *call = NULL;
        struct failure failure = {0};
        int r = control_call_open(options->control_socket, options->guests.timeout_usec, &call, &failure);

        while (r == 0) {
                r = print_state_and_report(options, call, &failure);
                if (r == 0 && !print_finish())
                        break;
                if (r == 0)
                        (void)usleep((useconds_t)options->watch_interval_usec);
        }
        control_call_free(call);
        if (r < 0)
                (void)fprintf(stderr, "samepage: %s\n", failure.text);
        return EXIT_CODE_FAILED;
}
