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
 */
#include "base/cleanup.h"
#include "history/history_db.h"
#include "history/history_row.h"
#include "history/history_summary.h"

#include <errno.h>

struct query {
        struct history_period period;
        int limit;
        struct json_object *answer;
};

static const char host_sql[] =
        "SELECT id, started, mode, complete, duration_seconds, guests, failed, present_bytes, zero_bytes,"
        " self_sharing_bytes, inter_sharing_bytes, saved_bytes, gap_bytes, pause_seconds,"
        " longest_pause_seconds, NULL FROM scan WHERE started >= ?1 AND started < ?2"
        " ORDER BY started DESC, number DESC LIMIT ?4";

/* A scan may have met two guests with one name and scanned at most one of them: this takes that one. */
static const char guest_sql[] =
        "SELECT scan.id, scan.started, scan.mode, scan.complete, scan.duration_seconds, 1, NOT guest.scanned,"
        " guest.present_bytes, guest.zero_bytes, guest.self_sharing_bytes, guest.inter_sharing_bytes,"
        " guest.saved_bytes, guest.gap_bytes, guest.pause_seconds, guest.pause_seconds, guest.error"
        " FROM guest JOIN scan ON scan.number = guest.scan"
        " WHERE guest.name = ?3 AND guest.started >= ?1 AND guest.started < ?2"
        " AND NOT EXISTS (SELECT 1 FROM guest AS other WHERE other.scan = guest.scan AND other.name = ?3"
        "  AND (other.scanned, -other.position) > (guest.scanned, -guest.position))"
        " ORDER BY guest.started DESC, guest.scan DESC LIMIT ?4";

static struct json_object *scan_of_row(sqlite3_stmt *statement)
{
        struct json_object *scan = json_object_new_object();
        struct history_row row = {.statement = statement};

        history_row_add_text(&row, scan, "id");
        history_row_add_time(&row, scan, "started");
        history_row_add_text(&row, scan, "mode");
        history_row_add_bool(&row, scan, "complete");
        history_row_add_seconds(&row, scan, "duration_seconds");
        history_row_add_int(&row, scan, "guests");
        history_row_add_int(&row, scan, "failed");
        history_row_add_int(&row, scan, "present_bytes");
        history_row_add_int(&row, scan, "zero_bytes");
        history_row_add_int(&row, scan, "self_sharing_bytes");
        history_row_add_int(&row, scan, "inter_sharing_bytes");
        history_row_add_int(&row, scan, "saved_bytes");
        history_row_add_int(&row, scan, "gap_bytes");
        history_row_add_seconds(&row, scan, "pause_seconds");
        history_row_add_seconds(&row, scan, "longest_pause_seconds");
        history_row_add_text(&row, scan, "error");
        return scan;
}

static int add_scans(struct history *history, const struct query *query, struct json_object *answer,
                     struct failure *failure)
{
        CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
        struct json_object *scans = json_object_new_array();
        int r = history_db_prepare(history, query->period.guest ? guest_sql : host_sql,
                                   HISTORY_PERIOD(&query->period, query->limit), &statement, failure);

        history_row_put(answer, "scans", scans);
        while (r == 0 && (r = history_db_step(history, statement, failure)) > 0) {
                (void)json_object_array_add(scans, scan_of_row(statement));
                r = 0;
        }
        return r;
}

static int fill_answer(struct history *history, const struct query *query, struct json_object *answer,
                       struct failure *failure)
{
        struct json_object *summary = NULL;
        int r = 0;

        history_row_put(answer, "schema", json_object_new_string("samepage.history.v1"));
        history_row_put(answer, "guest",
                        query->period.guest ? json_object_new_string(query->period.guest) : NULL);
        r = add_scans(history, query, answer, failure);
        if (r == 0)
                r = history_summary(history, &query->period, &summary, failure);
        if (r == 0)
                history_row_put(answer, "summary", summary);
        return r;
}

/* One transaction: a scan that is added meanwhile is in both the list and the summary, or in neither. */
static int answer_query(struct history *history, void *argument, struct failure *failure)
{
        struct query *query = argument;
        struct json_object *answer = json_object_new_object();
        int r = answer ? 0 : failure_set(failure, -ENOMEM, "out of memory");

        if (r == 0)
                r = history_db_execute(history, "BEGIN", "read", failure);
        if (r == 0)
                r = fill_answer(history, query, answer, failure);
        if (r == 0)
                r = history_db_execute(history, "COMMIT", "read", failure);
        if (r < 0) {
                (void)json_object_put(answer);
                return r;
        }
        (void)json_object_put(query->answer);
        query->answer = answer;
        return 0;
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
                .period.guest = filter->guest,
                .period.since = clamp_seconds(filter->since),
                .period.until = filter->until ? clamp_seconds(filter->until) : INT64_MAX,
                .limit = (int)(limit > HISTORY_MAX_SCANS ? HISTORY_MAX_SCANS : limit),
        };
        int r = history_run(history, answer_query, &query, failure);

        if (r < 0)
                (void)json_object_put(query.answer);
        else
                *ret = query.answer;
        return r;
}
