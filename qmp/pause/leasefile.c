/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One small JSON file per paused guest, named after its QEMU ("PID-STARTTICKS.json"), written before the stop
 * and removed after the resume. It says whom to connect to and who must be dead before a stranger may resume
 * the guest. Processes are noted with their start time, as pids are used again.
 *
 * Files appear by rename, so that nobody reads half of one. Deciding and renaming (or removing) happens under
 * a lock on the folder, so that of two scans of one QEMU one is refused, and nobody removes the note that a
 * newer scan has just written. A guard must never wait for a stranger: the lock is tried for a bounded time.
 * Without it no new note is written (the guest is not paused), while a note of ours is removed all the same.
 */
#include "qmp/pause/leasefile.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fileio.h"
#include "base/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCHEMA     "samepage.lease.v1"
#define SUFFIX     ".json"
#define NAME_BYTES 64
#define LOCK_USEC  (20 * USEC_PER_MSEC)
#define JSON_DEPTH 4

void leasefile_deinit(struct leasefile *lease)
{
        free(lease->guest);
        free(lease->socket_path);
        *lease = (struct leasefile){0};
}

/* The folder */

static int make_folders(const char *path)
{
        CLEANUP_FREE char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (char *slash = copy; *slash; slash++) {
                if (*slash != '/' || slash == copy)
                        continue;
                *slash = '\0';
                if (mkdir(copy, 0755) < 0 && errno != EEXIST)
                        return -errno;
                *slash = '/';
        }
        return mkdir(copy, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int leasefile_open_folder(const char *runtime_dir, bool create, int *ret_fd, struct failure *failure)
{
        CLEANUP_FREE char *path = NULL;
        CLEANUP_CLOSE int fd = -1;
        int r = 0;

        if (asprintf(&path, "%s/leases", runtime_dir) < 0) {
                path = NULL;
                return failure_errno(failure, -ENOMEM, "cannot open the folder of lease files");
        }
        if (create)
                r = make_folders(path);
        if (r < 0)
                return failure_errno(failure, r, "cannot make the folder of lease files %s", path);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return failure_errno(failure, -errno, "cannot open the folder of lease files %s", path);
        if (create && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
                return failure_errno(failure, -errno, "cannot write to the folder of lease files %s", path);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Locks the folder; the lock goes with the descriptor that is returned. */
static int lock_folder(int folder_fd)
{
        CLEANUP_CLOSE int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = fd < 0 ? -errno : fileio_lock(fd, LOCK_USEC);

        return r < 0 ? r : TAKE_FD(fd);
}

/* JSON */

static void make_name(char name[NAME_BYTES], const struct process *qemu)
{
        (void)snprintf(name, NAME_BYTES, "%d-%llu" SUFFIX, (int)qemu->pid,
                       (unsigned long long)qemu->start_ticks);
}

static void add_process(struct json_object *object, const char *key, const struct process *process)
{
        struct json_object *value = json_object_new_object();

        json_add(value, "pid", json_object_new_int(process->pid));
        json_add_int(value, "start_ticks", (int64_t)process->start_ticks);
        json_add(object, key, value);
}

static struct json_object *make_object(const struct leasefile *lease)
{
        struct json_object *object = json_object_new_object();

        if (!object)
                return NULL;
        json_add_text(object, "schema", SCHEMA);
        json_add_text(object, "guest", lease->guest);
        json_add_text(object, "socket", lease->socket_path);
        json_add_text(object, "state", "paused-by-us");
        add_process(object, "qemu", &lease->qemu);
        add_process(object, "scanner", &lease->scanner);
        add_process(object, "guard", &lease->guard);
        return object;
}

static int get_text(struct json_object *object, const char *key, char **ret_text)
{
        struct json_object *value = NULL;

        if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_string))
                return -EBADMSG;
        *ret_text = strdup(json_object_get_string(value));
        return *ret_text ? 0 : -ENOMEM;
}

static int get_process(struct json_object *object, const char *key, struct process *ret_process)
{
        struct json_object *value = NULL;
        int64_t pid = 0;
        int64_t start_ticks = 0;
        int r = 0;

        if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_object))
                return -EBADMSG;
        r = json_get_number(value, "pid", INT32_MAX, &pid);
        if (r == 0)
                r = json_get_number(value, "start_ticks", INT64_MAX, &start_ticks);
        if (r < 0)
                return r;
        *ret_process = (struct process){.pid = (pid_t)pid, .start_ticks = (uint64_t)start_ticks};
        return 0;
}

static void hand_over(struct leasefile *from, struct leasefile *to)
{
        *to = *from;
        *from = (struct leasefile){0};
}

static int parse(const char *text, struct leasefile *ret_lease)
{
        CLEANUP(leasefile_deinit) struct leasefile lease = {0};
        CLEANUP_JSON struct json_object *object = NULL;
        struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH);
        int r = 0;

        if (!tokener)
                return -ENOMEM;
        object = json_tokener_parse_ex(tokener, text, -1);
        json_tokener_free(tokener);
        if (!json_object_is_type(object, json_type_object))
                return -EBADMSG;
        r = get_text(object, "guest", &lease.guest);
        if (r == 0)
                r = get_text(object, "socket", &lease.socket_path);
        if (r == 0)
                r = get_process(object, "qemu", &lease.qemu);
        if (r == 0)
                r = get_process(object, "scanner", &lease.scanner);
        if (r == 0)
                r = get_process(object, "guard", &lease.guard);
        if (r < 0)
                return r;
        hand_over(&lease, ret_lease);
        return 0;
}

/* The files */

int leasefile_read(int folder_fd, const char *name, struct leasefile *ret_lease)
{
        CLEANUP_FREE char *text = NULL;
        int r = fileio_read_text(folder_fd, name, &text);

        return r < 0 ? r : parse(text, ret_lease);
}

bool leasefile_is_held(const struct leasefile *lease)
{
        return process_is_alive(&lease->scanner) || process_is_alive(&lease->guard);
}

/* -EBUSY when somebody who lives holds the QEMU of the note @name. */
static int check_holder(int folder_fd, const char *name, struct failure *failure)
{
        CLEANUP(leasefile_deinit) struct leasefile holder = {0};
        int r = leasefile_read(folder_fd, name, &holder);

        if (r < 0 || !leasefile_is_held(&holder))
                return 0;
        return failure_set(failure, -EBUSY, "not paused: another samepage scan (pid %d) is reading it",
                           (int)holder.scanner.pid);
}

int leasefile_write(int folder_fd, const struct leasefile *lease, struct failure *failure)
{
        CLEANUP_JSON struct json_object *object = make_object(lease);
        CLEANUP_CLOSE int lock_fd = -1;
        char name[NAME_BYTES];
        int r = 0;

        if (!object)
                return failure_errno(failure, -ENOMEM, "not paused: cannot write its lease file");
        make_name(name, &lease->qemu);
        lock_fd = lock_folder(folder_fd);
        if (lock_fd < 0)
                return failure_errno(failure, lock_fd, "not paused: cannot lock the folder of lease files");
        r = check_holder(folder_fd, name, failure);
        if (r < 0)
                return r;
        r = fileio_replace_text(folder_fd, name,
                                json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
        if (r < 0)
                return failure_errno(failure, r, "not paused: cannot write its lease file");
        return 0;
}

static bool is_same(const struct process *a, const struct process *b)
{
        return a->pid == b->pid && a->start_ticks == b->start_ticks;
}

/*
 * Whether the lease file of that QEMU is of the same guard. Return: 0; a negative errno when it cannot be
 * read.
 */
static int compare_guards(int folder_fd, const struct leasefile *lease, bool *ret_is_same)
{
        CLEANUP(leasefile_deinit) struct leasefile found = {0};
        char name[NAME_BYTES];
        int r = 0;

        make_name(name, &lease->qemu);
        r = leasefile_read(folder_fd, name, &found);
        *ret_is_same = r == 0 && is_same(&found.guard, &lease->guard);
        return r;
}

bool leasefile_exists(int folder_fd, const struct leasefile *lease)
{
        bool is_ours = false;

        return compare_guards(folder_fd, lease, &is_ours) == 0 && is_ours;
}

bool leasefile_is_gone(int folder_fd, const struct leasefile *lease)
{
        bool is_ours = false;
        int r = compare_guards(folder_fd, lease, &is_ours);

        return r == -ENOENT || (r == 0 && !is_ours);
}

int leasefile_remove(int folder_fd, const struct leasefile *lease)
{
        CLEANUP_CLOSE int lock_fd = lock_folder(folder_fd);
        char name[NAME_BYTES];

        (void)lock_fd; /* without it too: the note is ours */
        if (!leasefile_exists(folder_fd, lease))
                return 0;
        make_name(name, &lease->qemu);
        return unlinkat(folder_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static bool is_note(const char *name)
{
        size_t length = strlen(name);

        return name[0] != '.' && length > strlen(SUFFIX) &&
               strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0;
}

int leasefile_list(int folder_fd, char ***ret_names, size_t *ret_count)
{
        CLEANUP_CLOSEDIR DIR *folder = fileio_open_folder(folder_fd, ".");
        CLEANUP_FREE char **names = NULL;
        const struct dirent *entry = NULL;
        size_t count = 0;

        if (!folder)
                return -errno;
        names = calloc(LEASEFILE_COUNT_MAX, sizeof(*names));
        while (names && count < LEASEFILE_COUNT_MAX && (entry = readdir(folder)))
                if (is_note(entry->d_name) && (names[count] = strdup(entry->d_name)))
                        count++;
        if (!names)
                return -ENOMEM;
        *ret_names = TAKE_PTR(names);
        *ret_count = count;
        return 0;
}
