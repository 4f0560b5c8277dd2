/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/guest_list.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/pidfd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>

struct entry {
        struct roster *roster;
        char *name;
        pid_t pid;
        int pidfd; /* -1 when it cannot be watched: then the next scan shows its end */
        sd_event_source *end;
        uint64_t paused_usec; /* 0: never by us */
        bool is_named;        /* in the current report */
};

struct roster {
        sd_event *event;
        void (*gone)(void *context, const char *name);
        void *context;
        struct entry **entries;
        const char **names;
        size_t n;
};

static void stop_watching(struct entry *entry)
{
        entry->end = sd_event_source_disable_unref(entry->end);
        close_fd(&entry->pidfd);
}

static struct entry *free_entry(struct entry *entry)
{
        stop_watching(entry);
        free(entry->name);
        free(entry);
        return NULL;
}

static void strike_off(struct roster *roster, size_t index)
{
        free_entry(roster->entries[index]);
        roster->entries[index] = roster->entries[--roster->n];
}

static int on_end(sd_event_source *source, int fd, uint32_t revents, void *context)
{
        struct entry *entry = context;
        struct roster *roster = entry->roster;
        CLEANUP_FREE char *name = entry->name;

        (void)source;
        (void)fd;
        (void)revents;
        entry->name = NULL;
        for (size_t i = 0; i < roster->n; i++)
                if (roster->entries[i] == entry) {
                        strike_off(roster, i);
                        break;
                }
        roster->gone(roster->context, name ? name : "");
        return 0;
}

static void watch_process(struct entry *entry, pid_t pid)
{
        if (entry->pid == pid && entry->pidfd >= 0)
                return;
        stop_watching(entry);
        entry->pid = pid;
        entry->pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;
        if (entry->pidfd >= 0 &&
            sd_event_add_io(entry->roster->event, &entry->end, entry->pidfd, EPOLLIN, on_end, entry) < 0)
                close_fd(&entry->pidfd);
}

static struct entry *find_entry(const struct roster *roster, const char *name)
{
        for (size_t i = 0; i < roster->n; i++)
                if (strcmp(roster->entries[i]->name, name) == 0)
                        return roster->entries[i];
        return NULL;
}

static struct entry *add_entry(struct roster *roster, const char *name)
{
        struct entry **larger = reallocarray(roster->entries, roster->n + 1, sizeof(struct entry *));
        struct entry *entry = NULL;

        if (!larger)
                return NULL;
        roster->entries = larger;
        entry = calloc(1, sizeof(*entry));
        if (!entry)
                return NULL;
        *entry = (struct entry){.roster = roster, .name = strdup(name), .pidfd = -1};
        if (!entry->name)
                return free_entry(entry);
        roster->entries[roster->n++] = entry;
        return entry;
}

/* The latest time at which a report's guests were paused: before the wait for the second look. */
static uint64_t paused_usec(const struct report *report)
{
        const uint64_t now = clock_now_usec();
        const double since = report->recheck_seconds * USEC_PER_SEC;

        return since < (double)now ? now - (uint64_t)since : 1;
}

static int note_guest(struct roster *roster, const struct report *report, const struct report_guest *guest)
{
        struct entry *entry = find_entry(roster, guest->name);

        if (!entry)
                entry = add_entry(roster, guest->name);
        if (!entry)
                return -ENOMEM;
        entry->is_named = true;
        if (guest->pauses > 0)
                entry->paused_usec = paused_usec(report);
        watch_process(entry, guest->pid);
        return 0;
}

int roster_note(struct roster *roster, const struct report *report, bool all)
{
        int r = 0;

        for (size_t i = 0; i < roster->n; i++)
                roster->entries[i]->is_named = false;
        /* A guest that could not even be reached is not a known guest. */
        for (size_t i = 0; i < report->n_guests && r == 0; i++)
                if (report->guests[i].pid > 0)
                        r = note_guest(roster, report, &report->guests[i]);
        /* A guest that could not be reached this time, by a name or at all, may be back at the next scan. */
        for (size_t i = roster->n; all && r == 0 && i-- > 0;)
                if (!roster->entries[i]->is_named && !pidfd_is_alive(roster->entries[i]->pidfd))
                        strike_off(roster, i);
        return r;
}

void roster_note_pause(struct roster *roster, const struct patterns *names)
{
        for (size_t i = 0; i < roster->n; i++) {
                bool is_meant = names->n == 0;

                for (size_t n = 0; n < names->n && !is_meant; n++)
                        is_meant = strcmp(names->words[n], roster->entries[i]->name) == 0;
                if (is_meant)
                        roster->entries[i]->paused_usec = clock_now_usec();
        }
}

int roster_paused_since(const struct roster *roster, uint64_t gap_usec, struct patterns *ret)
{
        const uint64_t now = clock_now_usec();

        for (size_t i = 0; i < roster->n; i++) {
                const struct entry *entry = roster->entries[i];
                int r = 0;

                if (entry->paused_usec == 0 || now - entry->paused_usec >= gap_usec)
                        continue;
                r = patterns_add(ret, entry->name, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

const char *const *roster_names(struct roster *roster)
{
        const char **larger = reallocarray(roster->names, roster->n + 1, sizeof(char *));

        if (!larger)
                return NULL;
        roster->names = larger;
        for (size_t i = 0; i < roster->n; i++)
                roster->names[i] = roster->entries[i]->name;
        return roster->names;
}

size_t roster_n(const struct roster *roster)
{
        return roster->n;
}

int roster_new(sd_event *event, void (*gone)(void *context, const char *name), void *context,
               struct roster **ret)
{
        struct roster *roster = calloc(1, sizeof(*roster));

        if (!roster)
                return -ENOMEM;
        *roster = (struct roster){.event = sd_event_ref(event), .gone = gone, .context = context};
        *ret = roster;
        return 0;
}

struct roster *roster_free(struct roster *roster)
{
        if (!roster)
                return NULL;
        while (roster->n > 0)
                strike_off(roster, 0);
        sd_event_unref(roster->event);
        free(roster->entries);
        free(roster->names);
        free(roster);
        return NULL;
}
