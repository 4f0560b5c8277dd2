/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that libvirt runs.
 *
 * Its connection leads to the bridge, which answers as QEMU would. Only where the RAM lies is another matter:
 * asking QEMU goes past libvirt, which then notes the domain as tainted. So the blocks are found by what the
 * domain's XML says and what its process maps, and the process by libvirt's pid file or its command line.
 * Several processes that say they are this QEMU are tried; exactly one has to map the blocks.
 */
#include "qmp/virt/domain_guest.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "base/json.h"
#include "qmp/guest_private.h"
#include "qmp/virt/bridge.h"
#include "qmp/virt/bridge_proto.h"
#include "qmp/virt/domain_memory.h"
#include "qmp/virt/domain_process.h"
#include "qmp/virt/domain_ram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int ask_memory(struct qmp_guest *guest, struct domain_memory *ret_memory, struct failure *failure)
{
        CLEANUP_JSON struct json_object *reply = NULL;
        int r = qmp_client_execute(guest->client, BRIDGE_QUERY_DOMAIN, NULL, &reply, failure);

        return r < 0 ? r : domain_memory_from_json(reply, ret_memory, failure);
}

/* Learning the blocks again, once the process is known. */
static int learn_by_maps(struct qmp_guest *guest, struct ram_blocks *ret_blocks, struct failure *failure)
{
        CLEANUP(domain_memory_deinit) struct domain_memory memory = {0};
        CLEANUP_FREE char *maps = NULL;
        int r = ask_memory(guest, &memory, failure);

        if (r < 0)
                return r;
        r = fileio_read_text(guest->proc_fd, "maps", &maps);
        if (r < 0)
                return failure_errno(failure, r, "cannot read the memory map of its QEMU (pid %d)",
                                     (int)guest->pid);
        return domain_ram_match(&memory, maps, ret_blocks, failure);
}

/* What @pid would be to the guest: takes it with its blocks if it fits. */
static int try_candidate(struct qmp_guest *guest, const struct domain_memory *memory, pid_t pid,
                         struct failure *failure)
{
        CLEANUP_FREE char *maps = NULL;
        int r = qmp_guest_hold_process(guest, pid);

        /* Asked again now that it is held: the number may have been used again since it was found. */
        if (r == 0 && !domain_process_has_uuid(guest->proc_fd, ".", guest->uuid))
                r = -ESRCH;
        if (r == 0)
                r = fileio_read_text(guest->proc_fd, "maps", &maps);
        if (r == -EACCES || r == -EPERM)
                return qmp_guest_deny(pid, failure);
        if (r < 0)
                return failure_errno(failure, r, "cannot read the memory map of its QEMU (pid %d)", (int)pid);
        if (guest->learn_blocks == learn_by_maps) {
                blocks_deinit(&guest->blocks);
                r = domain_ram_match(memory, maps, &guest->blocks, failure);
        }
        if (r < 0)
                return r;
        r = qmp_guest_check_process(guest);
        if (r < 0)
                return failure_errno(failure, r, "cannot get hold of its QEMU (pid %d)", (int)pid);
        return 0;
}

static int find_process(struct qmp_guest *guest, const struct domain_memory *memory, struct failure *failure)
{
        pid_t pids[DOMAIN_PROCESS_MAX];
        size_t count = 0;
        pid_t found = 0;
        int error = 0;
        int r = domain_process_find(DOMAIN_PROCESS_RUN_DIR, guest->name, guest->uuid, pids, &count, failure);

        if (r < 0)
                return r;
        for (size_t i = 0; i < count; i++) {
                r = try_candidate(guest, memory, pids[i], found ? NULL : failure);
                if (r == 0 && found)
                        return failure_set(failure, -ENOTUNIQ,
                                           "two processes say that they are its QEMU: %d and %d", (int)found,
                                           (int)pids[i]);
                if (r == 0)
                        found = pids[i];
                else
                        error = r;
        }
        if (!found)
                return error;
        return try_candidate(guest, memory, found, failure);
}

static int learn(struct qmp_guest *guest, struct failure *failure)
{
        CLEANUP(domain_memory_deinit) struct domain_memory memory = {0};
        int r = ask_memory(guest, &memory, failure);

        if (r < 0)
                return r;
        guest->name = TAKE_PTR(memory.name);
        guest->group = TAKE_PTR(memory.group);
        r = qmp_guest_ask_found_state(guest, failure);
        if (r == 0 && guest->learn_blocks == qmp_guest_ask_blocks)
                r = guest->learn_blocks(guest, &guest->blocks, failure);
        return r < 0 ? r : find_process(guest, &memory, failure);
}

int domain_guest_open(const struct bridge *bridge, const char *uuid, bool use_monitor, uint64_t timeout_usec,
                      struct qmp_guest **ret_guest, struct failure *failure)
{
        struct qmp_guest *guest = qmp_guest_new();
        int r = 0;

        if (!guest)
                return failure_errno(failure, -ENOMEM, "cannot open the guest");
        guest->learn_blocks = use_monitor ? qmp_guest_ask_blocks : learn_by_maps;
        guest->uuid = strdup(uuid);
        guest->socket_path = bridge_format_address(bridge, uuid);
        if (!guest->uuid || !guest->socket_path)
                r = failure_errno(failure, -ENOMEM, "cannot open the guest");
        if (r == 0)
                r = bridge_connect(bridge, uuid, timeout_usec, &guest->client, failure);
        if (r == 0)
                r = learn(guest, failure);
        if (r < 0) {
                qmp_guest_free(guest);
                return r;
        }
        if (failure)
                *failure = (struct failure){0};
        (void)qmp_client_take_events(guest->client);
        *ret_guest = guest;
        return 0;
}

int domain_guest_watch(struct qmp_guest *guest, struct failure *failure)
{
        return qmp_client_execute(guest->client, BRIDGE_WATCH_DOMAIN, NULL, NULL, failure);
}
