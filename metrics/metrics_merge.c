/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "metrics/metrics_merge.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <stddef.h>

#define GAUGE(name_, unit_, help_)                                                            \
        {                                                                                     \
                .name = (name_), .type = METRICS_TYPE_GAUGE, .unit = (unit_), .help = (help_) \
        }

void metrics_merge_note(struct metrics_merge *merge, const struct report_merge *report)
{
        merge->forecast_known = true;
        merge->self_bytes = report->self_bytes;
        merge->inter_bytes = report->inter_bytes;
        merge->zero_bytes = report->zero_bytes;
        merge->bookkeeping_bytes = report->bookkeeping_bytes;
        merge->net_bytes = report->net_bytes;
        merge->isolation_bytes = report->isolation_bytes;
        merge->huge_pages = report->huge_pages;
        merge->reached_bytes = report->reached_bytes;
}

static void render_one(struct metrics_text *text, const struct metrics_family *family, int64_t value)
{
        metrics_text_family(text, family);
        metrics_text_sample(text, "");
        metrics_text_value(text, value);
}

static void render_forecast(struct metrics_text *text, const struct metrics_merge *merge)
{
        static const struct metrics_family saved =
                GAUGE("samepage_merge_forecast_bytes", "bytes",
                      "What merging the guests of the plan would save by the last forecast, by kind.");
        static const struct metrics_family bookkeeping =
                GAUGE("samepage_merge_bookkeeping_bytes", "bytes", "What KSM would keep for it.");
        static const struct metrics_family net =
                GAUGE("samepage_merge_net_bytes", "bytes", "What it would save, less the bookkeeping.");
        static const struct metrics_family isolation =
                GAUGE("samepage_merge_isolation_bytes", "bytes",
                      "What would be saved besides if guests of all groups shared with each other.");
        static const struct metrics_family huge =
                GAUGE("samepage_merge_split_huge_pages", NULL, "Huge pages that it would split.");
        static const struct metrics_family reached =
                GAUGE("samepage_merge_reached_bytes", "bytes",
                      "What the guests of the plan saved at the time of the last forecast.");
        const struct {
                const char *kind;
                int64_t bytes;
        } kinds[] = {{"self", merge->self_bytes}, {"inter", merge->inter_bytes}, {"zero", merge->zero_bytes}};

        metrics_text_family(text, &saved);
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                metrics_text_sample(text, "");
                metrics_text_label(text, "kind", kinds[i].kind);
                metrics_text_value(text, kinds[i].bytes);
        }
        render_one(text, &bookkeeping, merge->bookkeeping_bytes);
        render_one(text, &net, merge->net_bytes);
        render_one(text, &isolation, merge->isolation_bytes);
        render_one(text, &huge, merge->huge_pages);
        if (merge->reached_bytes >= 0)
                render_one(text, &reached, merge->reached_bytes);
}

/* Writes a share as a decimal fraction. */
static void render_share(struct metrics_text *text, const struct metrics_family *family, double share)
{
        metrics_text_family(text, family);
        metrics_text_sample(text, "");
        /* Millionths of a share, as microseconds are millionths of a second. */
        metrics_text_value_usec(text, (uint64_t)(share * USEC_PER_SEC + 0.5));
}

void metrics_merge_render(struct metrics_text *text, const struct metrics_merge *merge)
{
        static const struct metrics_family gap =
                GAUGE("samepage_merge_gap_ratio", "ratio",
                      "Share of the pages that KSM could merge and has not, estimated from a sample.");
        static const struct metrics_family error =
                GAUGE("samepage_merge_gap_error_ratio", "ratio",
                      "Half width of the 95 % confidence interval of samepage_merge_gap_ratio.");
        static const struct metrics_family acts =
                GAUGE("samepage_merge_acting", NULL, "1 if the service says how fast KSM goes.");
        static const struct metrics_family fast = GAUGE(
                "samepage_merge_fast", NULL, "1 if KSM goes fast, 0 if the service has it stand still.");
        static const struct metrics_family refused = {
                .name = "samepage_merge_refusals",
                .type = METRICS_TYPE_COUNTER,
                .help = "How often the service gave up acting on KSM.",
        };
        static const struct metrics_family ksmd = {
                .name = "samepage_ksmd_cpu_seconds",
                .type = METRICS_TYPE_COUNTER,
                .unit = "seconds",
                .help = "CPU time of the kernel's ksmd since boot.",
        };

        if (merge->forecast_known)
                render_forecast(text, merge);
        if (merge->gap >= 0) {
                render_share(text, &gap, merge->gap);
                render_share(text, &error, merge->gap_error);
        }
        render_one(text, &acts, merge->acts);
        if (merge->acts)
                render_one(text, &fast, merge->is_fast);
        metrics_text_family(text, &refused);
        metrics_text_sample(text, "_total");
        metrics_text_value(text, (int64_t)merge->n_refused);
        if (merge->ksmd_usec == 0)
                return;
        metrics_text_family(text, &ksmd);
        metrics_text_sample(text, "_total");
        metrics_text_value_usec(text, merge->ksmd_usec);
}
