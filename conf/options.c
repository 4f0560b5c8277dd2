/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/options.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "conf/spelling.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MSEC USEC_PER_MSEC
#define SEC  USEC_PER_SEC
#define MIN  (60 * SEC)
#define HOUR (60 * MIN)
#define DAY  (24 * HOUR)
/* A hundred years and a bit: what is longer is a slip. */
#define LONGEST (5250 * (7 * DAY))

/* A guest that stands still for longer than this has lost its clients anyway. */
#define MAX_PAUSE_MOST MIN
#define THREADS_MOST   1024
#define LIMIT_MOST     1000

#define FOR_SCANNING (OPTION_FOR_SCAN | OPTION_FOR_TUNE)
#define FOR_READING  (OPTION_FOR_GUESTS | FOR_SCANNING)
#define FOR_REACHING (FOR_READING | OPTION_FOR_RECLAIM)
#define FOR_PAUSING  (FOR_SCANNING | OPTION_FOR_RECLAIM)
#define FOR_ACTING   (FOR_REACHING | OPTION_FOR_RESUME)
#define FOR_KSM      (FOR_READING | OPTION_FOR_RESUME)
#define FOR_CHOOSING (FOR_READING | OPTION_FOR_HISTORY)
#define FOR_NAMING   (FOR_REACHING | OPTION_FOR_HISTORY)
#define FOR_ASKING   (FOR_CHOOSING | OPTION_FOR_WATCH)
#define FOR_PRINTING (FOR_ACTING | OPTION_FOR_HISTORY)

/* The offset of a member, which must be of the type that the row's parser writes. */
#define MEMBER(member_type, name)                                                                           \
        (offsetof(struct options, name) +                                                                   \
         0 * sizeof(char[__builtin_types_compatible_p(member_type, __typeof__(((struct options *)0)->name)) \
                                 ? 1                                                                        \
                                 : -1]))
#define ADDRESS(name)               &option_type_address, MEMBER(struct address, name), 0, 0
#define BOOL(name)                  &option_type_bool, MEMBER(bool, name), 0, 0
#define CPUS(name)                  &option_type_cpus, MEMBER(struct cpu_choice, name), 0, 0
#define DURATION(name, least, most) &option_type_duration, MEMBER(uint64_t, name), least, most
#define GLOBS(name)                 &option_type_globs, MEMBER(struct patterns, name), 0, 0
#define GROUPS(name)                &option_type_groups, MEMBER(struct groups, name), 0, 0
#define MODE(name)                  &option_type_mode, MEMBER(enum scan_mode, name), 0, 0
#define MOMENT(name)                &option_type_moment, MEMBER(uint64_t, name), 0, 0
#define NAMES(name)                 &option_type_names, MEMBER(struct patterns, name), 0, 0
#define NUMBER(name, least, most)   &option_type_number, MEMBER(unsigned int, name), least, most
#define PARENT(name)                &option_type_parent, MEMBER(pid_t, name), 0, 0
#define PATH(name)                  &option_type_path, MEMBER(char *, name), 0, 0
#define PATTERNS(name)              &option_type_patterns, MEMBER(struct patterns, name), 0, 0
#define POLICY(name)                &option_type_policy, MEMBER(enum merging_policy, name), 0, 0
#define QUIET_HOURS(name)           &option_type_quiet_hours, MEMBER(struct quiet_hours, name), 0, 0
#define SOCKET(name)                &option_type_socket, MEMBER(char *, name), 0, 0
#define STRING(name)                &option_type_string, MEMBER(char *, name), 0, 0
#define TRISTATE(name)              &option_type_tristate, MEMBER(enum tristate, name), 0, 0

/*
 * section, key, name, word of the argument, commands,
 * flags, type with member, least and most; default, word for "not at all",
 * help, help of commands
 */
/* clang-format off */
const struct option_row options_table[] = {
        {"guests", "qmp_sockets", "qmp", "SOCKET", FOR_REACHING,
         OPTION_MAY_BE_EMPTY, GLOBS(guests.qmp_sockets), "", NULL,
         "QMP sockets of guests that libvirt does not know",
         "a guest, by its QMP socket; may be given more than once"},
        {"guests", "libvirt_uri", "libvirt", "URI", FOR_REACHING,
         OPTION_SERVICE_DEFAULT, STRING(guests.libvirt_uri), "auto", "none",
         "where libvirt is asked for guests: a URI, or auto for this host's own if there is one",
         "all active domains of this libvirt, like qemu:///system"},
        {"guests", "libvirt_monitor", "libvirt-monitor", NULL, FOR_REACHING,
         0, BOOL(guests.libvirt_monitor), "no", NULL,
         "ask QEMU through libvirt's monitor passthrough, which taints the domain", NULL},
        {NULL, NULL, "guest", "NAME", FOR_NAMING,
         OPTION_MAY_BE_EMPTY, NAMES(guests.names), "", NULL,
         "only the guest of this name; guests, scan and reclaim take it more than once", NULL},
        {"guests", "include", "include", "PATTERN", FOR_REACHING,
         OPTION_SERVICE_DEFAULT | OPTION_SERVICE_DECIDES, PATTERNS(guests.include), "*", NULL,
         "names of the guests to scan",
         "only guests whose name matches, like 'web*'; may be given more than once"},
        {"guests", "exclude", "exclude", "PATTERN", FOR_REACHING,
         OPTION_MAY_BE_EMPTY | OPTION_SERVICE_DECIDES, PATTERNS(guests.exclude), "", NULL,
         "names of guests that are left alone, also where include has them",
         "no guest whose name matches; may be given more than once"},

        {"groups", NULL, "group", "GROUP", FOR_SCANNING,
         OPTION_MAY_BE_EMPTY | OPTION_SERVICE_DECIDES, GROUPS(merging.groups), "", NULL,
         "the guests of the trust group NAME; the first group that fits counts",
         "NAME=PATTERNS: the trust group of the guests whose names match"},

        {"schedule", "interval", NULL, NULL, 0,
         0, DURATION(interval_usec, SEC, 365 * DAY), "1h", "never",
         "time between two scans", NULL},
        {"schedule", "jitter", NULL, NULL, 0,
         0, DURATION(jitter_usec, 0, 7 * DAY), "5min", NULL,
         "random delay of each scan, at most as long as the interval", NULL},
        {"schedule", "min_gap", NULL, NULL, 0,
         0, DURATION(min_gap_usec, 0, 7 * DAY), "1min", NULL,
         "shortest time between two pauses of a guest", NULL},
        {"schedule", "quiet_hours", NULL, NULL, 0,
         OPTION_MAY_BE_EMPTY, QUIET_HOURS(quiet_hours), "", NULL,
         "local times at which no scan is started by schedule", NULL},
        {"schedule", "on_suspend", NULL, NULL, 0,
         0, BOOL(on_suspend), "no", NULL,
         "scan a guest that the operator suspends, and leave it suspended", NULL},

        {"scan", "mode", "mode", "MODE", FOR_SCANNING,
         OPTION_ON_REQUEST, MODE(scan.mode), "snapshot", NULL,
         "how guests are read", "how guests are read: snapshot, sliced or live"},
        {"scan", "max_pause", "max-pause", "DURATION", FOR_PAUSING,
         OPTION_BARE_MSEC | OPTION_ON_REQUEST,
         DURATION(scan.max_pause_usec, MSEC, MAX_PAUSE_MOST), "500ms", NULL,
         "longest pause of a guest", NULL},
        {"scan", "together", "together", NULL, FOR_SCANNING,
         OPTION_ON_REQUEST, BOOL(scan.together), "no", NULL,
         "pause all guests at one instant", NULL},
        {"scan", "recheck", "recheck", "DURATION", OPTION_FOR_SCAN,
         OPTION_ON_REQUEST, DURATION(scan.recheck_usec, 0, HOUR), "0", NULL,
         "look again at what KSM has not merged, so much later; 0: not", NULL},
        {"scan", "careful", "careful", NULL, FOR_READING,
         OPTION_SERVICE_DECIDES, BOOL(scan.careful), "no", NULL,
         "read shared RAM by pread(2) and private RAM by /proc/PID/mem only: slower", NULL},
        {"scan", "cpus", "cpus", "LIST", FOR_SCANNING,
         OPTION_MAY_BE_EMPTY | OPTION_SERVICE_DECIDES, CPUS(scan.cpus), "", NULL,
         "CPUs to work on; none given: all", "CPUs to work on, like 0-3,8 or node1; none given: all"},
        {"scan", "threads", "threads", "N", FOR_READING,
         OPTION_SERVICE_DECIDES, NUMBER(scan.threads, 0, THREADS_MOST), "0", NULL,
         "worker threads; 0: one per CPU", NULL},
        {"scan", "timeout", "timeout", "DURATION", FOR_REACHING,
         0, DURATION(guests.timeout_usec, SEC, HOUR), "5s", NULL,
         "how long QEMU may take to answer", NULL},

        {NULL, "forecast", "forecast", NULL, OPTION_FOR_SCAN,
         OPTION_ON_REQUEST, BOOL(merging.forecast), "no", NULL,
         "say what merging would save and cost", NULL},
        {NULL, NULL, "dry-run", NULL, OPTION_FOR_TUNE,
         0, BOOL(dry_run), "no", NULL,
         "say what merging would save and cost, and change nothing", NULL},
        {NULL, NULL, "undo", NULL, OPTION_FOR_TUNE,
         0, BOOL(undo), "no", NULL,
         "put KSM's settings back to what was found", NULL},
        {"merge", "policy", NULL, NULL, 0,
         0, POLICY(merge_policy), "observe", NULL,
         "what is done about merging: nothing, reports, reports with a forecast, or what the forecast says",
         NULL},
        {"merge", "cross_group", "cross-group", NULL, FOR_SCANNING,
         OPTION_SERVICE_DECIDES, BOOL(merging.cross_group), "no", NULL,
         "let guests of different trust groups share memory, which lets them spy on each other", NULL},
        {"merge", "group", "only-group", "NAME", FOR_SCANNING,
         OPTION_SERVICE_DECIDES, STRING(merging.group), "largest", "largest",
         "the trust group whose guests are merged; largest: the one that gains most", NULL},
        {"merge", "cpu", "ksm-cpu", "PERCENT", FOR_SCANNING,
         0, NUMBER(merging.cpu_percent, 1, 100), "100", NULL,
         "how much of a core KSM may take while there is something to gain, in percent", NULL},
        {"merge", "use_zero_pages", "use-zero-pages", "VALUE", FOR_SCANNING,
         0, TRISTATE(merging.use_zero_pages), "keep", NULL,
         "set KSM's use_zero_pages", "keep, no or yes: set KSM's use_zero_pages"},
        {"merge", "smart_scan", "smart-scan", "VALUE", FOR_SCANNING,
         0, TRISTATE(merging.smart_scan), "keep", NULL,
         "set KSM's smart_scan", "keep, no or yes: set KSM's smart_scan"},

        {NULL, NULL, "stale", NULL, OPTION_FOR_RESUME,
         0, BOOL(stale), "no", NULL,
         "only what scans left paused that are dead; end no living scan", NULL},
        {NULL, NULL, "apply", NULL, OPTION_FOR_RECLAIM,
         0, BOOL(apply), "no", NULL,
         "give the memory back; otherwise it is only told how much there is", NULL},
        {NULL, NULL, "json", NULL, FOR_PRINTING,
         0, BOOL(json), "no", NULL,
         "print JSON", NULL},
        {NULL, NULL, "events", NULL, FOR_PRINTING,
         0, BOOL(events), "no", NULL,
         "print JSON lines for a program that waits: progress, then the result", NULL},
        {NULL, NULL, "for-service", "PID", FOR_SCANNING,
         OPTION_MAY_BE_EMPTY, PARENT(merging.service_pid), "", NULL,
         NULL, NULL},

        {NULL, NULL, "since", "WHEN", OPTION_FOR_HISTORY,
         OPTION_MAY_BE_EMPTY, MOMENT(since), "", NULL,
         "scans since then: 7d (ago), 2026-11-24, or '2026-11-24 17:00'", NULL},
        {NULL, NULL, "until", "WHEN", OPTION_FOR_HISTORY,
         OPTION_MAY_BE_EMPTY, MOMENT(until), "", NULL,
         "scans before then, likewise", NULL},
        {NULL, NULL, "limit", "N", OPTION_FOR_HISTORY,
         0, NUMBER(limit, 1, LIMIT_MOST), "20", NULL,
         "list so many scans, the newest first", NULL},
        {NULL, NULL, "id", "ID", OPTION_FOR_HISTORY,
         OPTION_MAY_BE_EMPTY, STRING(scan_id), "", NULL,
         "print the report of this scan", NULL},
        {NULL, NULL, "interval", "DURATION", OPTION_FOR_WATCH,
         0, DURATION(watch_interval_usec, SEC, DAY), "2s", NULL,
         "time between two looks", NULL},
        {"history", "file", "file", "FILE", OPTION_FOR_HISTORY,
         OPTION_SERVICE_DEFAULT, PATH(history_file), "/var/lib/samepage/history.db", "none",
         "database that keeps the reports", "read this history instead of asking the service"},
        {"history", "retention", NULL, NULL, 0,
         0, DURATION(retention_usec, MIN, LONGEST), "90d", "forever|0",
         "how long a report is kept", NULL},

        {"metrics", "address", NULL, NULL, 0,
         0, ADDRESS(metrics_address), "127.0.0.1:9747", "none",
         "where Prometheus finds the metrics", NULL},

        {"control", "socket", "control", "SOCKET", FOR_ASKING,
         0, SOCKET(control_socket), "/run/samepage/control.sock", "none",
         "socket for the command samepage", "control socket of samepaged, or none"},
        {"control", "group", NULL, NULL, 0,
         0, STRING(control_group), "samepage", NULL,
         "group whose members may use the socket", NULL},

        {"paths", "runtime_dir", "runtime-dir", "DIR", FOR_ACTING,
         0, PATH(runtime_dir), "/run/samepage", NULL,
         "where leases are kept", NULL},
        {"paths", "ksm_dir", "ksm-dir", "DIR", FOR_KSM,
         0, PATH(ksm_dir), "/sys/kernel/mm/ksm", NULL,
         "the kernel's KSM folder", NULL},
        {0},
};
/* clang-format on */

static_assert(ARRAY_SIZE(options_table) <= 64, "a bit of options.given for each row");

static void *option_member(struct options *options, const struct option_row *row)
{
        return (char *)options + row->offset;
}

/* Says what is allowed. */
static int refuse_value(const struct option_row *row, const char *text, struct failure *failure)
{
        char range[OPTION_RANGE_BYTES] = "";

        if (row->type->range)
                row->type->range(row, range);
        return failure_set(failure, -EINVAL, "\"%s\" is not allowed; it takes %s%s%s%s%s", text,
                           row->type->description, range[0] ? " from " : "", range, row->off ? ", or " : "",
                           row->off ? row->off : "");
}

static int set_value(struct options *options, const struct option_row *row, option_set_fn *set,
                     const char *text, struct failure *failure)
{
        void *member = option_member(options, row);
        struct failure reason = {0};
        int r = 0;

        if (row->off && option_words_find(row->off, text) >= 0) {
                if (row->type->free)
                        row->type->free(member);
                memcpy(member, row->type->off, row->type->size);
                return 0;
        }
        r = set(row, text, member, &reason);
        if (r == -EINVAL && !reason.text[0])
                return refuse_value(row, text, failure);
        if (r < 0)
                return failure_set(failure, r, "%s", reason.text[0] ? reason.text : strerror(-r));
        return 0;
}

int options_set_key(struct options *options, const struct option_row *row, const char *key, const char *text,
                    struct failure *failure)
{
        if (row->type == &option_type_groups)
                return groups_set(option_member(options, row), key, text, failure);
        if (text[0] == '\0' && !(row->flags & OPTION_MAY_BE_EMPTY))
                return refuse_value(row, text, failure);
        return set_value(options, row, row->type->set, text, failure);
}

int options_set_argument(struct options *options, const struct option_row *row, const char *argument,
                         struct failure *failure)
{
        int r = 0;

        if (!row->word)
                argument = "yes";
        if (argument[0] == '\0')
                return failure_set(failure, -EINVAL, "an empty %s", row->word);
        r = set_value(options, row, row->type->add ? row->type->add : row->type->set, argument, failure);
        if (r == 0)
                options->given |= UINT64_C(1) << (row - options_table);
        return r;
}

bool options_is_given(const struct options *options, const struct option_row *row)
{
        return options->given >> (row - options_table) & 1;
}

int options_print(const struct options *options, const struct option_row *row, size_t i, char **ret)
{
        const void *member = (const char *)options + row->offset;
        CLEANUP_FREE char *text = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&text, &length);
        int r = 0;

        if (!out)
                return -ENOMEM;
        if (row->off && memcmp(member, row->type->off, row->type->size) == 0)
                r = i == 0 && fprintf(out, "%.*s", (int)strcspn(row->off, "|"), row->off) > 0;
        else if (row->type->print)
                r = row->type->print(row, member, i, out);
        if (fclose(out) != 0)
                return -ENOMEM;
        if (r > 0)
                *ret = TAKE_PTR(text);
        return r;
}

const char *options_command_default(const struct option_row *row)
{
        if (row->flags & OPTION_SERVICE_DEFAULT)
                return row->off ? row->off : "";
        return row->default_text;
}

static void write_values(const struct options *options, const struct option_row *row, struct strv *strv)
{
        for (size_t i = 0;; i++) {
                CLEANUP_FREE char *text = NULL;
                int r = options_print(options, row, i, &text);

                if (r < 0)
                        strv->error = r;
                if (r <= 0)
                        return;
                if (row->word)
                        strv_add(strv, "--%s=%s", row->name, text);
                else if (strcmp(text, "yes") == 0)
                        strv_add(strv, "--%s", row->name);
        }
}

void options_write(const struct options *options, unsigned int commands, struct strv *strv)
{
        for (const struct option_row *row = options_table; row->type; row++)
                if (row->commands & commands)
                        write_values(options, row, strv);
}

static int set_default_value(struct options *options, const struct option_row *row, bool of_service)
{
        const char *text = of_service ? row->default_text : options_command_default(row);
        int r = text[0] ? options_set_key(options, row, NULL, text, NULL) : 0;

        /* The defaults are ours. */
        assert(r == 0 || r == -ENOMEM);
        return r;
}

int options_new(bool of_service, struct options **ret)
{
        struct options *options = calloc(1, sizeof(*options));

        if (!options)
                return -ENOMEM;
        for (const struct option_row *row = options_table; row->type; row++) {
                int r = set_default_value(options, row, of_service);

                if (r < 0) {
                        options_free(options);
                        return r;
                }
        }
        *ret = options;
        return 0;
}

struct options *options_free(struct options *options)
{
        for (const struct option_row *row = options_table; options && row->type; row++)
                if (row->type->free)
                        row->type->free(option_member(options, row));
        free(options);
        return NULL;
}

const struct option_row *options_find_key(const char *section, const char *key)
{
        for (const struct option_row *row = options_table; row->type; row++)
                if (row->section && (!section || strcmp(row->section, section) == 0) &&
                    (row->key ? strcmp(row->key, key) == 0 : section != NULL))
                        return row;
        return NULL;
}

bool options_is_section(const char *name)
{
        for (const struct option_row *row = options_table; row->type; row++)
                if (row->section && strcmp(row->section, name) == 0)
                        return true;
        return false;
}

const char *options_closest(const char *word,
                            const char *(*name_of)(const struct option_row *row, const void *context),
                            const void *context)
{
        const char *closest = NULL;
        size_t least = SIZE_MAX;

        for (const struct option_row *row = options_table; row->type; row++) {
                const char *name = name_of(row, context);
                const size_t distance = name ? spelling_distance(name, word) : SIZE_MAX;

                if (distance >= least || !spelling_is_close(distance, name))
                        continue;
                least = distance;
                closest = name;
        }
        return closest;
}

bool options_take_guest(const struct options *options, const char *guest_name)
{
        return patterns_match(&options->guests.include, guest_name) &&
               !patterns_match(&options->guests.exclude, guest_name);
}

bool options_are_quiet(const struct options *options, time_t now)
{
        struct tm local = {0};

        return localtime_r(&now, &local) && quiet_hours_contain(&options->quiet_hours, &local);
}
