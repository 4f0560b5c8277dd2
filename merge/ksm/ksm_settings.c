/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The note "ksm-settings" in the runtime folder keeps three values of every setting that was ever changed:
 * the one that was found, the one that was written last, and the one that the setting had before that:
 *
 *      owner PID START_TICKS
 *      setting NAME FOUND WRITTEN BEFORE
 *
 * The note is written before the settings are. So after a crash at any moment a setting has either of the
 * last two values, and is put back to the first. If it has any other value, somebody else has changed it, and
 * it stays. After the settings have been written the note is written again, without the values before: from
 * then on such a value is somebody else's too. The runtime folder is in memory like the settings, and both
 * are gone after a boot.
 *
 * The kernel demands an order: pages_to_scan cannot be written while an advisor sets it, and an advisor that
 * is switched on sets it anew. So the advisor is written first when it is switched off, and last when it is
 * put back.
 */
#include "merge/ksm/ksm_settings.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fileio.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTE_NAME "ksm-settings"
#define LOCK_NAME "ksm-settings.lock"
/* Whoever holds the lock writes some small files. */
#define LOCK_USEC (UINT64_C(5) * USEC_PER_SEC)
/* No value of a setting is empty or holds blanks. */
#define NOTE_BYTES 4096

struct note_entry {
        char name[KSM_NAME_BYTES];
        char found[KSM_SETTINGS_VALUE_BYTES];
        char written[KSM_SETTINGS_VALUE_BYTES];
        char before[KSM_SETTINGS_VALUE_BYTES];
};

struct note {
        struct ksm_settings_owner owner;
        struct note_entry entries[KSM_SETTINGS_MAX];
        size_t n;
};

void ksm_settings_add_text(struct ksm_settings *settings, const char *name, const char *value)
{
        struct ksm_setting *setting = settings->settings;

        while (setting < settings->settings + settings->n && strcmp(setting->name, name) != 0)
                setting++;
        if (setting == settings->settings + KSM_SETTINGS_MAX)
                return;
        if (setting == settings->settings + settings->n)
                settings->n++;
        (void)snprintf(setting->name, sizeof(setting->name), "%s", name);
        (void)snprintf(setting->value, sizeof(setting->value), "%s", value);
}

void ksm_settings_add(struct ksm_settings *settings, const char *name, int64_t value)
{
        char text[KSM_SETTINGS_VALUE_BYTES] = "";

        (void)snprintf(text, sizeof(text), "%" PRId64, value);
        ksm_settings_add_text(settings, name, text);
}

/* The note */

static int open_folder(const char *path, struct failure *failure)
{
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? failure_errno(failure, -errno, "cannot use %s", path) : fd;
}

/*
 * Opens the folder of the note, and keeps others from changing settings until the lock is closed. The lock is
 * on a file of our own: everybody can open the folder, and a lock on that could stop us for ever.
 */
static int open_note_folder(const char *path, uint64_t wait_usec, int *ret_lock_fd)
{
        CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP_CLOSE int lock_fd = -1;
        int r = 0;

        if (fd < 0)
                return -errno;
        lock_fd = openat(fd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        r = lock_fd < 0 ? -errno : fileio_lock(lock_fd, wait_usec);
        if (r < 0)
                return r;
        *ret_lock_fd = TAKE_FD(lock_fd);
        return TAKE_FD(fd);
}

static bool has_note(const char *path)
{
        CLEANUP_CLOSE int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

        return fd >= 0 && faccessat(fd, NOTE_NAME, F_OK, 0) == 0;
}

static void parse_note_line(struct note *note, const char *line)
{
        struct note_entry entry = {0};

        if (sscanf(line, "owner %d %" SCNu64, &note->owner.pid, &note->owner.start_ticks) == 2)
                return;
        if (note->n < KSM_SETTINGS_MAX && sscanf(line, "setting %63s %31s %31s %31s", entry.name, entry.found,
                                                 entry.written, entry.before) == 4)
                note->entries[note->n++] = entry;
}

static int read_note(int runtime_fd, struct note *ret)
{
        CLEANUP_FREE char *text = NULL;
        int r = fileio_read_text(runtime_fd, NOTE_NAME, &text);

        *ret = (struct note){0};
        if (r < 0)
                return r;
        for (char *line = text, *next = NULL; line && *line; line = next) {
                next = strchr(line, '\n');
                if (next)
                        *next++ = '\0';
                parse_note_line(ret, line);
        }
        return 0;
}

static int write_note(int runtime_fd, const struct note *note, struct failure *failure)
{
        char text[NOTE_BYTES] = "";
        FILE *out = fmemopen(text, sizeof(text), "w");
        int r = 0;

        if (!out)
                return -errno;
        (void)fprintf(out, "owner %d %" PRIu64 "\n", note->owner.pid, note->owner.start_ticks);
        for (size_t i = 0; i < note->n; i++)
                (void)fprintf(out, "setting %s %s %s %s\n", note->entries[i].name, note->entries[i].found,
                              note->entries[i].written, note->entries[i].before);
        if (fclose(out) == 0)
                r = fileio_replace_text(runtime_fd, NOTE_NAME, text);
        else
                r = -errno;
        return r < 0 ? failure_errno(failure, r, "cannot note which KSM settings were found") : 0;
}

static struct note_entry *find_note_entry(struct note *note, const char *name)
{
        for (size_t i = 0; i < note->n; i++)
                if (strcmp(note->entries[i].name, name) == 0)
                        return &note->entries[i];
        return NULL;
}

/* The owner */

static bool is_same_owner(const struct ksm_settings_owner *a, const struct ksm_settings_owner *b)
{
        return a->pid == b->pid && a->start_ticks == b->start_ticks;
}

static int check_owner(const struct ksm_settings_owner *found, const struct ksm_settings_owner *owner,
                       struct failure *failure)
{
        const struct process process = {.pid = found->pid, .start_ticks = found->start_ticks};

        if (is_same_owner(found, owner))
                return 0;
        if (found->pid == 0)
                return failure_set(
                        failure, -EBUSY,
                        "KSM's settings were changed by \"samepage tune\": undo that first, by --undo");
        return process_is_alive(&process)
                       ? failure_set(failure, -EBUSY, "samepaged (pid %d) acts on KSM", found->pid)
                       : 0;
}

/* The settings */

/* Settings with a choice show all words and mark the chosen one: "[none] scan-time". */
static void choose_value(char *text)
{
        char *begin = strchr(text, '[');
        char *end = begin ? strchr(begin, ']') : NULL;

        if (!end)
                return;
        *end = '\0';
        (void)memmove(text, begin + 1, (size_t)(end - begin));
}

static int read_setting(int ksm_fd, const char *name, char value[KSM_SETTINGS_VALUE_BYTES])
{
        CLEANUP_FREE char *text = NULL;
        int r = fileio_read_text(ksm_fd, name, &text);

        if (r < 0)
                return r;
        text[strcspn(text, "\n")] = '\0';
        choose_value(text);
        if (text[0] == '\0' || strchr(text, ' ') || strlen(text) >= KSM_SETTINGS_VALUE_BYTES)
                return -EBADMSG;
        (void)snprintf(value, KSM_SETTINGS_VALUE_BYTES, "%s", text);
        return 0;
}

static int write_setting(int ksm_fd, const char *name, const char *value, struct failure *failure)
{
        CLEANUP_CLOSE int fd = openat(ksm_fd, name, O_WRONLY | O_CLOEXEC);
        char now[KSM_SETTINGS_VALUE_BYTES] = "";
        char line[KSM_SETTINGS_VALUE_BYTES + 1] = "";
        int r = 0;

        (void)snprintf(line, sizeof(line), "%s\n", value);
        if (fd < 0 || write(fd, line, strlen(line)) < 0)
                return failure_errno(failure, -errno, "cannot set KSM's %s to %s", name, value);
        r = read_setting(ksm_fd, name, now);
        if (r < 0)
                return failure_errno(failure, r, "cannot read KSM's %s back", name);
        return strcmp(now, value) == 0
                       ? 0
                       : failure_set(failure, -EIO, "KSM's %s was set to %s and reads %s", name, value, now);
}

/* The value before counts as ours as long as the writing may not have come to its end. */
static bool is_our_value(const struct note_entry *entry, const char *value)
{
        return strcmp(value, entry->written) == 0 || strcmp(value, entry->before) == 0;
}

static int check_entry(int ksm_fd, const struct note_entry *entry, struct failure *failure)
{
        char now[KSM_SETTINGS_VALUE_BYTES] = "";
        int r = read_setting(ksm_fd, entry->name, now);

        if (r < 0)
                return failure_errno(failure, r, "cannot read KSM's %s", entry->name);
        return is_our_value(entry, now)
                       ? 0
                       : failure_set(failure, -EBUSY,
                                     "somebody else set KSM's %s to %s, where samepage had written %s",
                                     entry->name, now, entry->written);
}

static int check_all_entries(int ksm_fd, const struct note *note, struct failure *failure)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < note->n; i++)
                r = check_entry(ksm_fd, &note->entries[i], failure);
        return r;
}

/* Notes what is about to be written. */
static int note_setting(int ksm_fd, struct note *note, const struct ksm_setting *setting,
                        struct failure *failure)
{
        struct note_entry *entry = find_note_entry(note, setting->name);
        char now[KSM_SETTINGS_VALUE_BYTES] = "";
        /* The name came from another process, so it must not leave the folder. */
        int r = strchr(setting->name, '/') ? -ENOENT : read_setting(ksm_fd, setting->name, now);

        if (r == -ENOENT)
                return failure_set(failure, -EOPNOTSUPP, "this kernel's KSM has no %s", setting->name);
        if (r < 0)
                return failure_errno(failure, r, "cannot read KSM's %s", setting->name);
        if (!entry && note->n == KSM_SETTINGS_MAX)
                return failure_set(failure, -E2BIG, "more than %d KSM settings", KSM_SETTINGS_MAX);
        if (!entry) {
                entry = &note->entries[note->n++];
                memcpy(entry->name, setting->name, sizeof(entry->name));
                memcpy(entry->found, now, sizeof(entry->found));
        }
        memcpy(entry->before, now, sizeof(entry->before));
        memcpy(entry->written, setting->value, sizeof(entry->written));
        return 0;
}

static int write_all_settings(int ksm_fd, const struct ksm_settings *settings, struct failure *failure)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < settings->n; i++) {
                const struct ksm_setting *setting = &settings->settings[i];
                char now[KSM_SETTINGS_VALUE_BYTES] = "";

                r = read_setting(ksm_fd, setting->name, now);
                if (r < 0)
                        return failure_errno(failure, r, "cannot read KSM's %s", setting->name);
                if (strcmp(now, setting->value) != 0)
                        r = write_setting(ksm_fd, setting->name, setting->value, failure);
        }
        return r;
}

int ksm_settings_write(const struct ksm_settings_place *place, const struct ksm_settings_owner *owner,
                       const struct ksm_settings *settings, struct failure *failure)
{
        CLEANUP_CLOSE int ksm_fd = open_folder(place->ksm_dir, failure);
        CLEANUP_CLOSE int runtime_fd = -1;
        CLEANUP_CLOSE int lock_fd = -1;
        struct note note = {0};
        int r = 0;

        if (ksm_fd < 0)
                return ksm_fd == -ENOENT ? failure_set(failure, -EOPNOTSUPP, "this kernel has no KSM")
                                         : ksm_fd;
        (void)mkdir(place->runtime_dir, 0755);
        runtime_fd = open_note_folder(place->runtime_dir, LOCK_USEC, &lock_fd);
        if (runtime_fd < 0)
                return failure_errno(failure, runtime_fd, "cannot lock %s", place->runtime_dir);
        r = read_note(runtime_fd, &note);
        if (r < 0 && r != -ENOENT)
                return failure_errno(failure, r, "cannot read which KSM settings were found");
        r = r < 0 ? 0 : check_owner(&note.owner, owner, failure);
        if (r == 0)
                r = check_all_entries(ksm_fd, &note, failure);
        for (size_t i = 0; r == 0 && i < settings->n; i++)
                r = note_setting(ksm_fd, &note, &settings->settings[i], failure);
        note.owner = *owner;
        if (r == 0)
                r = write_note(runtime_fd, &note, failure);
        if (r == 0)
                r = write_all_settings(ksm_fd, settings, failure);
        if (r < 0)
                return r;
        for (size_t i = 0; i < note.n; i++)
                memcpy(note.entries[i].before, note.entries[i].written, sizeof(note.entries[i].before));
        /* A failure does no harm: the present note says the same, and the values before as well. */
        (void)write_note(runtime_fd, &note, NULL);
        return 0;
}

int ksm_settings_check(const struct ksm_settings_place *place, struct failure *failure)
{
        CLEANUP_CLOSE int ksm_fd = -1;
        CLEANUP_CLOSE int runtime_fd = -1;
        CLEANUP_CLOSE int lock_fd = -1;
        struct note note = {0};

        if (!has_note(place->runtime_dir))
                return 0;
        ksm_fd = open_folder(place->ksm_dir, failure);
        if (ksm_fd < 0)
                return ksm_fd;
        /* While another samepage process writes, there is nothing to check. */
        runtime_fd = open_note_folder(place->runtime_dir, 0, &lock_fd);
        return runtime_fd < 0 || read_note(runtime_fd, &note) < 0 ? 0
                                                                  : check_all_entries(ksm_fd, &note, failure);
}

/* Puts one setting back; a value that somebody else wrote stays. */
static int restore_entry(int ksm_fd, const struct note_entry *entry, size_t *n, struct failure *failure)
{
        /*
         * A host that was found un-merging is left stopped: samepage must not begin to un-merge everybody's
         * pages.
         */
        const bool unmerges = strcmp(entry->name, "run") == 0 && strcmp(entry->found, "2") == 0;
        const char *value = unmerges ? "0" : entry->found;
        char now[KSM_SETTINGS_VALUE_BYTES] = "";
        int r = read_setting(ksm_fd, entry->name, now);

        if (r < 0)
                return failure_errno(failure, r, "cannot read KSM's %s", entry->name);
        if (!is_our_value(entry, now) || strcmp(now, value) == 0)
                return 0;
        r = write_setting(ksm_fd, entry->name, value, failure);
        *n += r == 0;
        return r;
}

static int restore_named(int ksm_fd, struct note *note, const char *name, size_t *n, struct failure *failure)
{
        const struct note_entry *entry = find_note_entry(note, name);

        return entry ? restore_entry(ksm_fd, entry, n, failure) : 0;
}

static int first_restore_error(int before, int r)
{
        return before < 0 ? before : r;
}

static int restore_all_entries(int ksm_fd, struct note *note, size_t *n, struct failure *failure)
{
        /* ksmd stops first and starts last; the advisor is off while the rate is set. */
        static const char *const last[] = {"advisor_mode", "run"};
        const struct note_entry *run = find_note_entry(note, "run");
        int r = run && strcmp(run->found, "1") != 0 ? restore_named(ksm_fd, note, "run", n, failure) : 0;

        /* If one setting cannot be put back, the others still are. */
        for (size_t i = 0; i < note->n; i++)
                if (strcmp(note->entries[i].name, last[0]) != 0 &&
                    strcmp(note->entries[i].name, last[1]) != 0)
                        r = first_restore_error(r, restore_entry(ksm_fd, &note->entries[i], n, failure));
        for (size_t i = 0; i < ARRAY_SIZE(last); i++)
                r = first_restore_error(r, restore_named(ksm_fd, note, last[i], n, failure));
        return r;
}

int ksm_settings_restore(const struct ksm_settings_place *place, size_t *ret_n, struct failure *failure)
{
        CLEANUP_CLOSE int runtime_fd = -1;
        CLEANUP_CLOSE int lock_fd = -1;
        CLEANUP_CLOSE int ksm_fd = -1;
        struct note note = {0};
        size_t n = 0;
        int r = 0;

        if (ret_n)
                *ret_n = 0;
        if (!has_note(place->runtime_dir))
                return 0;
        runtime_fd = open_note_folder(place->runtime_dir, LOCK_USEC, &lock_fd);
        r = runtime_fd < 0 ? runtime_fd : read_note(runtime_fd, &note);
        if (r == -ENOENT) /* somebody else was faster */
                return 0;
        if (r < 0)
                return failure_errno(failure, r, "cannot read which KSM settings were found");
        ksm_fd = open_folder(place->ksm_dir, failure);
        if (ksm_fd < 0)
                return ksm_fd;
        r = restore_all_entries(ksm_fd, &note, &n, failure);
        if (r < 0)
                return r;
        if (unlinkat(runtime_fd, NOTE_NAME, 0) < 0)
                return failure_errno(failure, -errno, "cannot remove the note of the KSM settings");
        if (ret_n)
                *ret_n = n;
        return 0;
}

int ksm_settings_owner_read(const struct ksm_settings_place *place, struct ksm_settings_owner *ret)
{
        CLEANUP_CLOSE int runtime_fd = open(place->runtime_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct note note = {0};
        int r = runtime_fd < 0 ? -errno : read_note(runtime_fd, &note);

        if (r == 0)
                *ret = note.owner;
        return r;
}

struct ksm_settings_owner ksm_settings_owner_of(pid_t pid)
{
        struct process process = {0};

        if (pid <= 0 || process_identify(pid, &process) < 0)
                return (struct ksm_settings_owner){0};
        return (struct ksm_settings_owner){(int)process.pid, process.start_ticks};
}

int ksm_settings_owner_check(const struct ksm_settings_place *place, const struct ksm_settings_owner *owner,
                             struct failure *failure)
{
        struct ksm_settings_owner found = {0};

        return ksm_settings_owner_read(place, &found) < 0 ? 0 : check_owner(&found, owner, failure);
}

bool ksm_settings_owner_is(const struct ksm_settings_place *place, const struct ksm_settings_owner *owner)
{
        struct ksm_settings_owner found = {0};

        return ksm_settings_owner_read(place, &found) == 0 && is_same_owner(&found, owner);
}
