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
        struct guest_list *guest_list;
        char *name;
        pid_t pid;
        int pidfd; /* -1 when it cannot be watched: then the next scan shows that it ended */
        sd_event_source *end;
        uint64_t paused_usec; /* 0: we never paused it */
        bool is_named;        /* in the current report */
};

struct guest_list {
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

static void strike_off(struct guest_list *guest_list, size_t index)
{
        free_entry(guest_list->entries[index]);
        guest_list->entries[index] = guest_list->entries[--guest_list->n];
}

static int on_process_end(sd_event_source *source, int fd, uint32_t revents, void *context)
{
        struct entry *entry = context;
        struct guest_list *guest_list = entry->guest_list;
        CLEANUP_FREE char *name = entry->name;

        (void)source;
        (void)fd;
        (void)revents;
        entry->name = NULL;
        for (size_t i = 0; i < guest_list->n; i++)
                if (guest_list->entries[i] == entry) {
                        strike_off(guest_list, i);
                        break;
                }
        guest_list->gone(guest_list->context, name ? name : "");
        return 0;
}

static void watch_process(struct entry *entry, pid_t pid)
{
        if (entry->pid == pid && entry->pidfd >= 0)
                return;
        stop_watching(entry);
        entry->pid = pid;
        entry->pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;
        if (entry->pidfd >= 0 && sd_event_add_io(entry->guest_list->event, &entry->end, entry->pidfd, EPOLLIN,
                                                 on_process_end, entry) < 0)
                close_fd(&entry->pidfd);
}

static struct entry *find_entry(const struct guest_list *guest_list, const char *name)
{
        for (size_t i = 0; i < guest_list->n; i++)
                if (strcmp(guest_list->entries[i]->name, name) == 0)
                        return guest_list->entries[i];
        return NULL;
}

static struct entry *add_entry(struct guest_list *guest_list, const char *name)
{
        struct entry **larger = reallocarray(guest_list->entries, guest_list->n + 1, sizeof(struct entry *));
        struct entry *entry = NULL;

        if (!larger)
                return NULL;
        guest_list->entries = larger;
        entry = calloc(1, sizeof(*entry));
        if (!entry)
                return NULL;
        *entry = (struct entry){.guest_list = guest_list, .name = strdup(name), .pidfd = -1};
        if (!entry->name)
                return free_entry(entry);
        guest_list->entries[guest_list->n++] = entry;
        return entry;
}

/* The latest time at which the guests of a report were paused: before the wait for the second look. */
static uint64_t paused_usec(const struct report *report)
{
        const uint64_t now = clock_now_usec();
        const double since = report->recheck_seconds * USEC_PER_SEC;

        return since < (double)now ? now - (uint64_t)since : 1;
}

static int note_guest(struct guest_list *guest_list, const struct report *report,
                      const struct report_guest *guest)
{
        struct entry *entry = find_entry(guest_list, guest->name);

        if (!entry)
                entry = add_entry(guest_list, guest->name);
        if (!entry)
                return -ENOMEM;
        entry->is_named = true;
        if (guest->pauses > 0)
                entry->paused_usec = paused_usec(report);
        watch_process(entry, guest->pid);
        return 0;
}

int guest_list_note(struct guest_list *guest_list, const struct report *report, bool all)
{
        int r = 0;

        for (size_t i = 0; i < guest_list->n; i++)
                guest_list->entries[i]->is_named = false;
        /* A guest that was never reached is not a known guest. */
        for (size_t i = 0; i < report->n_guests && r == 0; i++)
                if (report->guests[i].pid > 0)
                        r = note_guest(guest_list, report, &report->guests[i]);
        /* A known guest that this scan did not reach or name may be back at the next one. */
        for (size_t i = guest_list->n; all && r == 0 && i-- > 0;)
                if (!guest_list->entries[i]->is_named && !pidfd_is_alive(guest_list->entries[i]->pidfd))
                        strike_off(guest_list, i);
        return r;
}

void guest_list_note_pause(struct guest_list *guest_list, const struct patterns *names)
{
        for (size_t i = 0; i < guest_list->n; i++) {
                bool is_meant = names->n == 0;

                for (size_t n = 0; n < names->n && !is_meant; n++)
                        is_meant = strcmp(names->words[n], guest_list->entries[i]->name) == 0;
                if (is_meant)
                        guest_list->entries[i]->paused_usec = clock_now_usec();
        }
}

int guest_list_paused_since(const struct guest_list *guest_list, uint64_t gap_usec, struct patterns *ret)
{
        const uint64_t now = clock_now_usec();

        for (size_t i = 0; i < guest_list->n; i++) {
                const struct entry *entry = guest_list->entries[i];
                int r = 0;

                if (entry->paused_usec == 0 || now - entry->paused_usec >= gap_usec)
                        continue;
                r = patterns_add(ret, entry->name, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

const char *const *guest_list_names(struct guest_list *guest_list)
{
        const char **larger = reallocarray(guest_list->names, guest_list->n + 1, sizeof(char *));

        if (!larger)
                return NULL;
        guest_list->names = larger;
        for (size_t i = 0; i < guest_list->n; i++)
                guest_list->names[i] = guest_list->entries[i]->name;
        return guest_list->names;
}

size_t guest_list_n(const struct guest_list *guest_list)
{
        return guest_list->n;
}

int guest_list_new(sd_event *event, void (*gone)(void *context, const char *name), void *context,
                   struct guest_list **ret)
{
        struct guest_list *guest_list = calloc(1, sizeof(*guest_list));

        if (!guest_list)
                return -ENOMEM;
        *guest_list = (struct guest_list){.event = sd_event_ref(event), .gone = gone, .context = context};
        *ret = guest_list;
        return 0;
}

struct guest_list *guest_list_free(struct guest_list *guest_list)
{
        if (!guest_list)
                return NULL;
        while (guest_list->n > 0)
                strike_off(guest_list, 0);
        sd_event_unref(guest_list->event);
        free(guest_list->entries);
        free(guest_list->names);
        free(guest_list);
        return NULL;
}
