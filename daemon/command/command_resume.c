/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/json.h"
#include "base/print.h"
#include "base/process.h"
#include "base/text.h"
#include "daemon/command/command.h"
#include "merge/ksm/ksm_settings.h"
#include "qmp/pause/stale.h"
#include "report/events.h"

#include <stdio.h>

/* The result: guests, and how many of KSM's settings were put back. */
struct outcome {
        struct stale_results guests;
        size_t n_settings;
};

static struct json_object *outcome_to_json(const struct outcome *outcome)
{
        struct json_object *root = json_object_new_object();
        struct json_object *guests = json_object_new_array();

        for (size_t i = 0; i < outcome->guests.count; i++) {
                const struct stale_result *result = &outcome->guests.results[i];
                struct json_object *guest = json_object_new_object();

                json_add_text(guest, "name", result->guest);
                json_add_int(guest, "pid", result->qemu_pid);
                json_add_text(guest, "outcome", pause_outcome_to_string(result->outcome));
                json_add_text(guest, "sentence", result->sentence.text);
                (void)json_object_array_add(guests, guest);
        }
        json_add_text(root, "schema", "samepage.resume.v1");
        json_add(root, "guests", guests);
        json_add_int(root, "ksm_settings", (int64_t)outcome->n_settings);
        return root;
}

static void print_texts(const struct outcome *outcome)
{
        for (size_t i = 0; i < outcome->guests.count; i++)
                (void)printf("guest %s: %s\n", outcome->guests.results[i].guest,
                             outcome->guests.results[i].sentence.text);
        if (outcome->n_settings > 0)
                (void)printf("%zu of KSM's settings put back to what the service had found\n",
                             outcome->n_settings);
}

static bool print_resumed(const struct options *options, const struct outcome *outcome)
{
        if (options->events)
                return events_print(EVENT_REPORT, outcome_to_json(outcome));
        if (options->json)
                return print_json(outcome_to_json(outcome));
        print_texts(outcome);
        return print_finish();
}

/* The exit code is EXIT_CODE_FAILED or EXIT_CODE_PARTLY when a guest may still be paused. */
static enum exit_code judge_resume(const struct stale_results *results)
{
        size_t n_failed = 0;

        for (size_t i = 0; i < results->count; i++)
                n_failed += results->results[i].outcome == PAUSE_OUTCOME_FAILED;
        if (n_failed == 0)
                return EXIT_CODE_DONE;
        return n_failed == results->count ? EXIT_CODE_FAILED : EXIT_CODE_PARTLY;
}

/*
 * Puts back the settings of a service that died while it acted on KSM. Settings that a person changed with
 * samepage(1) stay as they are.
 */
static int put_settings_back(const struct options *options, struct outcome *outcome, struct failure *failure)
{
        const struct ksm_settings_place place = {options->ksm_dir, options->runtime_dir};
        struct ksm_settings_owner owner = {0};
        struct process service = {0};

        if (ksm_settings_owner_read(&place, &owner) < 0 || owner.pid == 0)
                return 0;
        service = (struct process){.pid = owner.pid, .start_ticks = owner.start_ticks};
        if (process_is_alive(&service))
                return 0;
        return ksm_settings_restore(&place, &outcome->n_settings, failure);
}

static int resume_guests(const struct options *options, struct outcome *outcome, struct failure *failure)
{
        /* Guests first: they are paused. */
        const int r = stale_resume(options->runtime_dir, !options->stale, &outcome->guests, failure);
        struct failure other = {0};
        const int other_r = put_settings_back(options, outcome, r < 0 ? &other : failure);

        return r < 0 ? r : other_r;
}

enum exit_code command_resume(const struct options *options)
{
        struct outcome outcome = {0};
        struct failure failure = {0};
        enum exit_code code = EXIT_CODE_DONE;

        if (resume_guests(options, &outcome, &failure) < 0) {
                events_complain(options, failure.text);
                stale_results_deinit(&outcome.guests);
                return EXIT_CODE_FAILED;
        }
        for (size_t i = 0; i < outcome.guests.count; i++)
                text_make_printable(outcome.guests.results[i].guest);
        code = print_resumed(options, &outcome) ? judge_resume(&outcome.guests) : EXIT_CODE_FAILED;
        stale_results_deinit(&outcome.guests);
        return code;
}
