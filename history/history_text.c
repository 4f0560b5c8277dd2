/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history/history_text.h"

#include "base/json.h"
#include "base/text.h"
#include "report/table.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define TIME_TEXT_BYTES  32
#define PAUSE_TEXT_BYTES 48

/* One size, time or duration, as an argument of a print call. */
#define SIZE(object, key)  table_format_bytes(json_get_int(object, key, -1), (char[TABLE_SIZE_BYTES]){""})
#define WHEN(object, key)  format_time(object, key, (char[TIME_TEXT_BYTES]){""})
#define PAUSE(object, key) format_pause(object, key, (char[PAUSE_TEXT_BYTES]){""})

/* More lines than any answer has; a table of them takes some 4 MiB. */
#define MAX_LINES 1000

static const char *text_of(struct json_object *object, const char *key, const char *otherwise)
{
        struct json_object *value = json_get(object, key, json_type_string);

        return value ? json_object_get_string(value) : otherwise;
}

static const char *format_time(struct json_object *object, const char *key, char *ret)
{
        const char *started = text_of(object, key, "");
        struct tm utc = {0};
        struct tm local = {0};
        const char *end = strptime(started, "%Y-%m-%dT%H:%M:%SZ", &utc);
        const time_t when = end && *end == '\0' ? timegm(&utc) : -1;

        if (when < 0 || !localtime_r(&when, &local) ||
            strftime(ret, TIME_TEXT_BYTES, "%Y-%m-%d %H:%M:%S", &local) == 0)
                return "-";
        return ret;
}

static const char *format_pause(struct json_object *object, const char *key, char *ret)
{
        struct json_object *value = json_get(object, key, json_type_double);
        double pause = 0;

        value = value ? value : json_get(object, key, json_type_int);
        pause = value ? json_object_get_double(value) : -1;
        /* NaN fails this test and so counts as unknown, like anything above a year. */
        if (!(pause >= 0 && pause < 366.0 * 86400))
                return "-";
        if (pause < 1)
                (void)snprintf(ret, PAUSE_TEXT_BYTES, "%.1f ms", pause * 1000);
        else
                (void)snprintf(ret, PAUSE_TEXT_BYTES, "%.1f s", pause);
        return ret;
}

/* Notes what a person should know about this scan besides its figures. */
static void add_note(struct table *table, struct json_object *scan, bool of_guest)
{
        const int64_t failed = json_get_int(scan, "failed", -1);
        const char *error = text_of(scan, "error", "");
        struct json_object *complete = json_get(scan, "complete", json_type_boolean);

        if (of_guest && failed > 0)
                table_add(table, "not scanned%s%s", *error ? ": " : "", error);
        else if (failed > 0)
                table_add(table, "incomplete: %lld not scanned", (long long)failed);
        else
                table_add(table, "%s", complete && !json_object_get_boolean(complete) ? "incomplete" : "");
}

static void add_number(struct table *table, int64_t number)
{
        if (number < 0)
                table_add(table, "-");
        else
                table_add(table, "%lld", (long long)number);
}

static void add_scan(struct table *table, struct json_object *scan, bool of_guest)
{
        table_add(table, "%s", WHEN(scan, "started"));
        if (!of_guest)
                add_number(table, json_get_int(scan, "guests", -1));
        table_add(table, "%s", SIZE(scan, "present_bytes"));
        table_add(table, "%s", SIZE(scan, "zero_bytes"));
        table_add(table, "%s", SIZE(scan, "self_sharing_bytes"));
        table_add(table, "%s", SIZE(scan, "inter_sharing_bytes"));
        table_add(table, "%s", SIZE(scan, "saved_bytes"));
        table_add(table, "%s", PAUSE(scan, "longest_pause_seconds"));
        if (!of_guest)
                table_add(table, "%s", PAUSE(scan, "pause_seconds"));
        table_add(table, "%s", text_of(scan, "mode", "-"));
        add_note(table, scan, of_guest);
}

static void print_scans(struct json_object *history, bool of_guest, FILE *out)
{
        static const char *const of_host_headings[] = {
                "WHEN",  "GUESTS",        "PRESENT",    "ZERO", "SELF", "INTER",
                "SAVED", "LONGEST PAUSE", "ALL PAUSES", "MODE", "",
        };
        static const char *const of_guest_headings[] = {
                "WHEN", "PRESENT", "ZERO", "SELF", "INTER", "SAVED", "PAUSE", "MODE", "",
        };
        struct table table = {.n_columns = of_guest ? 9 : 11, .right = of_guest ? 0x7e : 0x1fe};
        struct json_object *scans = json_get(history, "scans", json_type_array);
        const size_t n = scans ? json_object_array_length(scans) : 0;

        for (size_t i = 0; i < table.n_columns; i++)
                table_add(&table, "%s", of_guest ? of_guest_headings[i] : of_host_headings[i]);
        for (size_t i = 0; i < n && i < MAX_LINES; i++)
                add_scan(&table, json_object_array_get_idx(scans, i), of_guest);
        if (n > 0)
                table_print(&table, "", out);
        table_deinit(&table);
}

/* Pauses and the like are in seconds, the others sizes. */
static void add_figure(struct table *table, struct json_object *figures, const char *label, const char *key)
{
        static const char *const members[] = {"min", "avg", "max"};
        struct json_object *figure = json_get(figures, key, json_type_object);
        const bool in_seconds = strstr(key, "_seconds");

        table_add(table, "%s", label);
        for (size_t i = 0; i < ARRAY_SIZE(members); i++)
                table_add(table, "%s", in_seconds ? PAUSE(figure, members[i]) : SIZE(figure, members[i]));
}

static void print_figures(struct json_object *figures, bool of_guest, FILE *out)
{
        struct table table = {.n_columns = 4, .right = 0xe};

        table_add(&table, "%s", "");
        table_add(&table, "MIN");
        table_add(&table, "AVG");
        table_add(&table, "MAX");
        add_figure(&table, figures, "present", "present_bytes");
        add_figure(&table, figures, "zero", "zero_bytes");
        add_figure(&table, figures, "self", "self_sharing_bytes");
        add_figure(&table, figures, "inter", "inter_sharing_bytes");
        add_figure(&table, figures, "saved", "saved_bytes");
        add_figure(&table, figures, "gap", "gap_bytes");
        add_figure(&table, figures, of_guest ? "pause" : "all pauses", "pause_seconds");
        if (!of_guest)
                add_figure(&table, figures, "duration", "duration_seconds");
        table_print(&table, "  ", out);
        table_deinit(&table);
}

/* The summary of the guest with this name; NULL when there is none. */
static struct json_object *find_guest(struct json_object *summary, const char *name)
{
        struct json_object *guests = json_get(summary, "guests", json_type_array);

        for (size_t i = 0; guests && i < json_object_array_length(guests); i++) {
                struct json_object *guest = json_object_array_get_idx(guests, i);

                if (strcmp(text_of(guest, "name", ""), name) == 0)
                        return guest;
        }
        return NULL;
}

static void print_of_guest(const char *guest, FILE *out)
{
        char printable[TABLE_CELL_BYTES] = "";

        if (!guest)
                return;
        (void)snprintf(printable, sizeof(printable), "%s", guest);
        text_make_printable(printable);
        (void)fprintf(out, " of %s", printable);
}

/* "12 scans of web1 from … to …". */
static void print_period(struct json_object *summary, const char *guest, FILE *out)
{
        const int64_t n = json_get_int(summary, "scans", -1);

        (void)fprintf(out, "%lld scan%s", (long long)n, n == 1 ? "" : "s");
        print_of_guest(guest, out);
        (void)fprintf(out, " from %s to %s", WHEN(summary, "since"), WHEN(summary, "until"));
        if (!guest && json_get_int(summary, "incomplete", -1) > 0)
                (void)fprintf(out, ", %lld incomplete", (long long)json_get_int(summary, "incomplete", -1));
        (void)fputc('\n', out);
}

void history_print(struct json_object *history, FILE *out)
{
        struct json_object *summary = json_get(history, "summary", json_type_object);
        const char *guest = text_of(history, "guest", NULL);

        if (json_get_int(summary, "scans", -1) <= 0) {
                (void)fputs("The history has no scans", out);
                print_of_guest(guest, out);
                (void)fputs(" in this period\n", out);
                return;
        }
        print_scans(history, guest, out);
        print_period(summary, guest, out);
        print_figures(guest ? find_guest(summary, guest) : json_get(summary, "host", json_type_object), guest,
                      out);
}
