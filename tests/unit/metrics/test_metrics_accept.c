/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "metrics/metrics_accept.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define OM "application/openmetrics-text"

static const struct {
        const char *header;
        enum metrics_format format;
} cases[] = {
        {NULL, METRICS_FORMAT_TEXT},
        {"", METRICS_FORMAT_TEXT},
        {"*/*", METRICS_FORMAT_TEXT},
        {"text/plain", METRICS_FORMAT_TEXT},
        {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", METRICS_FORMAT_TEXT},
        /* Scrapers. */
        {OM ";version=1.0.0," OM ";version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         METRICS_FORMAT_OPENMETRICS},
        {"text/plain;version=0.0.4;q=1,*/*;q=0.1", METRICS_FORMAT_TEXT},
        {OM "; version=1.0.0; charset=utf-8; q=0.6, text/plain; q=0.5", METRICS_FORMAT_OPENMETRICS},
        /* Names. */
        {OM, METRICS_FORMAT_OPENMETRICS},
        {"Application/OpenMetrics-Text", METRICS_FORMAT_OPENMETRICS},
        {OM "; version=\"1.0.0\"", METRICS_FORMAT_OPENMETRICS},
        {"\t" OM " ;\tversion = 1.0.0 ", METRICS_FORMAT_OPENMETRICS},
        {OM ";version=0.0.1", METRICS_FORMAT_TEXT},
        {OM ";version=2.0.0,text/plain;q=0.1", METRICS_FORMAT_TEXT},
        {OM "x", METRICS_FORMAT_TEXT},
        {"x" OM, METRICS_FORMAT_TEXT},
        {"application/openmetrics", METRICS_FORMAT_TEXT},
        /* Qualities. */
        {OM ";q=0.4,text/plain;q=0.5", METRICS_FORMAT_TEXT},
        {OM ";q=0.5,text/plain;q=0.4", METRICS_FORMAT_OPENMETRICS},
        {OM ";q=0.501,text/plain;q=0.5", METRICS_FORMAT_OPENMETRICS},
        {"text/plain;q=0.5," OM ";q=0.5", METRICS_FORMAT_OPENMETRICS},
        {OM ";q=0", METRICS_FORMAT_TEXT},
        {OM ";q=0.000,*/*", METRICS_FORMAT_TEXT},
        {"text/plain;q=0,*/*", METRICS_FORMAT_OPENMETRICS},
        {"application/*", METRICS_FORMAT_OPENMETRICS},
        {"application/*;q=0.5,text/*;q=0.4", METRICS_FORMAT_OPENMETRICS},
        {"application/*;q=0.4,text/*;q=0.5", METRICS_FORMAT_TEXT},
        /* The closest range decides, not the first. */
        {"*/*;q=1," OM ";q=0.1", METRICS_FORMAT_TEXT},
        {"text/*;q=0.1,text/plain;q=0.9," OM ";q=0.5", METRICS_FORMAT_TEXT},
        {OM ";q=0.1," OM ";version=1.0.0;q=0.9,text/plain;q=0.5", METRICS_FORMAT_OPENMETRICS},
        /* What cannot be understood is passed over. */
        {OM ";q=2,text/plain", METRICS_FORMAT_TEXT},
        {OM ";q=1.001,text/plain", METRICS_FORMAT_TEXT},
        {OM ";q=-1", METRICS_FORMAT_TEXT},
        {OM ";q=", METRICS_FORMAT_TEXT},
        {OM ";q=0.1234567890", METRICS_FORMAT_TEXT},
        {OM ";q=nan", METRICS_FORMAT_TEXT},
        {OM ";q", METRICS_FORMAT_TEXT},
        {",,;;=,/,*,*/," OM, METRICS_FORMAT_OPENMETRICS},
        {OM ";x=\"a,b;q=0\";q=1", METRICS_FORMAT_OPENMETRICS},
        {OM ";x=\"a;q=0.1,b\",text/plain;q=0.5", METRICS_FORMAT_OPENMETRICS},
        {OM ";x=\"a\\\",b\";q=1", METRICS_FORMAT_OPENMETRICS},
        {OM ";x=\"never closed, text/plain", METRICS_FORMAT_OPENMETRICS},
        {"\"", METRICS_FORMAT_TEXT},
        {"\"\\", METRICS_FORMAT_TEXT},
        {";", METRICS_FORMAT_TEXT},
};

static void test_cases(void)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                /* Its own memory, so that reading past its end is seen. */
                char *header = cases[i].header ? strdup(cases[i].header) : NULL;
                enum metrics_format format = metrics_accept_choose(header);

                if (format != cases[i].format)
                        (void)fprintf(stderr, "Accept: %s\n", cases[i].header);
                CU_ASSERT_EQUAL(format, cases[i].format);
                free(header);
        }
}

static const struct unit_test tests[] = {
        {"what scrapers and others accept", test_cases},
};

UNIT_MAIN("metrics_accept", tests)
