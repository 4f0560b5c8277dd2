/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/json.h"
#include "base/print.h"
#include "daemon/command/any_scan.h"
#include "daemon/command/command.h"
#include "merge/ksm/ksm_settings.h"
#include "report/events.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static bool print_undone(const struct options *options, size_t n)
{
        struct json_object *object = NULL;

        if (!options->json && !options->events) {
                if (n == 0)
                        (void)puts("KSM's settings are as they were found");
                else
                        (void)printf("%zu of KSM's settings put back\n", n);
                return print_finish();
        }
        object = json_object_new_object();
        json_add_text(object, "schema", "samepage.undo.v1");
        json_add_int(object, "settings", (int64_t)n);
        return options->events ? events_print(EVENT_REPORT, object) : print_json(object);
}

static enum exit_code undo_settings(const struct options *options)
{
        const struct ksm_settings_place place = {options->ksm_dir, options->runtime_dir};
        struct failure failure = {0};
        size_t n = 0;

        if (ksm_settings_restore(&place, &n, &failure) < 0) {
                events_complain(options, failure.text);
                return EXIT_CODE_FAILED;
        }
        return print_undone(options, n) ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}

/* The guests are marked and kept apart by now. What a person changed, only a person undoes. */
static void write_settings(const struct options *options, struct report_merge *merge)
{
        const struct ksm_settings_place place = {options->ksm_dir, options->runtime_dir};
        const struct ksm_settings_owner nobody = {0};

        if (merge && merge->acts && !merge->refusal.text[0])
                merge->is_done = ksm_settings_write(&place, &nobody, &merge->settings, &merge->refusal) == 0;
}

/* Whether everything that the plan says has been done. */
static bool is_carried_out(const struct report_merge *merge)
{
        bool all = merge->is_done;

        for (size_t i = 0; i < merge->n_guests; i++)
                all = all && (merge->guests[i].change == PLAN_CHANGE_NONE || merge->guests[i].is_done);
        return all;
}

static enum exit_code judge_tuning(const struct options *options, const struct report *report)
{
        const struct report_merge *merge = report->merge;

        if (merge && merge->refusal.text[0])
                (void)fprintf(stderr, "samepage: %s\n", merge->refusal.text);
        if (report_n_scanned(report) == 0 || !merge || (!merge->merges && merge->refusal.text[0]))
                return EXIT_CODE_FAILED;
        if (options->merging.acts && options->merging.service_pid == 0 && merge->merges &&
            !is_carried_out(merge))
                return merge->is_done ? EXIT_CODE_PARTLY : EXIT_CODE_FAILED;
        return report->complete ? EXIT_CODE_DONE : EXIT_CODE_PARTLY;
}

enum exit_code command_tune(const struct options *options)
{
        struct options tuning = *options;
        struct failure failure = {0};
        struct report *report = NULL;
        enum exit_code code = EXIT_CODE_FAILED;

        if (options->undo && options->dry_run) {
                events_complain(options, "--undo and --dry-run exclude each other");
                return EXIT_CODE_USAGE;
        }
        if (options->undo)
                return undo_settings(options);
        tuning.merging.forecast = true;
        tuning.merging.acts = !options->dry_run;
        if (any_scan_run(&tuning, &report, &failure) < 0) {
                events_complain(options, failure.text);
                return EXIT_CODE_FAILED;
        }
        /* The service writes the settings itself and judges the outcome. */
        if (tuning.merging.acts && tuning.merging.service_pid == 0)
                write_settings(&tuning, report->merge);
        if (any_scan_print(&tuning, report))
                code = judge_tuning(&tuning, report);
        report_free(report);
        return code;
}
