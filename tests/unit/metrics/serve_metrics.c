/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Serves the metrics of made-up reports, for tests that need a server and no daemon:
 *
 *   serve_metrics ADDRESS KSM_DIR
 *
 * Prints the port, then does what its input says, a line each, and answers each with a line: "scan" (a report of three
 * guests; the answer is its JSON), "partial" (one of them failed), "fail", "cancel", "paused N",
 * "source" (one that answers), "many N" (a report of N guests), "only NAME" (all other guests are
 * gone). Ends with its input.
 */
#include "base/cleanup.h"
#include "made_report.h"
#include "metrics/metrics_server.h"
#include "report/report_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LINE_BYTES 256

struct service {
        sd_event *event;
        struct metrics *metrics;
        char line[LINE_BYTES];
        size_t length;
};

static void note(struct service *service, struct report *report)
{
        struct json_object *json = report_to_json(report);

        if (metrics_note_report(service->metrics, report) < 0)
                abort();
        (void)puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
        json_object_put(json);
        report_free(report);
}

static struct report *make_partial(void)
{
        struct report *report = made_report_new();

        made_report_guest(report, "web1", "00000000-0000-0000-0000-000000000001", "acme", 128);
        made_report_failed_guest(report, "web2");
        made_report_total(report);
        return report;
}

static struct report *make_many(unsigned long n)
{
        struct report *report = made_report_new();

        for (unsigned long i = 0; i < n; i++) {
                char name[32] = "";

                (void)snprintf(name, sizeof(name), "guest%04lu", i);
                made_report_guest(report, name, "00000000-0000-0000-0000-000000000003", "crowd", 64);
        }
        made_report_total(report);
        return report;
}

static void obey(struct service *service, const char *line)
{
        if (strcmp(line, "scan") == 0) {
                note(service, made_report_of_three());
                return;
        }
        if (strcmp(line, "partial") == 0) {
                note(service, make_partial());
                return;
        }
        if (strncmp(line, "many ", 5) == 0) {
                note(service, make_many(strtoul(line + 5, NULL, 10)));
                return;
        }
        if (strcmp(line, "fail") == 0)
                metrics_note_scan_failed(service->metrics, METRICS_SCAN_RESULT_FAILED);
        else if (strcmp(line, "cancel") == 0)
                metrics_note_scan_failed(service->metrics, METRICS_SCAN_RESULT_CANCELLED);
        else if (strncmp(line, "paused ", 7) == 0)
                metrics_set_paused(service->metrics, (unsigned int)strtoul(line + 7, NULL, 10));
        else if (strcmp(line, "source") == 0)
                metrics_set_source(service->metrics, "qemu:///system", true);
        else if (strcmp(line, "merge") == 0)
                *metrics_merge_of(service->metrics) = (struct metrics_merge){.forecast_known = true,
                                                                             .gap = 0.125,
                                                                             .gap_error = 0.015,
                                                                             .acts = true,
                                                                             .ksmd_usec = 1};
        else if (strncmp(line, "only ", 5) == 0)
                (void)metrics_keep_guests(service->metrics, (const char *const[]){line + 5}, 1);
        else
                abort();
        (void)puts("ok");
}

static int on_input(sd_event_source *source, int fd, uint32_t events, void *context)
{
        struct service *service = context;
        char byte = 0;

        (void)source;
        (void)events;
        if (read(fd, &byte, 1) != 1)
                return sd_event_exit(service->event, 0);
        if (byte != '\n' && service->length + 1 < sizeof(service->line)) {
                service->line[service->length++] = byte;
                return 0;
        }
        service->line[service->length] = '\0';
        service->length = 0;
        obey(service, service->line);
        (void)fflush(stdout);
        return 0;
}

int main(int argc, char **argv)
{
        struct service service = {0};
        struct metrics_server *server = NULL;
        struct address address = {0};
        struct failure failure = {0};
        int r = argc == 3 ? sd_event_new(&service.event) : -EINVAL;

        if (r >= 0)
                r = address_parse(argv[1], &address);
        if (r >= 0)
                r = metrics_new("1.2.3", &service.metrics);
        if (r >= 0)
                r = metrics_server_new(&address, service.event, service.metrics, argv[2], &server, &failure);
        if (r >= 0)
                r = sd_event_add_io(service.event, NULL, STDIN_FILENO, EPOLLIN, on_input, &service);
        if (r >= 0) {
                (void)printf("%u\n", metrics_server_port(server));
                (void)fflush(stdout);
                r = sd_event_loop(service.event);
        }
        if (r < 0)
                (void)fprintf(stderr, "serve_metrics: %s\n", *failure.text ? failure.text : strerror(-r));
        metrics_server_free(server);
        metrics_free(service.metrics);
        sd_event_unref(service.event);
        return r < 0;
}
