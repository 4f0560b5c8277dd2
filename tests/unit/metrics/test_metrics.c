/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "base/clock.h"
#include "made_report.h"
#include "metrics/metrics.h"
#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WEB1 "{guest=\"web1\",uuid=\"00000000-0000-0000-0000-000000000001\",group=\"acme\"}"

/* A folder with files of the test, in place of the kernel's. */
static char ksm_dir[] = "/tmp/samepage-metrics.XXXXXX";

static void write_ksm(const char *name, const char *content)
{
        char path[128] = "";
        FILE *file = NULL;

        (void)snprintf(path, sizeof(path), "%s/%s", ksm_dir, name);
        file = fopen(path, "w");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        (void)fputs(content, file);
        (void)fclose(file);
}

static void remove_ksm(const char *name)
{
        char path[128] = "";

        (void)snprintf(path, sizeof(path), "%s/%s", ksm_dir, name);
        (void)unlink(path);
}

static char *render(const struct metrics *metrics, enum metrics_format format)
{
        CLEANUP_FREE char *text = NULL;
        size_t length = 0;

        CU_ASSERT_EQUAL_FATAL(metrics_render(metrics, ksm_dir, format, &text, &length), 0);
        CU_ASSERT_EQUAL(strlen(text), length);
        return strdup(text); /* gcc at -O3 takes what came out of @text for a pointer to it */
}

/* Whether @line is one of the lines of the text format, as a whole. */
static bool has_line(const struct metrics *metrics, const char *line)
{
        CLEANUP_FREE char *text = render(metrics, METRICS_FORMAT_TEXT);
        const size_t length = strlen(line);
        bool found = false;

        for (const char *at = text; !found && (at = strstr(at, line)); at++)
                found = (at == text || at[-1] == '\n') && at[length] == '\n';
        return found;
}

/* Whether @part occurs anywhere. */
static bool has(const struct metrics *metrics, const char *part)
{
        CLEANUP_FREE char *text = render(metrics, METRICS_FORMAT_TEXT);

        return strstr(text, part) != NULL;
}

static struct metrics *make(void)
{
        struct metrics *metrics = NULL;

        CU_ASSERT_EQUAL_FATAL(metrics_new("1.2.3", &metrics), 0);
        return metrics;
}

/* Notes @report and frees it. */
static void note(struct metrics *metrics, struct report *report)
{
        CU_ASSERT_EQUAL(metrics_note_report(metrics, report), 0);
        report_free(report);
}

static void note_chosen(struct metrics *metrics, struct report *report)
{
        CU_ASSERT_EQUAL(metrics_note_chosen(metrics, report), 0);
        report_free(report);
}

static void test_before_the_first_scan(void)
{
        struct metrics *metrics = make();

        CU_ASSERT_TRUE(has_line(metrics, "samepage_build_info{version=\"1.2.3\"} 1"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scans_total{result=\"complete\"} 0"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scans_total{result=\"cancelled\"} 0"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guests_paused 0"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_pause_seconds_bucket{le=\"+Inf\"} 0"));
        CU_ASSERT_FALSE(has(metrics, "samepage_guest_"));
        CU_ASSERT_FALSE(has(metrics, "samepage_guests "));
        CU_ASSERT_FALSE(has(metrics, "samepage_ideal_bytes"));
        CU_ASSERT_FALSE(has(metrics, "samepage_gap_bytes"));
        CU_ASSERT_FALSE(has(metrics, "samepage_last_scan"));
        metrics_free(metrics);
}

static void test_figures_of_a_guest(void)
{
        struct metrics *metrics = make();

        note(metrics, made_report_of_three());
        /* 128 MiB in 64 units of 2 MiB. */
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_ram_bytes" WEB1 " 134217728"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_present_bytes" WEB1 " 100663296"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_zero_bytes" WEB1 " 16777216"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_distinct_bytes" WEB1 " 62914560"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_self_sharing_bytes" WEB1 " 20971520"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_inter_sharing_bytes" WEB1 " 10485760"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_saved_bytes" WEB1 " 12582912"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_scan_failed" WEB1 " 0"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_last_scan_timestamp_seconds" WEB1 " 1714564801.5"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_info{guest=\"web1\","
                                         "uuid=\"00000000-0000-0000-0000-000000000001\",group=\"acme\","
                                         "consistency=\"exact\",via=\"qmp\"} 1"));
        metrics_free(metrics);
}

static void test_figures_of_the_host(void)
{
        struct metrics *metrics = make();

        note(metrics, made_report_of_three());
        /* Units of 1, 2 and 4 MiB. */
        CU_ASSERT_TRUE(has_line(metrics, "samepage_ideal_bytes{kind=\"self\"} 73400320"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_ideal_bytes{kind=\"inter\"} 36700160"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_ideal_bytes{kind=\"zero\"} 58720256"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_actual_bytes{kind=\"self\"} 22020096"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_actual_bytes{kind=\"inter\"} 14680064"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_actual_bytes{kind=\"zero\"} 7340032"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_gap_bytes{reason=\"shared-mapping\"} 104857600"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_gap_bytes{reason=\"unexplained\"} 10485760"));
        for (enum gap_reason reason = GAP_REASON_HUGETLB; reason < GAP_REASON_UNEXPLAINED; reason++) {
                char line[128] = "";

                (void)snprintf(line, sizeof(line), "samepage_gap_bytes{reason=\"%s\"} 0",
                               gap_reason_to_string(reason));
                CU_ASSERT_TRUE(has_line(metrics, line));
        }
        CU_ASSERT_TRUE(has_line(metrics, "samepage_last_scan_timestamp_seconds 1714564801.5"));
        metrics_free(metrics);
}

/* What the scan could not know is no 0. */
static void test_unknown_figures(void)
{
        struct metrics *metrics = make();
        struct report *report = made_report_new();
        struct report_guest *guest = made_report_guest(report, "g", NULL, NULL, 64);

        guest->figures.actual_saved_bytes = REPORT_UNKNOWN;
        made_report_total(report);
        report->total.actual_self_bytes = REPORT_UNKNOWN;
        report->total.actual_inter_bytes = REPORT_UNKNOWN;
        report->total.actual_zero_bytes = REPORT_UNKNOWN;
        report->gap_bytes = REPORT_UNKNOWN;
        note(metrics, report);
        CU_ASSERT_TRUE(has(metrics, "\nsamepage_guest_ram_bytes{"));
        CU_ASSERT_FALSE(has(metrics, "samepage_guest_saved_bytes"));
        CU_ASSERT_TRUE(has(metrics, "\nsamepage_ideal_bytes{"));
        CU_ASSERT_FALSE(has(metrics, "samepage_actual_bytes"));
        CU_ASSERT_FALSE(has(metrics, "samepage_gap_bytes"));
        CU_ASSERT_FALSE(has(metrics, " -1\n"));
        metrics_free(metrics);
}

static void test_consistency_is_labelled(void)
{
        struct metrics *metrics = make();
        struct report *report = made_report_new();

        made_report_guest(report, "g", NULL, NULL, 64)->consistency = REPORT_CONSISTENCY_LIVE;
        note(metrics, report);
        CU_ASSERT_TRUE(has(metrics, "consistency=\"live\""));
        metrics_free(metrics);
}

/* A guest that fails keeps its labels and loses its figures, and the host's are those of the others. */
static void test_partial(void)
{
        struct metrics *metrics = make();
        struct report *report = made_report_new();

        note(metrics, made_report_of_three());
        (void)snprintf(report->started, sizeof(report->started), "2024-05-01T13:00:00Z");
        made_report_failed_guest(report, "web1");
        made_report_guest(report, "web2", "00000000-0000-0000-0000-000000000002", "acme", 256);
        made_report_total(report);
        note(metrics, report);
        CU_ASSERT_FALSE(has(metrics, "samepage_guest_ram_bytes" WEB1));
        CU_ASSERT_FALSE(has(metrics, "samepage_guest_info{guest=\"web1\""));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_scan_failed" WEB1 " 1"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_last_scan_timestamp_seconds" WEB1 " 1714564801.5"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_ideal_bytes{kind=\"self\"} 41943040"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_last_scan_timestamp_seconds 1714568401.5"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scans_total{result=\"complete\"} 1"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scans_total{result=\"partial\"} 1"));
        metrics_free(metrics);
}

/* No guest could be scanned: the sums over none are no figures. */
static void test_all_failed(void)
{
        struct metrics *metrics = make();
        struct report *report = made_report_new();

        note(metrics, made_report_of_three());
        (void)snprintf(report->started, sizeof(report->started), "2024-05-01T13:00:00Z");
        made_report_failed_guest(report, "web1");
        note(metrics, report);
        CU_ASSERT_FALSE(has(metrics, "samepage_ideal_bytes"));
        CU_ASSERT_FALSE(has(metrics, "samepage_gap_bytes"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scans_total{result=\"failed\"} 1"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_last_scan_timestamp_seconds 1714564801.5"));
        metrics_free(metrics);
}

/* A host without guests has figures, which are 0. */
static void test_no_guests(void)
{
        struct metrics *metrics = make();

        note(metrics, made_report_new());
        CU_ASSERT_TRUE(has_line(metrics, "samepage_ideal_bytes{kind=\"self\"} 0"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_gap_bytes{reason=\"unexplained\"} 0"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scans_total{result=\"complete\"} 1"));
        metrics_free(metrics);
}

static void test_scans_without_report(void)
{
        struct metrics *metrics = make();

        note(metrics, made_report_of_three());
        metrics_note_scan_failed(metrics, METRICS_SCAN_RESULT_FAILED);
        metrics_note_scan_failed(metrics, METRICS_SCAN_RESULT_CANCELLED);
        metrics_note_scan_failed(metrics, METRICS_SCAN_RESULT_CANCELLED);
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scans_total{result=\"failed\"} 1"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scans_total{result=\"cancelled\"} 2"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_ram_bytes" WEB1 " 134217728"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scan_seconds_count 1"));
        metrics_free(metrics);
}

static void test_guests_vanish(void)
{
        static const char *const names[] = {"web2", MADE_WILD_NAME, "new"};
        struct metrics *metrics = make();
        struct report *report = made_report_new();

        note(metrics, made_report_of_three());
        CU_ASSERT_EQUAL(metrics_keep_guests(metrics, names, 3), 0);
        CU_ASSERT_FALSE(has(metrics, "web1"));
        CU_ASSERT_TRUE(has(metrics, "web2"));
        CU_ASSERT_TRUE(has(metrics, "a \\\"b\\\""));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guests 3"));
        CU_ASSERT_FALSE(has(metrics, "\"new\""));
        /* The next scan of the host does not know one of them. */
        made_report_guest(report, "web2", NULL, NULL, 64);
        note(metrics, report);
        CU_ASSERT_TRUE(has(metrics, "web2"));
        CU_ASSERT_FALSE(has(metrics, "a \\\"b\\\""));
        CU_ASSERT_EQUAL(metrics_keep_guests(metrics, NULL, 0), 0);
        CU_ASSERT_FALSE(has(metrics, "samepage_guest_"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guests 0"));
        metrics_free(metrics);
}

/* A scan of one guest changes neither the others nor the host, nor what depends on who else was scanned. */
static void test_chosen(void)
{
        struct metrics *metrics = make();
        struct report *report = made_report_new();

        note(metrics, made_report_of_three());
        (void)snprintf(report->started, sizeof(report->started), "2024-05-01T13:00:00Z");
        made_report_guest(report, "web1", "00000000-0000-0000-0000-000000000001", "acme", 64);
        report->guests[0].figures.inter_sharing_bytes = 0;
        report->guests[0].figures.actual_saved_bytes = 0;
        note_chosen(metrics, report);
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_ram_bytes" WEB1 " 67108864"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_inter_sharing_bytes" WEB1 " 10485760"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_saved_bytes" WEB1 " 12582912"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_last_scan_timestamp_seconds" WEB1 " 1714568401.5"));
        CU_ASSERT_TRUE(has(metrics, "\nsamepage_guest_ram_bytes{guest=\"web2\""));
        CU_ASSERT_TRUE(has(metrics, "\nsamepage_guest_ram_bytes{guest=\"a \\\"b"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_ideal_bytes{kind=\"self\"} 73400320"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_last_scan_timestamp_seconds 1714564801.5"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scans_total{result=\"complete\"} 2"));
        metrics_free(metrics);
}

/* Guests of a silent source have failed, and nothing else changes. */
static void test_silent_source(void)
{
        struct metrics *metrics = make();
        struct report *first = made_report_of_three();
        struct report *report = made_report_new();

        first->guests[1].via = REPORT_VIA_LIBVIRT;
        note(metrics, first);
        made_report_guest(report, "web2", "00000000-0000-0000-0000-000000000002", "acme", 64);
        report->complete = false;
        report->silent_via = REPORT_VIA_LIBVIRT;
        note_chosen(metrics, report);
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_scan_failed" WEB1 " 1"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_ram_bytes" WEB1 " 134217728"));
        CU_ASSERT_TRUE(
                has(metrics, ",uuid=\"\",group=\"\"} 0\n")); /* the third, which libvirt does not know */
        CU_ASSERT_TRUE(has_line(metrics, "samepage_ideal_bytes{kind=\"self\"} 73400320"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scans_total{result=\"partial\"} 1"));
        note(metrics, made_report_of_three());
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guest_scan_failed" WEB1 " 0"));
        metrics_free(metrics);
}

static void test_source(void)
{
        struct metrics *metrics = make();

        CU_ASSERT_FALSE(has(metrics, "samepage_source_up"));
        metrics_set_source(metrics, "qemu:///system", true);
        CU_ASSERT_TRUE(has_line(metrics, "samepage_source_up{source=\"qemu:///system\"} 1"));
        metrics_set_source(metrics, "qemu:///system", false);
        CU_ASSERT_TRUE(has_line(metrics, "samepage_source_up{source=\"qemu:///system\"} 0"));
        metrics_set_source(metrics, NULL, false);
        CU_ASSERT_FALSE(has(metrics, "samepage_source_up"));
        metrics_free(metrics);
}

/* One that no scan of the host has met has no such figures yet. */
static void test_chosen_new_guest(void)
{
        struct metrics *metrics = make();
        struct report *report = made_report_new();

        made_report_guest(report, "g", NULL, NULL, 64);
        note_chosen(metrics, report);
        CU_ASSERT_TRUE(has(metrics, "samepage_guest_self_sharing_bytes{"));
        CU_ASSERT_FALSE(has(metrics, "samepage_guest_inter_sharing_bytes"));
        CU_ASSERT_FALSE(has(metrics, "samepage_guest_saved_bytes"));
        CU_ASSERT_FALSE(has(metrics, "samepage_ideal_bytes"));
        metrics_free(metrics);
}

static unsigned int count(const struct metrics *metrics, const char *part)
{
        CLEANUP_FREE char *text = render(metrics, METRICS_FORMAT_TEXT);
        unsigned int n = 0;

        for (const char *at = text; (at = strstr(at, part)); at++)
                n++;
        return n;
}

/* Two series with the same labels would spoil the scrape: one stays, and it is the one with figures. */
static void test_two_of_one_name(void)
{
        for (unsigned int order = 0; order < 2; order++) {
                struct metrics *metrics = make();
                struct report *report = made_report_new();

                if (order == 0)
                        made_report_failed_guest(report, "g");
                made_report_guest(report, "g", NULL, NULL, 64);
                if (order == 1)
                        made_report_failed_guest(report, "g");
                note(metrics, report);
                CU_ASSERT_EQUAL(count(metrics, "\nsamepage_guest_ram_bytes{guest=\"g\""), 1);
                CU_ASSERT_EQUAL(count(metrics, "\nsamepage_guest_scan_failed{guest=\"g\""), 1);
                CU_ASSERT_TRUE(
                        has_line(metrics, "samepage_guest_scan_failed{guest=\"g\",uuid=\"\",group=\"\"} 0"));
                metrics_free(metrics);
        }
}

static void test_wild_names(void)
{
        struct metrics *metrics = make();
        struct report *report = made_report_new();
        char *longest = calloc(1, 100001);

        memset(longest, 'x', 100000);
        made_report_guest(report, MADE_WILD_NAME, "u\"", "g\\", 64);
        /* Not what a report holds: neither line ends, escape sequences nor torn UTF-8 get through. */
        made_report_guest(report, "n\nl\x1b[31m\xff\xc3", NULL, NULL, 64);
        made_report_guest(report, longest, NULL, NULL, 64);
        made_report_guest(report, "", NULL, NULL, 64);
        note(metrics, report);
        CU_ASSERT_TRUE(has(metrics, "ram_bytes{guest=\"a \\\"b\\\" \\\\n {c}=1,\xc3\xa4\xe6\x97\xa5 # EOF\","
                                    "uuid=\"u\\\"\",group=\"g\\\\\"} "));
        CU_ASSERT_TRUE(has(metrics, "ram_bytes{guest=\"n?l?[31m??\","));
        CU_ASSERT_TRUE(has(metrics, "ram_bytes{guest=\"\","));
        longest[METRICS_LABEL_MAX_BYTES + 1] = '\0';
        CU_ASSERT_FALSE(has(metrics, longest));
        longest[METRICS_LABEL_MAX_BYTES] = '\0';
        CU_ASSERT_TRUE(has(metrics, longest));
        free(longest);
        metrics_free(metrics);
}

/* A guest is kept by the name it came with, whatever became of it in the label. */
static void test_keep_by_wild_name(void)
{
        static const char *const names[] = {"z", "n\nl\x1b[31m\xff\xc3"};
        struct metrics *metrics = make();
        struct report *report = made_report_new();

        made_report_guest(report, "n\nl\x1b[31m\xff\xc3", NULL, NULL, 64);
        note(metrics, report);
        CU_ASSERT_EQUAL(metrics_keep_guests(metrics, names, 2), 0);
        CU_ASSERT_TRUE(has(metrics, "guest=\"n?l?[31m??\""));
        metrics_free(metrics);
}

static void test_histograms(void)
{
        struct metrics *metrics = make();
        struct report *report = made_report_of_three(); /* pauses of 256, 128 and 64 ms, 1.5 s in all */

        note(metrics, report);
        report = made_report_new();
        report->duration_seconds = 100;
        made_report_guest(report, "sliced", NULL, NULL, 64);
        report->guests[0].pauses = 10;
        report->guests[0].pause_seconds = 4; /* 400 ms each */
        made_report_failed_guest(report, "failed")->pause_seconds = 0.002;
        report->guests[1].pauses = 1;
        made_report_guest(report, "live", NULL, NULL, 64)->pause_seconds = REPORT_UNKNOWN;
        note(metrics, report);
        CU_ASSERT_TRUE(has_line(metrics, "samepage_pause_seconds_bucket{le=\"0.001\"} 0"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_pause_seconds_bucket{le=\"0.005\"} 1"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_pause_seconds_bucket{le=\"0.05\"} 1"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_pause_seconds_bucket{le=\"0.1\"} 2"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_pause_seconds_bucket{le=\"0.25\"} 3"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_pause_seconds_bucket{le=\"0.5\"} 14"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_pause_seconds_bucket{le=\"+Inf\"} 14"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_pause_seconds_count 14"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_pause_seconds_sum 4.45"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scan_seconds_bucket{le=\"1.0\"} 0"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scan_seconds_bucket{le=\"5.0\"} 1"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scan_seconds_bucket{le=\"60.0\"} 1"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scan_seconds_bucket{le=\"300.0\"} 2"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scan_seconds_sum 101.5"));
        metrics_free(metrics);
}

static void test_paused(void)
{
        struct metrics *metrics = make();

        metrics_set_paused(metrics, 3);
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guests_paused 3"));
        metrics_set_paused(metrics, 0);
        CU_ASSERT_TRUE(has_line(metrics, "samepage_guests_paused 0"));
        metrics_free(metrics);
}

/* Read at the moment of the scrape, signed, and only what can be a name. */
static void test_ksm(void)
{
        struct metrics *metrics = make();

        CU_ASSERT_FALSE(has(metrics, "samepage_ksm"));
        write_ksm("general_profit", "-4096\n");
        write_ksm("pages_sharing", "9223372036854775807\n");
        write_ksm("advisor_mode", "[none] scan-time\n");
        write_ksm("odd_words", "plain \"text\"\n");
        write_ksm("Odd-Name", "1\n");
        write_ksm("info", "1\n");
        write_ksm("1st", "word\n");
        CU_ASSERT_TRUE(has_line(metrics, "samepage_ksm_general_profit -4096"));
        CU_ASSERT_TRUE(has_line(metrics, "# TYPE samepage_ksm_general_profit gauge"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_ksm_pages_sharing 9223372036854775807"));
        CU_ASSERT_TRUE(has_line(
                metrics, "samepage_ksm_info{advisor_mode=\"none\",odd_words=\"plain \\\"text\\\"\"} 1"));
        CU_ASSERT_FALSE(has(metrics, "Odd"));
        CU_ASSERT_FALSE(has(metrics, "1st"));
        CU_ASSERT_EQUAL(count(metrics, "\nsamepage_ksm_info"), 1);
        write_ksm("general_profit", "8192\n");
        CU_ASSERT_TRUE(has_line(metrics, "samepage_ksm_general_profit 8192"));
        remove_ksm("general_profit");
        remove_ksm("pages_sharing");
        remove_ksm("advisor_mode");
        remove_ksm("odd_words");
        remove_ksm("Odd-Name");
        remove_ksm("info");
        remove_ksm("1st");
        metrics_free(metrics);
}

static void test_openmetrics(void)
{
        struct metrics *metrics = make();
        CLEANUP_FREE char *text = NULL;
        const char *created = NULL;
        double at = 0;

        note(metrics, made_report_of_three());
        text = render(metrics, METRICS_FORMAT_OPENMETRICS);
        CU_ASSERT_STRING_EQUAL(text + strlen(text) - 6, "# EOF\n");
        CU_ASSERT_PTR_NOT_NULL(strstr(text, "# TYPE samepage_scans counter\n"));
        CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nsamepage_scans_total{result=\"complete\"} 1\n"));
        CU_ASSERT_PTR_NOT_NULL(strstr(text, "# TYPE samepage_build info\n"));
        CU_ASSERT_PTR_NOT_NULL(strstr(text, "# UNIT samepage_pause_seconds seconds\n"));
        CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nsamepage_scans_created{result=\"failed\"} "));
        created = strstr(text, "\nsamepage_pause_seconds_created ");
        CU_ASSERT_PTR_NOT_NULL_FATAL(created);
        at = strtod(strchr(created, ' '), NULL);
        CU_ASSERT_TRUE(at <= (double)time(NULL) + 1 && at > (double)time(NULL) - 600);
        CU_ASSERT_FALSE(has(metrics, "_created"));
        CU_ASSERT_FALSE(has(metrics, "# EOF\n#"));
        metrics_free(metrics);
}

/* Text that is no time, or a duration that is no number, makes no nonsense. */
static void test_odd_times(void)
{
        struct metrics *metrics = make();
        struct report *report = made_report_of_three();
        CLEANUP_FREE char *text = NULL;
        double at = 0;

        (void)snprintf(report->started, sizeof(report->started), "yesterday");
        report->duration_seconds = strtod("nan", NULL);
        report->guests[0].pause_seconds = strtod("inf", NULL);
        report->guests[1].pause_seconds = 1e300;
        note(metrics, report);
        text = render(metrics, METRICS_FORMAT_TEXT);
        at = strtod(strstr(text, "\nsamepage_last_scan_timestamp_seconds ") + 38, NULL);
        CU_ASSERT_TRUE(at <= (double)time(NULL) + 1 && at > (double)time(NULL) - 600);
        CU_ASSERT_TRUE(has_line(metrics, "samepage_scan_seconds_count 0"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_pause_seconds_count 1"));
        CU_ASSERT_TRUE(has_line(metrics, "samepage_pause_seconds_sum 0.064"));
        metrics_free(metrics);
}

static const struct unit_test tests[] = {
        {"before the first scan", test_before_the_first_scan},
        {"figures of a guest", test_figures_of_a_guest},
        {"figures of the host", test_figures_of_the_host},
        {"unknown figures", test_unknown_figures},
        {"consistency is labelled", test_consistency_is_labelled},
        {"a partial scan", test_partial},
        {"all guests failed", test_all_failed},
        {"a host without guests", test_no_guests},
        {"scans without a report", test_scans_without_report},
        {"guests vanish", test_guests_vanish},
        {"a scan of chosen guests", test_chosen},
        {"a silent source", test_silent_source},
        {"whether a source answers", test_source},
        {"a chosen guest that is new", test_chosen_new_guest},
        {"two guests of one name", test_two_of_one_name},
        {"wild names", test_wild_names},
        {"a guest is kept by its wild name", test_keep_by_wild_name},
        {"histograms", test_histograms},
        {"guests paused", test_paused},
        {"KSM", test_ksm},
        {"OpenMetrics", test_openmetrics},
        {"odd times", test_odd_times},
};

int main(void)
{
        int r = 0;

        if (!mkdtemp(ksm_dir))
                return 1;
        r = unit_run("metrics", tests, ARRAY_SIZE(tests));
        (void)rmdir(ksm_dir);
        return r;
}
