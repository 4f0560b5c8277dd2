/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/settings.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "conf/moment.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MAX_PAUSE_MSEC 500
#define DEFAULT_TIMEOUT_SEC    5
#define DEFAULT_RUNTIME_DIR    "/run/samepage"
#define DEFAULT_KSM_DIR        "/sys/kernel/mm/ksm"
#define DEFAULT_CONTROL_SOCKET "/run/samepage/control.sock"
#define DEFAULT_INTERVAL_SEC   2

/* A guest that stands still for longer than this has lost its clients anyway. */
#define MAX_PAUSE_MSEC_LIMIT 60000
#define TIMEOUT_SEC_LIMIT    3600
#define THREADS_LIMIT        1024
#define RECHECK_SEC_LIMIT    3600
#define INTERVAL_SEC_LIMIT   86400
#define LIMIT_LIMIT          1000

const char *scan_mode_to_string(enum scan_mode mode)
{
        static const char *const names[] = {
                [SCAN_MODE_SNAPSHOT] = "snapshot",
                [SCAN_MODE_SLICED] = "sliced",
                [SCAN_MODE_LIVE] = "live",
        };

        static_assert(sizeof(names) / sizeof(names[0]) == SCAN_MODE_MAX_, "every mode has a name");
        return names[mode];
}

static int append_word(struct settings_list *list, const char *word, struct failure *failure)
{
        char **larger = NULL;

        if (list->n == SETTINGS_MAX_GUESTS)
                return failure_set(failure, -E2BIG, "more than %d guests at once", SETTINGS_MAX_GUESTS);
        larger = reallocarray(list->words, list->n + 1, sizeof(*larger));
        if (!larger)
                return failure_set(failure, -ENOMEM, "out of memory");
        list->words = larger;
        list->words[list->n] = strdup(word);
        if (!list->words[list->n])
                return failure_set(failure, -ENOMEM, "out of memory");
        list->n++;
        return 0;
}

static int set_string(char **string, const char *value, struct failure *failure)
{
        char *copy = NULL;

        if (*value == '\0')
                return failure_set(failure, -EINVAL, "an empty path");
        copy = strdup(value);
        if (!copy)
                return failure_set(failure, -ENOMEM, "out of memory");
        free(*string);
        *string = copy;
        return 0;
}

static int parse_number(const char *text, unsigned long least, unsigned long most, unsigned long *ret,
                        struct failure *failure)
{
        char *end = NULL;
        unsigned long value = 0;

        errno = 0;
        value = strtoul(text, &end, 10);
        if (errno || end == text || *end || strchr(text, '-') || value < least || value > most)
                return failure_set(failure, -EINVAL, "\"%s\" is not a whole number from %lu to %lu", text,
                                   least, most);
        *ret = value;
        return 0;
}

static int set_qmp(struct settings *settings, const char *argument, struct failure *failure)
{
        if (*argument == '\0')
                return failure_set(failure, -EINVAL, "an empty path");
        return append_word(&settings->qmp_sockets, argument, failure);
}

static int set_libvirt(struct settings *settings, const char *argument, struct failure *failure)
{
        if (*argument == '\0')
                return failure_set(failure, -EINVAL, "an empty URI; the host's own is qemu:///system");
        if (strlen(argument) > SETTINGS_MAX_URI_BYTES)
                return failure_set(failure, -EINVAL, "a URI longer than %d bytes", SETTINGS_MAX_URI_BYTES);
        return set_string(&settings->libvirt_uri, argument, failure);
}

static int set_libvirt_monitor(struct settings *settings, const char *argument, struct failure *failure)
{
        (void)argument;
        (void)failure;
        settings->libvirt_monitor = true;
        return 0;
}

static int set_guest(struct settings *settings, const char *argument, struct failure *failure)
{
        for (size_t i = 0; i < settings->guests.n; i++)
                if (strcmp(settings->guests.words[i], argument) == 0)
                        return failure_set(failure, -EINVAL, "guest \"%s\" is named twice", argument);
        return append_word(&settings->guests, argument, failure);
}

static int set_include(struct settings *settings, const char *argument, struct failure *failure)
{
        return patterns_add(&settings->include, argument, failure);
}

static int set_exclude(struct settings *settings, const char *argument, struct failure *failure)
{
        return patterns_add(&settings->exclude, argument, failure);
}

static int set_mode(struct settings *settings, const char *argument, struct failure *failure)
{
        for (enum scan_mode mode = 0; mode < SCAN_MODE_MAX_; mode++) {
                if (strcmp(argument, scan_mode_to_string(mode)) != 0)
                        continue;
                settings->mode = mode;
                settings->mode_chosen = true;
                return 0;
        }
        return failure_set(failure, -EINVAL, "\"%s\" is no mode: snapshot, sliced or live", argument);
}

static int set_max_pause(struct settings *settings, const char *argument, struct failure *failure)
{
        unsigned long msec = 0;
        int r = 0;

        if (strcmp(argument, "0") == 0)
                return failure_set(failure, -EINVAL,
                                   "a pause of 0 ms reads nothing; to scan without pausing use --mode live");
        r = parse_number(argument, 1, MAX_PAUSE_MSEC_LIMIT, &msec, failure);
        if (r < 0)
                return r;
        settings->max_pause_usec = msec * USEC_PER_MSEC;
        settings->max_pause_chosen = true;
        return 0;
}

static int set_timeout(struct settings *settings, const char *argument, struct failure *failure)
{
        unsigned long seconds = 0;
        int r = parse_number(argument, 1, TIMEOUT_SEC_LIMIT, &seconds, failure);

        if (r < 0)
                return r;
        settings->timeout_usec = seconds * USEC_PER_SEC;
        return 0;
}

static int set_threads(struct settings *settings, const char *argument, struct failure *failure)
{
        unsigned long threads = 0;
        int r = parse_number(argument, 1, THREADS_LIMIT, &threads, failure);

        if (r < 0)
                return r;
        settings->threads = (unsigned int)threads;
        return 0;
}

static int set_cpus(struct settings *settings, const char *argument, struct failure *failure)
{
        int r = cpu_list_parse(argument, CPU_LIST_NODE_DIR, &settings->cpus, failure);

        settings->cpus_chosen = r == 0;
        return r;
}

static int set_careful(struct settings *settings, const char *argument, struct failure *failure)
{
        (void)argument;
        (void)failure;
        settings->careful = true;
        return 0;
}

static int set_together(struct settings *settings, const char *argument, struct failure *failure)
{
        (void)argument;
        (void)failure;
        settings->together = true;
        return 0;
}

static int set_recheck(struct settings *settings, const char *argument, struct failure *failure)
{
        unsigned long seconds = 0;
        int r = parse_number(argument, 0, RECHECK_SEC_LIMIT, &seconds, failure);

        if (r < 0)
                return r;
        settings->recheck_usec = seconds * USEC_PER_SEC;
        settings->recheck_chosen = true;
        return 0;
}

static int set_json(struct settings *settings, const char *argument, struct failure *failure)
{
        (void)argument;
        (void)failure;
        settings->json = true;
        return 0;
}

static int set_events(struct settings *settings, const char *argument, struct failure *failure)
{
        (void)argument;
        (void)failure;
        settings->events = true;
        return 0;
}

/* The service is the parent of what it starts, so that nobody else can be named. */
static int set_for_service(struct settings *settings, const char *argument, struct failure *failure)
{
        unsigned long pid = 0;
        int r = parse_number(argument, 1, INT32_MAX, &pid, failure);

        if (r < 0)
                return r;
        if ((pid_t)pid != getppid())
                return failure_set(failure, -EINVAL, "process %lu did not start this one", pid);
        settings->service_pid = (pid_t)pid;
        return 0;
}

static int set_stale(struct settings *settings, const char *argument, struct failure *failure)
{
        (void)argument;
        (void)failure;
        settings->stale = true;
        return 0;
}

static int set_forecast(struct settings *settings, const char *argument, struct failure *failure)
{
        (void)argument;
        (void)failure;
        settings->forecast = true;
        return 0;
}

static int set_dry_run(struct settings *settings, const char *argument, struct failure *failure)
{
        (void)argument;
        (void)failure;
        settings->dry_run = true;
        return 0;
}

static int set_undo(struct settings *settings, const char *argument, struct failure *failure)
{
        (void)argument;
        (void)failure;
        settings->undo = true;
        return 0;
}

/* NAME=PATTERNS */
static int set_group(struct settings *settings, const char *argument, struct failure *failure)
{
        const char *equals = strchr(argument, '=');
        CLEANUP_FREE char *name = equals ? strndup(argument, (size_t)(equals - argument)) : NULL;

        if (!equals)
                return failure_set(failure, -EINVAL, "\"%s\" is no NAME=PATTERNS, like 'acme=web* db1'",
                                   argument);
        return name ? groups_set(&settings->groups, name, equals + 1, failure)
                    : failure_set(failure, -ENOMEM, "out of memory");
}

static int set_cross_group(struct settings *settings, const char *argument, struct failure *failure)
{
        (void)argument;
        (void)failure;
        settings->merging.cross_group = true;
        return 0;
}

static int set_only_group(struct settings *settings, const char *argument, struct failure *failure)
{
        return set_string(&settings->merging.group, argument, failure);
}

static int set_ksm_cpu(struct settings *settings, const char *argument, struct failure *failure)
{
        unsigned long percent = 0;
        int r = parse_number(argument, 1, 100, &percent, failure);

        settings->merging.cpu_percent = r < 0 ? settings->merging.cpu_percent : (unsigned int)percent;
        return r;
}

static int parse_switch(const char *argument, enum merging_switch *ret, struct failure *failure)
{
        for (enum merging_switch value = 0; value < MERGING_SWITCH_MAX_; value++) {
                if (strcmp(argument, merging_switch_to_string(value)) != 0)
                        continue;
                *ret = value;
                return 0;
        }
        return failure_set(failure, -EINVAL, "\"%s\" is none of keep, no and yes", argument);
}

static int set_use_zero_pages(struct settings *settings, const char *argument, struct failure *failure)
{
        return parse_switch(argument, &settings->merging.use_zero_pages, failure);
}

static int set_smart_scan(struct settings *settings, const char *argument, struct failure *failure)
{
        return parse_switch(argument, &settings->merging.smart_scan, failure);
}

static int set_apply(struct settings *settings, const char *argument, struct failure *failure)
{
        (void)argument;
        (void)failure;
        settings->apply = true;
        return 0;
}

static int set_runtime_dir(struct settings *settings, const char *argument, struct failure *failure)
{
        return set_string(&settings->runtime_dir, argument, failure);
}

static int set_ksm_dir(struct settings *settings, const char *argument, struct failure *failure)
{
        return set_string(&settings->ksm_dir, argument, failure);
}

static int set_control(struct settings *settings, const char *argument, struct failure *failure)
{
        return set_string(&settings->control_socket, argument, failure);
}

static int set_file(struct settings *settings, const char *argument, struct failure *failure)
{
        return set_string(&settings->history_file, argument, failure);
}

static int set_since(struct settings *settings, const char *argument, struct failure *failure)
{
        return moment_parse(argument, &settings->since, failure);
}

static int set_until(struct settings *settings, const char *argument, struct failure *failure)
{
        return moment_parse(argument, &settings->until, failure);
}

static int set_limit(struct settings *settings, const char *argument, struct failure *failure)
{
        unsigned long limit = 0;
        int r = parse_number(argument, 1, LIMIT_LIMIT, &limit, failure);

        settings->limit = r < 0 ? settings->limit : (unsigned int)limit;
        return r;
}

static int set_id(struct settings *settings, const char *argument, struct failure *failure)
{
        return set_string(&settings->scan_id, argument, failure);
}

static int set_interval(struct settings *settings, const char *argument, struct failure *failure)
{
        unsigned long seconds = 0;
        int r = parse_number(argument, 1, INTERVAL_SEC_LIMIT, &seconds, failure);

        settings->interval_usec = r < 0 ? settings->interval_usec : seconds * USEC_PER_SEC;
        return r;
}

#define FOR_SCANNING (SETTINGS_FOR_SCAN | SETTINGS_FOR_TUNE)
#define FOR_READING  (SETTINGS_FOR_GUESTS | FOR_SCANNING)
#define FOR_REACHING (FOR_READING | SETTINGS_FOR_RECLAIM)
#define FOR_PAUSING  (FOR_SCANNING | SETTINGS_FOR_RECLAIM)
#define FOR_ACTING   (FOR_REACHING | SETTINGS_FOR_RESUME)
#define FOR_KSM      (FOR_READING | SETTINGS_FOR_RESUME)
#define FOR_CHOOSING (FOR_READING | SETTINGS_FOR_HISTORY)
#define FOR_NAMING   (FOR_REACHING | SETTINGS_FOR_HISTORY)
#define FOR_ASKING   (FOR_CHOOSING | SETTINGS_FOR_WATCH)
#define FOR_PRINTING (FOR_ACTING | SETTINGS_FOR_HISTORY)

/* clang-format off */
const struct settings_option settings_options[] = {
        {"qmp", "SOCKET", FOR_REACHING,
         "a guest, by its QMP socket; may be given more than once", set_qmp},
        {"libvirt", "URI", FOR_REACHING,
         "all active domains of this libvirt, like qemu:///system", set_libvirt},
        {"libvirt-monitor", NULL, FOR_REACHING,
         "find the RAM of domains by asking their QEMU, which taints them", set_libvirt_monitor},
        {"guest", "NAME", FOR_NAMING,
         "only the guest of this name; guests, scan and reclaim take it more than once", set_guest},
        {"include", "PATTERN", FOR_REACHING,
         "only guests whose name matches, like 'web*'; may be given more than once", set_include},
        {"exclude", "PATTERN", FOR_REACHING,
         "no guest whose name matches; may be given more than once", set_exclude},
        {"mode", "MODE", FOR_SCANNING,
         "snapshot (default), sliced, or live", set_mode},
        {"max-pause", "MS", FOR_PAUSING,
         "longest pause of a guest in milliseconds (default 500)", set_max_pause},
        {"together", NULL, FOR_SCANNING,
         "pause all guests at one instant", set_together},
        {"recheck", "SECONDS", SETTINGS_FOR_SCAN,
         "look again at what KSM has not merged, so much later (default 0)", set_recheck},
        {"threads", "N", FOR_READING,
         "worker threads (default: one per CPU)", set_threads},
        {"cpus", "LIST", FOR_SCANNING,
         "CPUs to work on, like 0-3,8 or node1 (default: all)", set_cpus},
        {"careful", NULL, FOR_READING,
         "read shared RAM by pread(2) and private RAM by /proc/PID/mem only: slower", set_careful},
        {"forecast", NULL, SETTINGS_FOR_SCAN,
         "say what merging would save and cost", set_forecast},
        {"dry-run", NULL, SETTINGS_FOR_TUNE,
         "say what merging would save and cost, and change nothing", set_dry_run},
        {"undo", NULL, SETTINGS_FOR_TUNE,
         "put KSM's settings back to what was found", set_undo},
        {"group", "GROUP", FOR_SCANNING,
         "NAME=PATTERNS: the trust group of the guests whose names match", set_group},
        {"cross-group", NULL, FOR_SCANNING,
         "let guests of different trust groups share memory", set_cross_group},
        {"only-group", "NAME", FOR_SCANNING,
         "merge guests of this trust group, not of the one that gains most", set_only_group},
        {"ksm-cpu", "PERCENT", FOR_SCANNING,
         "how much of a core KSM may take while there is something to gain (default 100)", set_ksm_cpu},
        {"zero-pages", "VALUE", FOR_SCANNING,
         "keep, no or yes: set KSM's use_zero_pages (default keep)", set_use_zero_pages},
        {"smart-scan", "VALUE", FOR_SCANNING,
         "keep, no or yes: set KSM's smart_scan (default keep)", set_smart_scan},
        {"stale", NULL, SETTINGS_FOR_RESUME,
         "only what scans left paused that are dead; end no living scan", set_stale},
        {"apply", NULL, SETTINGS_FOR_RECLAIM,
         "give the memory back; otherwise it is only told how much there is", set_apply},
        {"json", NULL, FOR_PRINTING,
         "print JSON", set_json},
        {"events", NULL, FOR_PRINTING,
         "print JSON lines for a program that waits: progress, then the result", set_events},
        {"for-service", "PID", FOR_SCANNING, NULL, set_for_service},
        {"timeout", "SECONDS", FOR_REACHING,
         "how long QEMU may take to answer (default 5)", set_timeout},
        {"since", "WHEN", SETTINGS_FOR_HISTORY,
         "scans since then: 7d (ago), 2026-11-24, or '2026-11-24 17:00'", set_since},
        {"until", "WHEN", SETTINGS_FOR_HISTORY,
         "scans before then, likewise", set_until},
        {"limit", "N", SETTINGS_FOR_HISTORY,
         "list so many scans, the newest first (default 20)", set_limit},
        {"id", "ID", SETTINGS_FOR_HISTORY,
         "print the report of this scan", set_id},
        {"file", "FILE", SETTINGS_FOR_HISTORY,
         "read this history instead of asking the service", set_file},
        {"interval", "SECONDS", SETTINGS_FOR_WATCH,
         "time between two looks (default 2)", set_interval},
        {"control", "SOCKET", FOR_ASKING,
         "control socket of samepaged, or none (default " DEFAULT_CONTROL_SOCKET ")", set_control},
        {"runtime-dir", "DIR", FOR_ACTING,
         "where leases are kept (default " DEFAULT_RUNTIME_DIR ")", set_runtime_dir},
        {"ksm-dir", "DIR", FOR_KSM,
         "the kernel's KSM folder (default " DEFAULT_KSM_DIR ")", set_ksm_dir},
        {0},
};
/* clang-format on */

int settings_init(struct settings *settings)
{
        *settings = (struct settings){
                .max_pause_usec = DEFAULT_MAX_PAUSE_MSEC * USEC_PER_MSEC,
                .timeout_usec = DEFAULT_TIMEOUT_SEC * USEC_PER_SEC,
                .runtime_dir = strdup(DEFAULT_RUNTIME_DIR),
                .ksm_dir = strdup(DEFAULT_KSM_DIR),
                .control_socket = strdup(DEFAULT_CONTROL_SOCKET),
                .merging.cpu_percent = MERGING_DEFAULT_CPU_PERCENT,
                .interval_usec = DEFAULT_INTERVAL_SEC * USEC_PER_SEC,
        };
        return settings->runtime_dir && settings->ksm_dir && settings->control_socket ? 0 : -ENOMEM;
}

static void free_list(struct settings_list *list)
{
        for (size_t i = 0; i < list->n; i++)
                free(list->words[i]);
        free(list->words);
}

void settings_deinit(struct settings *settings)
{
        free_list(&settings->qmp_sockets);
        free_list(&settings->guests);
        patterns_deinit(&settings->include);
        patterns_deinit(&settings->exclude);
        free(settings->libvirt_uri);
        groups_deinit(&settings->groups);
        free(settings->merging.group);
        free(settings->runtime_dir);
        free(settings->ksm_dir);
        free(settings->control_socket);
        free(settings->history_file);
        free(settings->scan_id);
}
