/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"
#include "daemon/command.h"
#include "daemon/events.h"
#include "daemon/print.h"
#include "qmp/stale.h"

#include <stdio.h>

static struct json_object *results_to_json(const struct stale_results *results)
{
        struct json_object *root = json_object_new_object();
        struct json_object *guests = json_object_new_array();

        for (size_t i = 0; i < results->count; i++) {
                const struct stale_result *result = &results->results[i];
                struct json_object *guest = json_object_new_object();

                (void)json_object_object_add(guest, "name", json_object_new_string(result->guest));
                (void)json_object_object_add(guest, "pid", json_object_new_int64(result->qemu_pid));
                (void)json_object_object_add(
                        guest, "outcome", json_object_new_string(stale_outcome_to_string(result->outcome)));
                (void)json_object_object_add(guest, "sentence",
                                             json_object_new_string(result->sentence.text));
                (void)json_object_array_add(guests, guest);
        }
        (void)json_object_object_add(root, "schema", json_object_new_string("samepage.resume.v1"));
        (void)json_object_object_add(root, "guests", guests);
        return root;
}

static void print_texts(const struct stale_results *results)
{
        for (size_t i = 0; i < results->count; i++)
                (void)printf("guest %s: %s\n", results->results[i].guest, results->results[i].sentence.text);
}

static bool show(const struct settings *settings, const struct stale_results *results)
{
        if (settings->events)
                return events_print(EVENT_REPORT, results_to_json(results));
        if (settings->json)
                return print_json(results_to_json(results));
        print_texts(results);
        return print_finish();
}

/* Failed when a guest may still be paused. */
static enum exit_code judge(const struct stale_results *results)
{
        size_t n_failed = 0;

        for (size_t i = 0; i < results->count; i++)
                n_failed += results->results[i].outcome == STALE_OUTCOME_FAILED;
        if (n_failed == 0)
                return EXIT_CODE_DONE;
        return n_failed == results->count ? EXIT_CODE_FAILED : EXIT_CODE_PARTLY;
}

enum exit_code command_resume(const struct settings *settings)
{
        struct stale_results results = {0};
        struct failure failure = {0};
        enum exit_code code = EXIT_CODE_DONE;

        if (stale_resume(settings->runtime_dir, !settings->stale, &results, &failure) < 0) {
                (void)fprintf(stderr, "samepage: %s\n", failure.text);
                if (settings->events)
                        events_print_failure(failure.text);
                return EXIT_CODE_FAILED;
        }
        for (size_t i = 0; i < results.count; i++)
                text_make_printable(results.results[i].guest);
        code = show(settings, &results) ? judge(&results) : EXIT_CODE_FAILED;
        stale_results_deinit(&results);
        return code;
}
