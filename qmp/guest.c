/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest, from its socket to the process whose memory is its RAM.
 *
 * A candidate counts only if it holds the other end of our very connection, and if its memory map has every
 * RAM block at the address that QEMU gave. So what is read later is RAM of this guest. If QEMU lies, it is
 * other memory of that same process, but never of another one. The process that called listen() on the socket
 * (SO_PEERCRED) is merely the first candidate: it may have passed the socket on and ended, and another
 * process may have its number. A pidfd and an open /proc folder hold the candidate before anything of it is
 * read, and from there on, so that a pid which is used again is never read.
 *
 * What remains: a process that takes descriptors from anybody, as a message bus does, may receive the
 * connection, and then holds it for a while.
 */
#include "qmp/guest.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "base/json.h"
#include "base/pidfd.h"
#include "base/process.h"
#include "qmp/guest_private.h"
#include "qmp/runstate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NO_UUID "00000000-0000-0000-0000-000000000000"
/* While firmware runs or memory is being plugged, the tree may change between two commands. */
#define BLOCKS_ATTEMPTS 3

/* Copies the string under @key in the reply to @command; *@ret_text is NULL when there is none. */
static int ask_string(struct qmp_client *client, const char *command, const char *key, char **ret_text,
                      struct failure *failure)
{
        CLEANUP_JSON struct json_object *reply = NULL;
        struct json_object *value = NULL;
        int r = qmp_client_execute(client, command, NULL, &reply, failure);

        if (r < 0)
                return r;
        if (!json_object_is_type(reply, json_type_object) || !json_object_object_get_ex(reply, key, &value) ||
            !json_object_is_type(value, json_type_string))
                return 0;
        *ret_text = strdup(json_object_get_string(value));
        return *ret_text ? 0 : failure_errno(failure, -ENOMEM, "cannot keep the reply to %s", command);
}

static int ask_run_state(struct qmp_client *client, char state[RUN_STATE_BYTES], struct failure *failure)
{
        CLEANUP_FREE char *text = NULL;
        int r = ask_string(client, "query-status", "status", &text, failure);

        if (r < 0)
                return r;
        if (!text)
                return failure_set(failure, -EBADMSG, "the reply to query-status has no status");
        (void)snprintf(state, RUN_STATE_BYTES, "%s", text);
        return 0;
}

static int make_absolute(const char *path, char **ret_path)
{
        CLEANUP_FREE char *folder = NULL;

        if (path[0] == '/') {
                *ret_path = strdup(path);
                return *ret_path ? 0 : -ENOMEM;
        }
        folder = getcwd(NULL, 0);
        if (!folder)
                return -errno;
        if (asprintf(ret_path, "%s/%s", folder, path) < 0) {
                *ret_path = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int learn_identity(struct qmp_guest *guest, struct failure *failure)
{
        const char *file_name = strrchr(guest->socket_path, '/') + 1;
        int r = ask_string(guest->client, "query-name", "name", &guest->name, failure);

        if (r == 0)
                r = ask_string(guest->client, "query-uuid", "UUID", &guest->uuid, failure);
        if (r < 0)
                return r;
        if (guest->uuid && strcmp(guest->uuid, NO_UUID) == 0) {
                free(guest->uuid);
                guest->uuid = NULL;
        }
        if (guest->name && *guest->name)
                return 0;
        free(guest->name);
        guest->name = strdup(file_name);
        return guest->name ? 0 : failure_errno(failure, -ENOMEM, "cannot keep the guest's name");
}

/* RAM blocks */

static int translate_gpa(void *context, uint64_t gpa, char **ret_text, struct failure *failure)
{
        char command[64];

        (void)snprintf(command, sizeof(command), "gpa2hva 0x%llx", (unsigned long long)gpa);
        return qmp_client_hmp(context, command, ret_text, failure);
}

static int learn_types(struct qmp_client *client, struct ram_blocks *blocks, struct failure *failure)
{
        CLEANUP_JSON struct json_object *reply = NULL;
        struct json_object *arguments = json_tokener_parse("{\"path\":\"/objects\"}");
        int r = qmp_client_execute(client, "qom-list", arguments, &reply, failure);

        if (r == -EREMOTEIO)
                return 0;
        return r < 0 ? r : blocks_parse_types(reply, blocks);
}

static int learn_blocks_once(struct qmp_client *client, struct ram_blocks *ret_blocks,
                             struct failure *failure)
{
        CLEANUP(blocks_deinit) struct ram_blocks blocks = {0};
        CLEANUP(blocks_ranges_deinit) struct ram_ranges ranges = {0};
        CLEANUP_JSON struct json_object *memdev = NULL;
        CLEANUP_FREE char *tree = NULL;
        int r = qmp_client_execute(client, "query-memdev", NULL, &memdev, failure);

        if (r == 0)
                r = blocks_parse_memdev(memdev, &blocks, failure);
        if (r == 0)
                r = learn_types(client, &blocks, failure);
        if (r == 0)
                r = qmp_client_hmp(client, "info mtree -f", &tree, failure);
        if (r == 0)
                r = blocks_parse_mtree(tree, &blocks, &ranges, failure);
        if (r == 0)
                r = blocks_locate(&blocks, &ranges, translate_gpa, client, failure);
        if (r < 0)
                return r;
        *ret_blocks = blocks;
        blocks = (struct ram_blocks){0};
        return 0;
}

int qmp_guest_ask_blocks(struct qmp_guest *guest, struct ram_blocks *ret_blocks, struct failure *failure)
{
        int r = 0;

        for (int attempt = 0; attempt < BLOCKS_ATTEMPTS; attempt++) {
                r = learn_blocks_once(guest->client, ret_blocks, failure);
                /* A line that is not JSON is -EBADMSG too; a second attempt then fails at once. */
                if (r != -EBADMSG)
                        return r;
        }
        return r;
}

/* The process */

/* 0 when the process of @proc_fd maps all blocks, -ESRCH when it does not. */
static int check_maps(int proc_fd, const struct ram_blocks *blocks)
{
        CLEANUP_FREE char *maps = NULL;
        int r = fileio_read_text(proc_fd, "maps", &maps);

        if (r < 0)
                return r == -ENOENT ? -ESRCH : r;
        for (size_t i = 0; i < blocks->count; i++)
                if (blocks->blocks[i].hva &&
                    !process_maps_cover(maps, blocks->blocks[i].hva, blocks->blocks[i].size_bytes))
                        return -ESRCH;
        return 0;
}

int qmp_guest_hold_process(struct qmp_guest *guest, pid_t pid)
{
        int r = 0;

        close_fd(&guest->pidfd);
        close_fd(&guest->proc_fd);
        guest->pid = pid;
        r = process_open(pid, &guest->pidfd, &guest->proc_fd);
        return r < 0 ? r : process_get_start_ticks(guest->proc_fd, &guest->start_ticks);
}

int qmp_guest_check_process(const struct qmp_guest *guest)
{
        int r = check_maps(guest->proc_fd, &guest->blocks);

        /* This check comes last, so everything read before it was this process's. */
        return r == 0 && !qmp_guest_is_alive(guest) ? -ESRCH : r;
}

/* Makes @pid the guest's process if it holds the socket of this inode and has the RAM; else -ESRCH. */
static int try_process(struct qmp_guest *guest, pid_t pid, uint32_t inode)
{
        int r = qmp_guest_hold_process(guest, pid);

        if (r == 0)
                r = process_has_socket(guest->proc_fd, inode);
        if (r <= 0)
                return r < 0 ? r : -ESRCH;
        return qmp_guest_check_process(guest);
}

int qmp_guest_deny(pid_t pid, struct failure *failure)
{
        return failure_set(failure, -EACCES,
                           "no permission to look into the process of its QEMU (pid %d): run as root",
                           (int)pid);
}

/* Tries every holder of the other end; -ESRCH if none has the RAM. @denied: one we may not read, or 0. */
static int try_holders(struct qmp_guest *guest, uint32_t inode, pid_t denied, struct failure *failure)
{
        CLEANUP_FREE pid_t *pids = NULL;
        size_t count = 0;
        int r = process_find_holders(inode, &pids, &count, failure);

        if (r < 0)
                return r;
        for (size_t i = 0; i < count; i++) {
                r = try_process(guest, pids[i], inode);
                if (r == 0)
                        return 0;
                if (r == -EACCES || r == -EPERM)
                        denied = pids[i];
        }
        if (denied)
                return qmp_guest_deny(denied, failure);
        return failure_set(
                failure, -ESRCH,
                "the process that has the guest's RAM cannot be found: none of the %zu that hold the "
                "other end of the socket maps it",
                count);
}

static int find_process(struct qmp_guest *guest, struct failure *failure)
{
        const int fd = qmp_client_get_fd(guest->client);
        uint32_t inode = 0;
        pid_t pid = 0;
        int r = process_get_peer_inode(fd, &inode, failure);

        if (r < 0)
                return r;
        r = process_get_listener(fd, &pid);
        if (r == 0)
                r = pid > 0 ? try_process(guest, pid, inode) : -ESRCH;
        if (r == 0)
                return 0;
        return try_holders(guest, inode, r == -EACCES || r == -EPERM ? pid : 0, failure);
}

struct qmp_guest *qmp_guest_new(void)
{
        struct qmp_guest *guest = calloc(1, sizeof(*guest));

        if (!guest)
                return NULL;
        guest->pidfd = -1;
        guest->proc_fd = -1;
        return guest;
}

int qmp_guest_ask_found_state(struct qmp_guest *guest, struct failure *failure)
{
        return ask_run_state(guest->client, guest->found_state, failure);
}

int qmp_guest_open(const char *socket_path, uint64_t timeout_usec, struct qmp_guest **ret_guest,
                   struct failure *failure)
{
        struct qmp_guest *guest = qmp_guest_new();
        int r = 0;

        if (!guest)
                return failure_errno(failure, -ENOMEM, "cannot open the guest");
        guest->learn_blocks = qmp_guest_ask_blocks;
        r = make_absolute(socket_path, &guest->socket_path);
        if (r < 0)
                (void)failure_errno(failure, r, "cannot tell the socket's absolute path");
        if (r == 0)
                r = qmp_client_connect(guest->socket_path, timeout_usec, &guest->client, failure);
        if (r == 0)
                r = learn_identity(guest, failure);
        if (r == 0)
                r = qmp_guest_ask_found_state(guest, failure);
        if (r == 0)
                r = guest->learn_blocks(guest, &guest->blocks, failure);
        if (r == 0)
                r = find_process(guest, failure);
        if (r < 0) {
                qmp_guest_free(guest);
                return r;
        }
        (void)qmp_client_take_events(guest->client);
        *ret_guest = guest;
        return 0;
}

void qmp_guest_disconnect(struct qmp_guest *guest)
{
        qmp_client_free(guest->client);
        guest->client = NULL;
}

void qmp_guest_free(struct qmp_guest *guest)
{
        if (!guest)
                return;
        qmp_client_free(guest->client);
        blocks_deinit(&guest->blocks);
        close_fd(&guest->pidfd);
        close_fd(&guest->proc_fd);
        free(guest->name);
        free(guest->uuid);
        free(guest->group);
        free(guest->socket_path);
        free(guest);
}

bool qmp_guest_is_alive(const struct qmp_guest *guest)
{
        return pidfd_is_alive(guest->pidfd);
}

int qmp_guest_refresh_blocks(struct qmp_guest *guest, struct failure *failure)
{
        CLEANUP(blocks_deinit) struct ram_blocks blocks = {0};
        struct ram_blocks old = guest->blocks;
        int r = guest->learn_blocks(guest, &blocks, failure);

        if (r < 0)
                return r;
        r = check_maps(guest->proc_fd, &blocks);
        if (r < 0)
                return failure_set(failure, r, "its QEMU (pid %d) does not map the RAM blocks it tells of",
                                   (int)guest->pid);
        guest->blocks = blocks;
        blocks = old;
        return 0;
}

int qmp_guest_refresh_state(struct qmp_guest *guest, struct qmp_guest_state *ret_state,
                            struct failure *failure)
{
        struct qmp_guest_state state = {0};
        CLEANUP_FREE char *migration = NULL;
        int r = ask_run_state(guest->client, state.run_state, failure);

        if (r == 0)
                r = ask_string(guest->client, "query-migrate", "status", &migration, failure);
        if (r < 0)
                return r;
        state.migrating = !runstate_migration_is_over(migration);
        state.events = qmp_client_take_events(guest->client);
        *ret_state = state;
        return 0;
}
