/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One function per kind of metric; metrics_text.c knows how a format writes them. */
#include "metrics/metrics.h"
#include "metrics/metrics_state.h"
#include "metrics/metrics_text.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAUGE(name_, unit_, help_)                                                            \
        {                                                                                     \
                .name = (name_), .type = METRICS_TYPE_GAUGE, .unit = (unit_), .help = (help_) \
        }
#define FIGURE(figure) offsetof(struct report_figures, figure)
/* "samepage_ksm_" and the name of a file. */
#define KSM_PREFIX       "samepage_ksm_"
#define KSM_METRIC_BYTES (sizeof(KSM_PREFIX) + KSM_NAME_BYTES)

/* One family of figures per guest. */
struct guest_figure {
        struct metrics_family family;
        size_t offset;
};

static const struct guest_figure guest_figures[] = {
        {GAUGE("samepage_guest_ram_bytes", "bytes", "RAM of the guest."), FIGURE(ram_bytes)},
        {GAUGE("samepage_guest_present_bytes", "bytes", "RAM of the guest that is in the host's memory."),
         FIGURE(present_bytes)},
        {GAUGE("samepage_guest_zero_bytes", "bytes", "Present pages of the guest that hold only zeros."),
         FIGURE(zero_bytes)},
        {GAUGE("samepage_guest_distinct_bytes", "bytes",
               "Different contents among the present non-zero pages of the guest."),
         FIGURE(distinct_bytes)},
        {GAUGE("samepage_guest_self_sharing_bytes", "bytes",
               "What sharing equal pages inside the guest would free."),
         FIGURE(self_sharing_bytes)},
        {GAUGE("samepage_guest_inter_sharing_bytes", "bytes",
               "Contents of the guest that another scanned guest holds too; does not add up over guests."),
         FIGURE(inter_sharing_bytes)},
        {GAUGE("samepage_guest_saved_bytes", "bytes",
               "What the guest really shares, zero pages included; does not add up over guests."),
         FIGURE(actual_saved_bytes)},
};

/* A figure of the host, split by kind. */
struct host_figure {
        const char *kind;
        size_t offset;
};

static const struct host_figure ideal_figures[] = {
        {"self", FIGURE(self_sharing_bytes)},
        {"inter", FIGURE(inter_sharing_bytes)},
        {"zero", FIGURE(zero_bytes)},
};
static const struct host_figure actual_figures[] = {
        {"self", FIGURE(actual_self_bytes)},
        {"inter", FIGURE(actual_inter_bytes)},
        {"zero", FIGURE(actual_zero_bytes)},
};

static int64_t get_figure(const struct report_figures *figures, size_t offset)
{
        int64_t bytes = 0;

        memcpy(&bytes, (const char *)figures + offset, sizeof(bytes));
        return bytes;
}

/* Writes a metric of one sample without labels. */
static void render_one(struct metrics_text *text, const struct metrics_family *family, int64_t value)
{
        metrics_text_family(text, family);
        metrics_text_sample(text, "");
        metrics_text_value(text, value);
}

static void render_one_usec(struct metrics_text *text, const struct metrics_family *family, uint64_t usec)
{
        metrics_text_family(text, family);
        metrics_text_sample(text, "");
        metrics_text_value_usec(text, usec);
}

static void guest_sample(struct metrics_text *text, const char *suffix, const struct metrics_guest *guest)
{
        metrics_text_sample(text, suffix);
        metrics_text_label(text, "guest", guest->name);
        metrics_text_label(text, "uuid", guest->uuid);
        metrics_text_label(text, "group", guest->group);
}

static void render_guest_figures(struct metrics_text *text, const struct metrics *metrics)
{
        for (size_t f = 0; f < ARRAY_SIZE(guest_figures); f++) {
                metrics_text_family(text, &guest_figures[f].family);
                for (size_t i = 0; i < metrics->n_guests; i++) {
                        const struct metrics_guest *guest = &metrics->guests[i];
                        const int64_t bytes = get_figure(&guest->figures, guest_figures[f].offset);

                        if (!guest->scanned || bytes == REPORT_UNKNOWN)
                                continue;
                        guest_sample(text, "", guest);
                        metrics_text_value(text, bytes);
                }
        }
}

/* Writes how and when the figures came about. */
static void render_guest_scans(struct metrics_text *text, const struct metrics *metrics)
{
        static const struct metrics_family info = {
                .name = "samepage_guest",
                .type = METRICS_TYPE_INFO,
                .help = "How far the guest's figures belong to one instant, and over what it was reached.",
        };
        static const struct metrics_family failed =
                GAUGE("samepage_guest_scan_failed", NULL, "1 if the last scan of the guest gave no figures.");
        static const struct metrics_family last =
                GAUGE("samepage_guest_last_scan_timestamp_seconds", "seconds",
                      "When the last scan that gave figures of the guest ended.");

        metrics_text_family(text, &info);
        for (size_t i = 0; i < metrics->n_guests; i++) {
                const struct metrics_guest *guest = &metrics->guests[i];

                if (!guest->scanned)
                        continue;
                guest_sample(text, "_info", guest);
                metrics_text_label(text, "consistency", report_consistency_to_string(guest->consistency));
                metrics_text_label(text, "via", guest->via);
                metrics_text_value(text, 1);
        }
        metrics_text_family(text, &failed);
        for (size_t i = 0; i < metrics->n_guests; i++) {
                guest_sample(text, "", &metrics->guests[i]);
                metrics_text_value(text, metrics->guests[i].failed);
        }
        metrics_text_family(text, &last);
        for (size_t i = 0; i < metrics->n_guests; i++) {
                if (metrics->guests[i].last_scan_usec == 0)
                        continue;
                guest_sample(text, "", &metrics->guests[i]);
                metrics_text_value_usec(text, metrics->guests[i].last_scan_usec);
        }
}

static void render_kinds(struct metrics_text *text, const struct metrics_host *host,
                         const struct metrics_family *family, const struct host_figure *kinds, size_t n)
{
        metrics_text_family(text, family);
        for (size_t i = 0; i < n; i++) {
                const int64_t bytes = get_figure(&host->total, kinds[i].offset);

                if (bytes == REPORT_UNKNOWN)
                        continue;
                metrics_text_sample(text, "");
                metrics_text_label(text, "kind", kinds[i].kind);
                metrics_text_value(text, bytes);
        }
}

static void render_host(struct metrics_text *text, const struct metrics *metrics)
{
        static const struct metrics_family ideal = GAUGE(
                "samepage_ideal_bytes", "bytes", "What sharing all equal pages of all guests would free.");
        static const struct metrics_family actual =
                GAUGE("samepage_actual_bytes", "bytes", "What the guests really share.");
        static const struct metrics_family gap =
                GAUGE("samepage_gap_bytes", "bytes",
                      "What could be shared, zero pages aside, and is not, by reason.");
        const struct metrics_host *host = &metrics->host;

        if (!host->known)
                return;
        render_kinds(text, host, &ideal, ideal_figures, ARRAY_SIZE(ideal_figures));
        render_kinds(text, host, &actual, actual_figures, ARRAY_SIZE(actual_figures));
        metrics_text_family(text, &gap);
        for (enum gap_reason reason = 0; reason < GAP_REASON_COUNT_; reason++) {
                if (host->gap_bytes[reason] == REPORT_UNKNOWN)
                        continue;
                metrics_text_sample(text, "");
                metrics_text_label(text, "reason", gap_reason_to_string(reason));
                metrics_text_value(text, host->gap_bytes[reason]);
        }
}

/* Writes when counting began; only OpenMetrics has a place for it. */
static void render_created(struct metrics_text *text, const struct metrics *metrics, const char *label,
                           const char *value)
{
        if (text->format != METRICS_FORMAT_OPENMETRICS)
                return;
        metrics_text_sample(text, "_created");
        if (label)
                metrics_text_label(text, label, value);
        metrics_text_value_usec(text, metrics->started_usec);
}

static void render_histogram(struct metrics_text *text, const struct metrics *metrics,
                             const struct metrics_family *family, const struct metrics_histogram *histogram)
{
        uint64_t n = 0;

        metrics_text_family(text, family);
        for (size_t i = 0; i <= histogram->n_bounds; i++) {
                char bound[METRICS_TEXT_USEC_BYTES] = "+Inf";

                if (i < histogram->n_bounds)
                        metrics_text_print_usec(histogram->bounds_usec[i], bound);
                n += histogram->counts[i];
                metrics_text_sample(text, "_bucket");
                metrics_text_label(text, "le", bound);
                metrics_text_value(text, (int64_t)n);
        }
        metrics_text_sample(text, "_sum");
        metrics_text_value_usec(text, histogram->sum_usec);
        metrics_text_sample(text, "_count");
        metrics_text_value(text, (int64_t)n);
        render_created(text, metrics, NULL, NULL);
}

static void render_scans(struct metrics_text *text, const struct metrics *metrics)
{
        static const struct metrics_family pauses = {
                .name = "samepage_pause_seconds",
                .type = METRICS_TYPE_HISTOGRAM,
                .unit = "seconds",
                .help = "How long guests stood still for a scan, each pause from stop to cont.",
        };
        static const struct metrics_family durations = {
                .name = "samepage_scan_seconds",
                .type = METRICS_TYPE_HISTOGRAM,
                .unit = "seconds",
                .help = "How long whole scans took.",
        };
        static const struct metrics_family results = {
                .name = "samepage_scans",
                .type = METRICS_TYPE_COUNTER,
                .help = "Scans by result.",
        };

        render_histogram(text, metrics, &pauses, &metrics->pauses);
        render_histogram(text, metrics, &durations, &metrics->scans);
        metrics_text_family(text, &results);
        for (enum metrics_scan_result result = 0; result < METRICS_SCAN_RESULT_MAX_; result++) {
                const char *name = metrics_scan_result_to_string(result);

                metrics_text_sample(text, "_total");
                metrics_text_label(text, "result", name);
                metrics_text_value(text, (int64_t)metrics->n_scans[result]);
                render_created(text, metrics, "result", name);
        }
}

static void render_service(struct metrics_text *text, const struct metrics *metrics)
{
        static const struct metrics_family build = {
                .name = "samepage_build",
                .type = METRICS_TYPE_INFO,
                .help = "The version of the running service.",
        };
        static const struct metrics_family started =
                GAUGE("samepage_start_timestamp_seconds", "seconds", "When the service started.");
        static const struct metrics_family last =
                GAUGE("samepage_last_scan_timestamp_seconds", "seconds",
                      "When the last scan of the host that gave figures ended.");
        static const struct metrics_family known =
                GAUGE("samepage_guests", NULL, "Guests that the service knows.");
        static const struct metrics_family paused =
                GAUGE("samepage_guests_paused", NULL, "Guests that the service holds paused at this moment.");
        static const struct metrics_family source = GAUGE(
                "samepage_source_up", NULL, "1 if the source of guests answered when it was last asked.");

        metrics_text_family(text, &build);
        metrics_text_sample(text, "_info");
        metrics_text_label(text, "version", metrics->version);
        metrics_text_value(text, 1);
        render_one_usec(text, &started, metrics->started_usec);
        if (metrics->last_scan_usec > 0)
                render_one_usec(text, &last, metrics->last_scan_usec);
        if (metrics->n_known_guests != REPORT_UNKNOWN)
                render_one(text, &known, metrics->n_known_guests);
        render_one(text, &paused, metrics->n_paused);
        if (!metrics->source)
                return;
        metrics_text_family(text, &source);
        metrics_text_sample(text, "");
        metrics_text_label(text, "source", metrics->source);
        metrics_text_value(text, metrics->source_is_up);
}

/* Whether a file of the kernel can be part of a metric's name and is not one of ours. */
static bool can_be_metric(const char *name)
{
        return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0' &&
               strcmp(name, "info") != 0;
}

static void render_ksm_number(struct metrics_text *text, const struct ksm_file *file)
{
        char name[KSM_METRIC_BYTES] = "";
        char help[128 + KSM_NAME_BYTES] = "";
        const struct metrics_family family = GAUGE(name, NULL, help);

        (void)snprintf(name, sizeof(name), KSM_PREFIX "%s", file->name);
        (void)snprintf(help, sizeof(help), "What the kernel says in its file ksm/%s.", file->name);
        render_one(text, &family, file->value);
}

/* "[none] scan-time" is a choice; this takes the one in brackets. */
static void chosen_word(const char *from, char ret[KSM_TEXT_BYTES])
{
        const char *begin = strchr(from, '[');
        const char *end = begin ? strchr(begin, ']') : NULL;

        if (end)
                (void)snprintf(ret, KSM_TEXT_BYTES, "%.*s", (int)(end - begin - 1), begin + 1);
        else
                (void)snprintf(ret, KSM_TEXT_BYTES, "%s", from);
}

static void render_ksm_words(struct metrics_text *text, const struct ksm *ksm)
{
        static const struct metrics_family info = {
                .name = "samepage_ksm",
                .type = METRICS_TYPE_INFO,
                .help = "What the kernel says in those files of its folder ksm that hold no number.",
        };
        unsigned int n = 0;

        metrics_text_family(text, &info);
        for (size_t i = 0; i < ksm->n_files; i++) {
                const struct ksm_file *file = &ksm->files[i];
                char word[KSM_TEXT_BYTES] = "";

                /* Unlike a metric's name, a label's name must not begin with a digit. */
                if (file->is_number || !can_be_metric(file->name) || strspn(file->name, "0123456789") > 0)
                        continue;
                if (n++ == 0)
                        metrics_text_sample(text, "_info");
                chosen_word(file->text, word);
                metrics_text_label(text, file->name, word);
        }
        if (n > 0)
                metrics_text_value(text, 1);
}

static int render_ksm(struct metrics_text *text, const char *ksm_dir)
{
        CLEANUP_FREE struct ksm *ksm = calloc(1, sizeof(*ksm));

        if (!ksm)
                return -ENOMEM;
        /* A folder that cannot be read costs these metrics only. */
        if (ksm_read(ksm_dir, ksm) < 0)
                return 0;
        for (size_t i = 0; i < ksm->n_files; i++)
                if (ksm->files[i].is_number && can_be_metric(ksm->files[i].name))
                        render_ksm_number(text, &ksm->files[i]);
        render_ksm_words(text, ksm);
        return 0;
}

int metrics_render(const struct metrics *metrics, const char *ksm_dir, enum metrics_format format, char **ret,
                   size_t *ret_length)
{
        struct metrics_text text = {0};
        int r = metrics_text_init(&text, format);

        if (r < 0)
                return r;
        render_service(&text, metrics);
        render_scans(&text, metrics);
        render_host(&text, metrics);
        render_guest_figures(&text, metrics);
        render_guest_scans(&text, metrics);
        metrics_merge_render(&text, &metrics->merge);
        r = render_ksm(&text, ksm_dir);
        if (r == 0)
                r = metrics_text_finish(&text, ret, ret_length);
        metrics_text_deinit(&text);
        return r;
}
