/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/config.h"

#include "base/cleanup.h"
#include "base/clock.h"

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

/* The offset of a member, which must be of the type that the row's parser writes. */
#define MEMBER(member_type, name)                                                                          \
        (offsetof(struct config, name) +                                                                   \
         0 * sizeof(char[__builtin_types_compatible_p(member_type, __typeof__(((struct config *)0)->name)) \
                                 ? 1                                                                       \
                                 : -1]))
#define ADDRESS(name)     &config_types_address, MEMBER(struct address, name)
#define BOOL(name)        &config_types_bool, MEMBER(bool, name)
#define CPUS(name)        &config_types_cpus, MEMBER(struct config_cpus, name)
#define DURATION(name)    &config_types_duration, MEMBER(uint64_t, name)
#define GLOBS(name)       &config_types_globs, MEMBER(struct patterns, name)
#define GROUPS(name)      &config_types_groups, MEMBER(struct groups, name)
#define MODE(name)        &config_types_mode, MEMBER(enum scan_mode, name)
#define POLICY(name)      &config_types_policy, MEMBER(enum merging_policy, name)
#define SWITCH(name)      &config_types_switch, MEMBER(enum merging_switch, name)
#define NUMBER(name)      &config_types_number, MEMBER(unsigned int, name)
#define PATH(name)        &config_types_path, MEMBER(char *, name)
#define PATTERNS(name)    &config_types_patterns, MEMBER(struct patterns, name)
#define QUIET_HOURS(name) &config_types_quiet_hours, MEMBER(struct quiet_hours, name)
#define SOCKET(name)      &config_types_socket, MEMBER(char *, name)
#define STRING(name)      &config_types_string, MEMBER(char *, name)

/* section, key, type and member, default, word for "not at all", least, most, may be empty, help */
/* clang-format off */
const struct config_option config_options[] = {
        {"guests", "libvirt_uri", STRING(libvirt_uri), "auto", "none", 0, 0, false,
         "where libvirt is asked for guests: a URI, or auto for this host's own if there is one"},
        {"guests", "libvirt_monitor", BOOL(libvirt_monitor), "no", NULL, 0, 0, false,
         "ask QEMU through libvirt's monitor passthrough, which taints the domain"},
        {"guests", "qmp_sockets", GLOBS(qmp_sockets), "", NULL, 0, 0, true,
         "QMP sockets of guests that libvirt does not know"},
        {"guests", "include", PATTERNS(include), "*", NULL, 0, 0, false,
         "names of the guests to scan"},
        {"guests", "exclude", PATTERNS(exclude), "", NULL, 0, 0, true,
         "names of guests that are left alone, also where include has them"},

        {"groups", NULL, GROUPS(groups), "", NULL, 0, 0, true,
         "the guests of the trust group NAME; the first group that fits counts"},

        {"schedule", "interval", DURATION(interval_usec), "1h", "never", SEC, 365 * DAY, false,
         "time between two scans"},
        {"schedule", "jitter", DURATION(jitter_usec), "5min", NULL, 0, 7 * DAY, false,
         "random delay of each scan, at most as long as the interval"},
        {"schedule", "min_gap", DURATION(min_gap_usec), "1min", NULL, 0, 7 * DAY, false,
         "shortest time between two pauses of a guest"},
        {"schedule", "quiet_hours", QUIET_HOURS(quiet_hours), "", NULL, 0, 0, true,
         "local times at which no scan is started by schedule"},
        {"schedule", "on_suspend", BOOL(on_suspend), "no", NULL, 0, 0, false,
         "scan a guest that the operator suspends, and leave it suspended"},

        {"scan", "mode", MODE(mode), "snapshot", NULL, 0, 0, false,
         "how guests are read"},
        {"scan", "max_pause", DURATION(max_pause_usec), "500ms", NULL, MSEC, MAX_PAUSE_MOST, false,
         "longest pause of a guest"},
        {"scan", "together", BOOL(together), "no", NULL, 0, 0, false,
         "pause all guests at one instant"},
        {"scan", "recheck", DURATION(recheck_usec), "0", NULL, 0, HOUR, false,
         "look again at what KSM has not merged, so much later; 0: not"},
        {"scan", "careful", BOOL(careful), "no", NULL, 0, 0, false,
         "read shared RAM by pread(2) and private RAM by /proc/PID/mem only: slower"},
        {"scan", "cpus", CPUS(cpus), "", NULL, 0, 0, true,
         "CPUs to work on; none given: all"},
        {"scan", "threads", NUMBER(threads), "0", NULL, 0, THREADS_MOST, false,
         "worker threads; 0: one per CPU"},
        {"scan", "timeout", DURATION(timeout_usec), "5s", NULL, SEC, 5 * MIN, false,
         "how long QEMU may take to answer"},

        {"merge", "policy", POLICY(merge_policy), "observe", NULL, 0, 0, false,
         "what is done about merging: nothing, reports, reports with a forecast, or what the forecast says"},
        {"merge", "cross_group", BOOL(merging.cross_group), "no", NULL, 0, 0, false,
         "let guests of different trust groups share memory, which lets them spy on each other"},
        {"merge", "group", STRING(merging.group), "largest", "largest", 0, 0, false,
         "the trust group whose guests are merged; largest: the one that gains most"},
        {"merge", "cpu", NUMBER(merging.cpu_percent), "100", NULL, 1, 100, false,
         "how much of a core KSM may take while there is something to gain, in percent"},
        {"merge", "use_zero_pages", SWITCH(merging.use_zero_pages), "keep", NULL, 0, 0, false,
         "set KSM's use_zero_pages"},
        {"merge", "smart_scan", SWITCH(merging.smart_scan), "keep", NULL, 0, 0, false,
         "set KSM's smart_scan"},

        {"history", "file", PATH(history_file), "/var/lib/samepage/history.db", "none", 0, 0, false,
         "database that keeps the reports"},
        {"history", "retention", DURATION(retention_usec), "90d", "forever|0", MIN, LONGEST, false,
         "how long a report is kept"},

        {"metrics", "address", ADDRESS(metrics_address), "127.0.0.1:9747", "none", 0, 0, false,
         "where Prometheus finds the metrics"},

        {"control", "socket", SOCKET(control_socket), "/run/samepage/control.sock", "none", 0, 0, false,
         "socket for the command samepage"},
        {"control", "group", STRING(control_group), "samepage", NULL, 0, 0, false,
         "group whose members may use the socket"},

        {"paths", "runtime_dir", PATH(runtime_dir), "/run/samepage", NULL, 0, 0, false,
         "where leases are kept"},
        {"paths", "ksm_dir", PATH(ksm_dir), "/sys/kernel/mm/ksm", NULL, 0, 0, false,
         "the kernel's KSM folder"},
        {0},
};
/* clang-format on */

static void *member_of(struct config *config, const struct config_option *option)
{
        return (char *)config + option->offset;
}

/* Whether @text is one of the option's words for "not at all". */
static bool is_off(const struct config_option *option, const char *text)
{
        const size_t length = strlen(text);
        const char *word = option->off;

        while (word) {
                const size_t word_length = strcspn(word, "|");

                if (word_length == length && strncmp(word, text, length) == 0)
                        return true;
                word = word[word_length] == '|' ? word + word_length + 1 : NULL;
        }
        return false;
}

/* Says what is allowed. */
static int refuse(const struct config_option *option, const char *text, struct failure *failure)
{
        char range[CONFIG_TYPES_RANGE_BYTES] = "";

        if (option->type->range)
                option->type->range(option, range);
        return failure_set(failure, -EINVAL, "\"%s\" is not allowed; it takes %s%s%s%s%s", text,
                           option->type->description, range[0] ? " from " : "", range,
                           option->off ? ", or " : "", option->off ? option->off : "");
}

int config_set(struct config *config, const struct config_option *option, const char *key, const char *text,
               struct failure *failure)
{
        struct failure reason = {0};
        int r = 0;

        if (!option->key)
                return groups_set(member_of(config, option), key, text, failure);
        if (is_off(option, text)) {
                option->type->off(member_of(config, option));
                return 0;
        }
        if (text[0] == '\0' && !option->may_be_empty)
                return refuse(option, text, failure);
        r = option->type->set(option, text, member_of(config, option), &reason);
        if (r == -EINVAL && !reason.text[0])
                return refuse(option, text, failure);
        if (r < 0)
                return failure_set(failure, r, "%s", reason.text[0] ? reason.text : strerror(-r));
        return 0;
}

int config_new(struct config **ret)
{
        struct config *config = calloc(1, sizeof(*config));

        if (!config)
                return -ENOMEM;
        for (const struct config_option *option = config_options; option->section; option++) {
                int r = option->key ? config_set(config, option, NULL, option->default_text, NULL) : 0;

                /* The defaults are ours. */
                assert(r == 0 || r == -ENOMEM);
                if (r < 0) {
                        config_free(config);
                        return r;
                }
        }
        *ret = config;
        return 0;
}

struct config *config_free(struct config *config)
{
        if (!config)
                return NULL;
        for (const struct config_option *option = config_options; option->section; option++)
                if (option->type->free)
                        option->type->free(member_of(config, option));
        free(config);
        return NULL;
}

const struct config_option *config_find_option(const char *section, const char *key)
{
        for (const struct config_option *option = config_options; option->section; option++)
                if (strcmp(option->section, section) == 0 && (!option->key || strcmp(option->key, key) == 0))
                        return option;
        return NULL;
}

bool config_is_section(const char *name)
{
        for (const struct config_option *option = config_options; option->section; option++)
                if (strcmp(option->section, name) == 0)
                        return true;
        return false;
}

const char *config_group_of(const struct config *config, const char *guest_name)
{
        return groups_find(&config->groups, guest_name);
}

bool config_takes_guest(const struct config *config, const char *guest_name)
{
        return patterns_match(&config->include, guest_name) && !patterns_match(&config->exclude, guest_name);
}

bool config_is_quiet(const struct config *config, time_t now)
{
        struct tm local = {0};

        return localtime_r(&now, &local) && quiet_hours_contain(&config->quiet_hours, &local);
}
