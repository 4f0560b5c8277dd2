/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scan's side of the bridge.
 *
 * A domain of libvirt is paused, resumed and asked through libvirt only, or libvirt would not know what
 * happened to it. But all that bounds a pause (the guard, the pause machine, leases) speaks QMP on a
 * descriptor that several processes can hold. So libvirt is made to look like that: one process holds the
 * connection to it, and serves QMP's few commands for each domain on a socket pair of its own. The scan makes
 * the pair and sends one end over; the guard gets a duplicate of the other, as it does with QEMU.
 *
 * That also keeps libvirt, its threads and the libraries that it brings out of the scan and out of the guard,
 * which is locked in memory. The bridge's code is loaded by its process alone, after the fork.
 */
#include "qmp/virt/bridge.h"

#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/passing.h"
#include "base/survive.h"
#include "qmp/virt/bridge_proto.h"
#include "qmp/virt/virt_load.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BRIDGE_NAME    "samepage-virt"
#define ADDRESS_PREFIX "libvirt:"
/* Loading libvirt from a cold disk. */
#define START_USEC (30 * USEC_PER_SEC)
/* How long bridge_free() waits for an end that comes at once where no connection is left. */
#define EXIT_USEC (2 * USEC_PER_SEC)

struct bridge {
        struct child child;
        char *uri;
        bool use_monitor;
};

/* Starting */

static void run_bridge(int control_fd, void *context)
{
        const struct bridge *bridge = context;
        struct bridge_greeting greeting = {0};
        bridge_run_fn *run = NULL;

        if (survive_detach(BRIDGE_NAME, &control_fd, NULL) < 0)
                _exit(EXIT_FAILURE);
        /* A guard that makes a new connection goes before others; libvirt need not. */
        (void)sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0});
        /* Transports like ssh are children, whose end libvirt waits for. */
        (void)signal(SIGCHLD, SIG_DFL);
        run = (bridge_run_fn *)virt_load(VIRT_BRIDGE_RUN, &greeting.failure);
        if (send(control_fd, &greeting, sizeof(greeting), MSG_NOSIGNAL) != (ssize_t)sizeof(greeting) || !run)
                _exit(EXIT_FAILURE);
        run(control_fd, bridge->uri, bridge->use_monitor);
        _exit(EXIT_SUCCESS);
}

static int start(struct bridge *bridge, struct failure *failure)
{
        struct bridge_greeting greeting = {0};
        int r = child_start(&bridge->child, "the process for libvirt", run_bridge, bridge, failure);

        if (r == 0)
                r = child_greeted(&bridge->child, &greeting, sizeof(greeting), START_USEC, failure);
        if (r < 0)
                return r;
        greeting.failure.text[sizeof(greeting.failure.text) - 1] = '\0';
        if (*greeting.failure.text)
                return failure_set(failure, -ENOTSUP, "%s", greeting.failure.text);
        return 0;
}

int bridge_start(const char *uri, bool use_monitor, struct bridge **ret_bridge, struct failure *failure)
{
        struct bridge *bridge = calloc(1, sizeof(*bridge));
        int r = 0;

        if (!bridge)
                return failure_errno(failure, -ENOMEM, "cannot start the process for libvirt");
        *bridge = (struct bridge){.child = CHILD_NONE, .uri = strdup(uri), .use_monitor = use_monitor};
        r = bridge->uri ? start(bridge, failure)
                        : failure_errno(failure, -ENOMEM, "cannot start the process for libvirt");
        if (r < 0) {
                bridge_free(bridge);
                return r;
        }
        *ret_bridge = bridge;
        return 0;
}

void bridge_free(struct bridge *bridge)
{
        if (!bridge)
                return;
        child_end(&bridge->child, EXIT_USEC);
        free(bridge->uri);
        free(bridge);
}

/* Connections */

int bridge_connect(const struct bridge *bridge, const char *uuid, uint64_t timeout_usec,
                   struct qmp_client **ret_client, struct failure *failure)
{
        CLEANUP_CLOSE int ours = -1;
        CLEANUP_CLOSE int theirs = -1;
        struct bridge_request request = {0};
        int pair[2];
        int r = 0;

        if (uuid && strlen(uuid) != sizeof(request.uuid) - 1)
                return failure_set(failure, -EINVAL, "\"%.60s\" is no UUID", uuid);
        (void)snprintf(request.uuid, sizeof(request.uuid), "%s", uuid ? uuid : "");
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return failure_errno(failure, -errno, "cannot make a socket to libvirt's process");
        ours = pair[0];
        theirs = pair[1];
        r = passing_send(bridge->child.control_fd, &request, sizeof(request), theirs, 0);
        if (r < 0)
                return failure_errno(failure, r, "the process for libvirt has ended");
        close_fd(&theirs);
        return qmp_client_new(TAKE_FD(ours), timeout_usec, ret_client, failure);
}

/* The list of domains */

void bridge_domains_deinit(struct bridge_domains *domains)
{
        for (size_t i = 0; i < domains->count; i++) {
                free(domains->domains[i].uuid);
                free(domains->domains[i].name);
        }
        free(domains->domains);
        *domains = (struct bridge_domains){0};
}

static char *copy_string(struct json_object *object, const char *key)
{
        struct json_object *value = NULL;

        if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_string))
                return NULL;
        return strdup(json_object_get_string(value));
}

static int take_domains(struct json_object *reply, struct bridge_domains *domains)
{
        size_t count = json_object_is_type(reply, json_type_array) ? json_object_array_length(reply) : 0;

        domains->domains = calloc(count + 1, sizeof(*domains->domains));
        if (!domains->domains)
                return -ENOMEM;
        for (size_t i = 0; i < count && i < BRIDGE_DOMAINS_MAX; i++) {
                struct json_object *object = json_object_array_get_idx(reply, i);
                struct bridge_domain *domain = &domains->domains[domains->count++];

                domain->uuid = copy_string(object, "uuid");
                domain->name = copy_string(object, "name");
                if (!domain->uuid || !domain->name)
                        return -EBADMSG;
        }
        return 0;
}

int bridge_list(const struct bridge *bridge, uint64_t timeout_usec, struct bridge_domains *ret_domains,
                struct failure *failure)
{
        CLEANUP(bridge_domains_deinit) struct bridge_domains domains = {0};
        CLEANUP_JSON struct json_object *reply = NULL;
        struct qmp_client *client = NULL;
        int r = bridge_connect(bridge, NULL, timeout_usec, &client, failure);

        if (r < 0)
                return r;
        r = qmp_client_execute(client, BRIDGE_LIST_DOMAINS, NULL, &reply, failure);
        qmp_client_free(client);
        if (r < 0)
                return r;
        r = take_domains(reply, &domains);
        if (r < 0)
                return failure_errno(failure, r, "cannot keep the list of domains");
        *ret_domains = domains;
        domains = (struct bridge_domains){0};
        return 0;
}

/* Addresses */

char *bridge_format_address(const struct bridge *bridge, const char *uuid)
{
        char *address = NULL;

        return asprintf(&address, ADDRESS_PREFIX "%s#%s", bridge->uri, uuid) < 0 ? NULL : address;
}

bool bridge_is_address(const char *text)
{
        return strncmp(text, ADDRESS_PREFIX, strlen(ADDRESS_PREFIX)) == 0 && strchr(text, '#');
}

int bridge_connect_address(const char *address, uint64_t timeout_usec, struct bridge **bridge,
                           char **ret_uuid, struct qmp_client **ret_client, struct failure *failure)
{
        CLEANUP_FREE char *uri = NULL;
        CLEANUP_FREE char *uuid = NULL;
        int r = 0;

        if (!bridge_is_address(address))
                return failure_set(failure, -EINVAL, "it is no address of a domain");
        uri = strdup(address + strlen(ADDRESS_PREFIX));
        uuid = strdup(strrchr(address, '#') + 1);
        if (!uri || !uuid)
                return failure_errno(failure, -ENOMEM, "cannot connect");
        *strrchr(uri, '#') = '\0';
        if (*bridge && strcmp((*bridge)->uri, uri) != 0) {
                bridge_free(*bridge);
                *bridge = NULL;
        }
        if (!*bridge)
                r = bridge_start(uri, false, bridge, failure);
        if (r < 0 || !*bridge)
                return r;
        r = bridge_connect(*bridge, uuid, timeout_usec, ret_client, failure);
        if (r == 0)
                *ret_uuid = TAKE_PTR(uuid);
        return r;
}
