/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Figures that were not measured are left out: if three of ten scans could not tell what is merged, the
 * average is that of seven. A guest is identified by its name, as in the filter: a new guest under an old
 * name continues the old one's figures, and the summary names the latest uuid.
 */
#include "history/history_summary.h"

#include "base/cleanup.h"
#include "history/history_db.h"
#include "history/history_row.h"

#include <errno.h>

#define OVER(column) "min(" column "), avg(" column "), max(" column ")"
#define OVER_SHARING OVER("self_sharing_bytes") ", " OVER("inter_sharing_bytes")
#define OVER_IDEAL   OVER("present_bytes") ", " OVER("zero_bytes") ", " OVER_SHARING
#define OVER_ACTUAL  OVER("saved_bytes") ", " OVER("gap_bytes")
#define OVER_FIGURES OVER_IDEAL ", " OVER_ACTUAL ", " OVER("pause_seconds")
#define IN_PERIOD    "started >= ?1 AND started < ?2"

/* In the order of OVER_FIGURES. Guests have all but the last, which is the scan's own. */
static const struct {
        const char *name;
        bool in_seconds;
} figures[] = {
        {"present_bytes", false},       {"zero_bytes", false},      {"self_sharing_bytes", false},
        {"inter_sharing_bytes", false}, {"saved_bytes", false},     {"gap_bytes", false},
        {"pause_seconds", true},        {"duration_seconds", true},
};

#define N_HOST_FIGURES  ARRAY_SIZE(figures)
#define N_GUEST_FIGURES (N_HOST_FIGURES - 1)

/* clang-format off */
static const char host_sql[] =
        "SELECT min(started), max(started), count(*), count(*) - coalesce(sum(complete), 0), " OVER_FIGURES
        ", " OVER("duration_seconds") ", total(guests) FROM scan WHERE " IN_PERIOD
        " AND (?3 IS NULL OR number IN (SELECT scan FROM guest WHERE name = ?3 AND " IN_PERIOD ")) LIMIT ?4";
/* clang-format on */

#define GUESTS_SQL(condition, group)                                                                    \
        "SELECT name,"                                                                                  \
        " (SELECT uuid FROM guest AS latest WHERE latest.name = guest.name AND latest.uuid IS NOT NULL" \
        "  AND latest.started < ?2 ORDER BY latest.started DESC LIMIT 1),"                              \
        " count(DISTINCT scan), count(*) - coalesce(sum(scanned), 0), " OVER_FIGURES                    \
        " FROM guest WHERE " condition " GROUP BY " group " ORDER BY " group " LIMIT ?4"

/* Reads all rows of the table by the index on names: slow for one day out of a year, but needs no memory. */
static const char all_guests_sql[] = GUESTS_SQL(IN_PERIOD, "name");
/* Reads the rows by the scans of the period, and then sorts them by name in memory: for few rows. */
static const char few_guests_sql[] =
        GUESTS_SQL("scan IN (SELECT number FROM scan WHERE " IN_PERIOD ")", "+name");
static const char one_guest_sql[] = GUESTS_SQL("name = ?3 AND " IN_PERIOD, "name");

/* Rows of some 100 bytes that may be sorted in memory: a day of 50 guests with a scan every ten minutes. */
#define MAX_SORTED_ROWS 8000

static const char *guests_sql(const struct history_period *period, double n_rows)
{
        if (period->guest)
                return one_guest_sql;
        return n_rows <= MAX_SORTED_ROWS ? few_guests_sql : all_guests_sql;
}

static void add_figures(struct history_row *row, struct json_object *object, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                struct json_object *figure = json_object_new_object();

                if (figures[i].in_seconds) {
                        history_row_add_seconds(row, figure, "min");
                        history_row_add_seconds(row, figure, "avg");
                        history_row_add_seconds(row, figure, "max");
                } else {
                        history_row_add_int(row, figure, "min");
                        history_row_add_rounded(row, figure, "avg");
                        history_row_add_int(row, figure, "max");
                }
                history_row_put(object, figures[i].name, figure);
        }
}

/* An open end of the period becomes its first or last scan. *@ret_n_guests: the guests of all its scans. */
static int add_host(struct history *history, const struct history_period *period, struct json_object *summary,
                    double *ret_n_guests, struct failure *failure)
{
        CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
        struct json_object *host = NULL;
        struct history_row row = {0};
        int r = history_db_prepare(history, host_sql, HISTORY_PERIOD(period, 1), &statement, failure);

        if (r == 0)
                r = history_db_step(history, statement, failure);
        if (r <= 0)
                return r;
        row.statement = statement;
        host = json_object_new_object();
        history_row_add_time(&row, summary, "since");
        history_row_add_time(&row, summary, "until");
        if (period->since > 0)
                history_row_put(summary, "since", history_row_time(period->since));
        if (period->until < INT64_MAX)
                history_row_put(summary, "until", history_row_time(period->until));
        history_row_add_int(&row, summary, "scans");
        history_row_add_int(&row, summary, "incomplete");
        add_figures(&row, host, N_HOST_FIGURES);
        history_row_put(summary, "host", host);
        *ret_n_guests = sqlite3_column_double(statement, row.column);
        return 0;
}

static struct json_object *guest_of_row(sqlite3_stmt *statement)
{
        struct json_object *guest = json_object_new_object();
        struct history_row row = {.statement = statement};

        history_row_add_text(&row, guest, "name");
        history_row_add_text(&row, guest, "uuid");
        history_row_add_int(&row, guest, "scans");
        history_row_add_int(&row, guest, "failed");
        add_figures(&row, guest, N_GUEST_FIGURES);
        return guest;
}

static int add_guests(struct history *history, const struct history_period *period,
                      struct json_object *summary, double n_rows, struct failure *failure)
{
        CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
        struct json_object *guests = json_object_new_array();
        int n = 0;
        int r = history_db_prepare(history, guests_sql(period, n_rows),
                                   HISTORY_PERIOD(period, HISTORY_MAX_GUESTS + 1), &statement, failure);

        history_row_put(summary, "guests", guests);
        if (r < 0)
                return r;
        while ((r = history_db_step(history, statement, failure)) > 0 && n++ < HISTORY_MAX_GUESTS)
                (void)json_object_array_add(guests, guest_of_row(statement));
        history_row_put(summary, "more_guests", json_object_new_boolean(n > HISTORY_MAX_GUESTS));
        return r < 0 ? r : 0;
}

int history_summary(struct history *history, const struct history_period *period, struct json_object **ret,
                    struct failure *failure)
{
        struct json_object *summary = json_object_new_object();
        double n_guests = 0;
        int r = summary ? 0 : failure_set(failure, -ENOMEM, "out of memory");

        if (r == 0)
                r = add_host(history, period, summary, &n_guests, failure);
        if (r == 0)
                r = add_guests(history, period, summary, n_guests, failure);
        if (r < 0)
                (void)json_object_put(summary);
        else
                *ret = summary;
        return r;
}
