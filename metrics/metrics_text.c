/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The formats differ in this: OpenMetrics names a counter without its _total and an info without its _info,
 * has lines for units, and ends with "# EOF". The text format has no infos; they are gauges there.
 *
 * Numbers are printed from integers, so the locale cannot put a comma into them.
 */
#include "metrics/metrics_text.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *metrics_text_content_type(enum metrics_format format)
{
        static const char *const types[] = {
                [METRICS_FORMAT_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
                [METRICS_FORMAT_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
        };

        static_assert(ARRAY_SIZE(types) == METRICS_FORMAT_MAX_, "every format has a type");
        return types[format];
}

enum metrics_format metrics_text_choose(const char *accept)
{
        return accept && strstr(accept, "application/openmetrics-text") && strstr(accept, "version=1.0.0")
                       ? METRICS_FORMAT_OPENMETRICS
                       : METRICS_FORMAT_TEXT;
}

int metrics_text_init(struct metrics_text *text, enum metrics_format format)
{
        *text = (struct metrics_text){.format = format};
        text->file = open_memstream(&text->bytes, &text->length);
        return text->file ? 0 : -ENOMEM;
}

void metrics_text_deinit(struct metrics_text *text)
{
        if (text->file)
                (void)fclose(text->file);
        free(text->bytes);
        *text = (struct metrics_text){0};
}

int metrics_text_finish(struct metrics_text *text, char **ret, size_t *ret_length)
{
        int failed = 0;

        if (text->format == METRICS_FORMAT_OPENMETRICS)
                (void)fputs("# EOF\n", text->file);
        failed = ferror(text->file);
        /* Only closing completes the buffer; it can fail only for lack of memory. */
        if (fclose(text->file) != 0 || failed) {
                text->file = NULL;
                return -ENOMEM;
        }
        text->file = NULL;
        *ret_length = text->length;
        *ret = TAKE_PTR(text->bytes);
        return 0;
}

void metrics_text_family(struct metrics_text *text, const struct metrics_family *family)
{
        text->family = family;
        text->n_samples = 0;
}

static const char *type_to_string(enum metrics_format format, enum metrics_type type)
{
        static const char *const names[] = {
                [METRICS_TYPE_GAUGE] = "gauge",
                [METRICS_TYPE_COUNTER] = "counter",
                [METRICS_TYPE_HISTOGRAM] = "histogram",
                [METRICS_TYPE_INFO] = "info",
        };

        static_assert(ARRAY_SIZE(names) == METRICS_TYPE_MAX_, "every type has a name");
        if (format == METRICS_FORMAT_TEXT && type == METRICS_TYPE_INFO)
                type = METRICS_TYPE_GAUGE;
        return names[type];
}

/* The text format adds this to a family's name, which must equal the name of its samples there. */
static const char *family_suffix(enum metrics_format format, enum metrics_type type)
{
        if (format == METRICS_FORMAT_OPENMETRICS)
                return "";
        return type == METRICS_TYPE_COUNTER ? "_total" : type == METRICS_TYPE_INFO ? "_info" : "";
}

static void write_head(struct metrics_text *text)
{
        const struct metrics_family *family = text->family;
        const char *suffix = family_suffix(text->format, family->type);

        (void)fprintf(text->file, "# HELP %s%s %s\n", family->name, suffix, family->help);
        (void)fprintf(text->file, "# TYPE %s%s %s\n", family->name, suffix,
                      type_to_string(text->format, family->type));
        if (family->unit && text->format == METRICS_FORMAT_OPENMETRICS)
                (void)fprintf(text->file, "# UNIT %s %s\n", family->name, family->unit);
}

void metrics_text_sample(struct metrics_text *text, const char *suffix)
{
        if (text->n_samples++ == 0)
                write_head(text);
        text->n_labels = 0;
        (void)fprintf(text->file, "%s%s", text->family->name, suffix);
}

void metrics_text_label(struct metrics_text *text, const char *name, const char *value)
{
        (void)fprintf(text->file, "%c%s=\"", text->n_labels++ == 0 ? '{' : ',', name);
        while (value && *value) {
                const size_t plain = strcspn(value, "\n\\\"");

                (void)fwrite(value, 1, plain, text->file);
                value += plain;
                if (*value)
                        (void)fprintf(text->file, "\\%c", *value == '\n' ? 'n' : *value);
                value += *value != '\0';
        }
        (void)fputc('"', text->file);
}

static const char *end_of_labels(const struct metrics_text *text)
{
        return text->n_labels > 0 ? "}" : "";
}

void metrics_text_value(struct metrics_text *text, int64_t value)
{
        (void)fprintf(text->file, "%s %" PRId64 "\n", end_of_labels(text), value);
}

void metrics_text_value_usec(struct metrics_text *text, uint64_t usec)
{
        char seconds[METRICS_TEXT_USEC_BYTES] = "";

        metrics_text_print_usec(usec, seconds);
        (void)fprintf(text->file, "%s %s\n", end_of_labels(text), seconds);
}

void metrics_text_print_usec(uint64_t usec, char ret[METRICS_TEXT_USEC_BYTES])
{
        int length = snprintf(ret, METRICS_TEXT_USEC_BYTES, "%" PRIu64 ".%06" PRIu64, usec / USEC_PER_SEC,
                              usec % USEC_PER_SEC);

        while (length > 1 && ret[length - 1] == '0' && ret[length - 2] != '.')
                ret[--length] = '\0';
}
