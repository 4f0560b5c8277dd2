/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The answer, schema "samepage.history.v1". Sizes are in bytes, times in seconds; an unknown value is null:
 *
 *   {"schema", "guest": the filter's, or null,
 *    "scans": [newest first, at most the filter's limit:
 *      {"id", "started", "mode", "complete", "duration_seconds", "guests", "failed", "present_bytes",
 *       "zero_bytes", "self_sharing_bytes", "inter_sharing_bytes", "saved_bytes", "gap_bytes",
 *       "pause_seconds": of all guests together, "longest_pause_seconds": of the guest that was paused
 *       longest, "error"}],
 *    "summary": over all scans of the period, listed or not:
 *      {"since", "until", "scans", "incomplete",
 *       "host": {FIGURE: {"min", "avg", "max"}},
 *       "guests": [{"name", "uuid", "scans", "failed", FIGURE: {"min", "avg", "max"}}], "more_guests"}}
 *
 * FIGURE is present_bytes, zero_bytes, self_sharing_bytes, inter_sharing_bytes, saved_bytes, gap_bytes,
 * pause_seconds; for the host also duration_seconds. "guests" of a scan counts all, "failed" those of them
 * without figures. With a guest in the filter, the answer lists the scans that included this guest, with its
 * own figures. "error" then says why it has none, and the summary's host covers the same scans.
 *
 * Figures that were not measured are left out of a summary: if three of ten scans could not tell what is
 * merged, the average is that of seven. A guest is identified by its name, as in the filter: a new guest
 * under an old name continues the old one's figures, and the summary names the latest uuid.
 *
 * The names of a question's columns are those of the answer's members; "a.b" is a member b of a member a.
 */
#include "base/json.h"
#include "history/history_db.h"

#include <errno.h>
#include <string.h>

/* Thirty thousand years are not a duration. */
#define LARGEST_SECONDS 1e12

struct query {
        const char *guest;
        int64_t since;
        int64_t until;
        int64_t limit;
        struct json_object *answer;
};

/* clang-format off */
/* The form of times in reports; NULL beyond the years that it can name. */
#define TIME(seconds) "strftime('%Y-%m-%dT%H:%M:%SZ', " seconds ", 'unixepoch')"

#define IN_PERIOD "started >= ?1 AND started < ?2"

#define COLUMN(ignored, name) #name ", "
#define FIGURES               HISTORY_SIZES(COLUMN, ) "pause_seconds"

#define OVER(object, name, average)                                                             \
        "min(" #name ") AS \"" object #name ".min\", " average " AS \"" object #name ".avg\", " \
        "max(" #name ") AS \"" object #name ".max\""
#define OVER_SECONDS(object, name) OVER(object, name, "avg(" #name ")")
#define OVER_SIZE(object, name)    OVER(object, name, "CAST(round(avg(" #name ")) AS INTEGER)") ", "
#define OVER_FIGURES(object)       HISTORY_SIZES(OVER_SIZE, object) OVER_SECONDS(object, pause_seconds)

/* All statements share their parameters: ?1 since, ?2 until, ?3 the guest or NULL, ?4 the most rows. */
static const char host_scans_sql[] =
        "SELECT id, " TIME("started") " AS started, mode, complete, duration_seconds, guests, failed, "
        FIGURES ", longest_pause_seconds, NULL AS error FROM scan WHERE " IN_PERIOD
        " ORDER BY scan.started DESC, number DESC LIMIT ?4";

/* A scan may have met two guests with one name and scanned at most one of them: this takes that one. */
static const char guest_scans_sql[] =
        "SELECT id, " TIME("started") " AS started, mode, complete, duration_seconds, 1 AS guests,"
        " NOT scanned AS failed, " FIGURES ", pause_seconds AS longest_pause_seconds, error"
        " FROM guest JOIN (SELECT number, id, mode, complete, duration_seconds FROM scan) ON number = scan"
        " WHERE name = ?3 AND " IN_PERIOD
        " AND NOT EXISTS (SELECT 1 FROM guest AS other WHERE other.scan = guest.scan AND other.name = ?3"
        "  AND (other.scanned, -other.position) > (guest.scanned, -guest.position))"
        " ORDER BY guest.started DESC, scan DESC LIMIT ?4";

/* An open end of the period becomes its first or last scan. "guest_rows": the guests of all its scans. */
static const char host_sql[] =
        "SELECT " TIME("iif(?1 > 0, ?1, min(started))") " AS since, "
        TIME("iif(?2 < 9223372036854775807, ?2, max(started))") " AS until, count(*) AS scans,"
        " count(*) - coalesce(sum(complete), 0) AS incomplete, " OVER_FIGURES("host.") ", "
        OVER_SECONDS("host.", duration_seconds) ", CAST(total(guests) AS INTEGER) AS guest_rows"
        " FROM scan WHERE " IN_PERIOD
        " AND (?3 IS NULL OR number IN (SELECT scan FROM guest WHERE name = ?3 AND " IN_PERIOD ")) LIMIT ?4";

#define GUESTS_SQL(condition, group)                                                                    \
        "SELECT name,"                                                                                  \
        " (SELECT uuid FROM guest AS latest WHERE latest.name = guest.name AND latest.uuid IS NOT NULL" \
        "  AND latest.started < ?2 ORDER BY latest.started DESC LIMIT 1) AS uuid,"                      \
        " count(DISTINCT scan) AS scans, count(*) - coalesce(sum(scanned), 0) AS failed, "              \
        OVER_FIGURES("") " FROM guest WHERE " condition " GROUP BY " group " ORDER BY " group " LIMIT ?4"

/* Reads all rows of the table by the index on names: slow for one day out of a year, but needs no memory. */
static const char all_guests_sql[] = GUESTS_SQL(IN_PERIOD, "name");
/* Reads the rows by the scans of the period, and then sorts them by name in memory: for few rows. */
static const char few_guests_sql[] =
        GUESTS_SQL("scan IN (SELECT number FROM scan WHERE " IN_PERIOD ")", "+name");
static const char one_guest_sql[] = GUESTS_SQL("name = ?3 AND " IN_PERIOD, "name");
/* clang-format on */

/* Rows of some 100 bytes that may be sorted in memory: a day of 50 guests with a scan every ten minutes. */
#define MAX_SORTED_ROWS 8000

static struct json_object *json_of_column(sqlite3_stmt *statement, int column)
{
        const int type = sqlite3_column_type(statement, column);

        if (type == SQLITE_INTEGER)
                return json_object_new_int64(sqlite3_column_int64(statement, column));
        if (type == SQLITE_FLOAT) {
                const double seconds = sqlite3_column_double(statement, column);

                return seconds >= 0 && seconds < LARGEST_SECONDS ? json_new_seconds(seconds) : NULL;
        }
        const char *text = (const char *)sqlite3_column_text(statement, column);

        return text ? json_object_new_string(text) : NULL;
}

static void add_column(struct json_object *object, const char *name, struct json_object *value)
{
        const char *dot = NULL;

        while ((dot = strchr(name, '.'))) {
                char key[64] = "";
                struct json_object *within = NULL;

                (void)snprintf(key, sizeof(key), "%.*s", (int)(dot - name), name);
                within = json_get(object, key, json_type_object);
                if (!within) {
                        within = json_object_new_object();
                        json_add(object, key, within);
                }
                object = within;
                name = dot + 1;
        }
        json_add(object, name, value);
}

/* Gives the rows as an array of objects, which the caller owns after a failure as well. */
static int read_rows(struct history *history, const char *sql, const struct query *query, int64_t limit,
                     struct json_object **ret, struct failure *failure)
{
        CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
        const struct history_value values[] = {HISTORY_INT(query->since),
                                               HISTORY_INT(query->until),
                                               HISTORY_TEXT(query->guest),
                                               HISTORY_INT(limit),
                                               {0}};
        int r = history_db_prepare(history, sql, values, &statement, failure);

        *ret = json_object_new_array();
        if (r < 0)
                return r;
        while ((r = history_db_step(history, statement, failure)) > 0) {
                struct json_object *row = json_object_new_object();

                for (int i = 0; i < sqlite3_column_count(statement); i++)
                        add_column(row, sqlite3_column_name(statement, i), json_of_column(statement, i));
                (void)json_object_array_add(*ret, row);
        }
        return r;
}

static int add_scans(struct history *history, const struct query *query, struct json_object *answer,
                     struct failure *failure)
{
        struct json_object *scans = NULL;
        int r = read_rows(history, query->guest ? guest_scans_sql : host_scans_sql, query, query->limit,
                          &scans, failure);

        json_add(answer, "scans", scans);
        for (size_t i = 0; i < json_object_array_length(scans); i++) {
                struct json_object *scan = json_object_array_get_idx(scans, i);

                json_add_bool(scan, "complete", json_get_int(scan, "complete", 0) != 0);
        }
        return r;
}

static int add_guests(struct history *history, const struct query *query, struct json_object *summary,
                      struct failure *failure)
{
        const bool are_few = json_get_int(summary, "guest_rows", 0) <= MAX_SORTED_ROWS;
        const char *sql = are_few ? few_guests_sql : all_guests_sql;
        struct json_object *guests = NULL;
        int r = read_rows(history, query->guest ? one_guest_sql : sql, query, HISTORY_MAX_GUESTS + 1, &guests,
                          failure);
        const bool are_more = json_object_array_length(guests) > HISTORY_MAX_GUESTS;

        if (are_more)
                (void)json_object_array_del_idx(guests, HISTORY_MAX_GUESTS, 1);
        json_object_object_del(summary, "guest_rows");
        json_add(summary, "guests", guests);
        json_add_bool(summary, "more_guests", are_more);
        return r;
}

static int add_summary(struct history *history, const struct query *query, struct json_object *answer,
                       struct failure *failure)
{
        CLEANUP_JSON struct json_object *rows = NULL;
        struct json_object *summary = NULL;
        int r = read_rows(history, host_sql, query, 1, &rows, failure);

        if (r < 0)
                return r;
        summary = json_object_get(json_object_array_get_idx(rows, 0));
        json_add(answer, "summary", summary);
        return add_guests(history, query, summary, failure);
}

/* One transaction: a scan that is added meanwhile is in both the list and the summary, or in neither. */
static int answer_query(struct history *history, void *argument, struct failure *failure)
{
        struct query *query = argument;
        struct json_object *answer = json_object_new_object();
        int r = answer ? history_db_execute(history, "BEGIN", "read", failure)
                       : failure_set(failure, -ENOMEM, "out of memory");

        (void)json_object_put(query->answer);
        query->answer = answer;
        if (r < 0)
                return r;
        json_add(answer, "schema", json_object_new_string("samepage.history.v1"));
        json_add(answer, "guest", query->guest ? json_object_new_string(query->guest) : NULL);
        r = add_scans(history, query, answer, failure);
        if (r == 0)
                r = add_summary(history, query, answer, failure);
        return r == 0 ? history_db_execute(history, "COMMIT", "read", failure) : r;
}

static int64_t clamp_seconds(uint64_t seconds)
{
        return seconds > INT64_MAX ? INT64_MAX : (int64_t)seconds;
}

int history_query(struct history *history, const struct history_filter *filter, struct json_object **ret,
                  struct failure *failure)
{
        const unsigned int limit = filter->limit ? filter->limit : HISTORY_DEFAULT_SCANS;
        struct query query = {
                .guest = filter->guest,
                .since = clamp_seconds(filter->since),
                .until = filter->until ? clamp_seconds(filter->until) : INT64_MAX,
                .limit = limit > HISTORY_MAX_SCANS ? HISTORY_MAX_SCANS : limit,
        };
        int r = history_run(history, answer_query, &query, failure);

        if (r < 0)
                (void)json_object_put(query.answer);
        else
                *ret = query.answer;
        return r;
}
