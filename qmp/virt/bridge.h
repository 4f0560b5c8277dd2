/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bridge: a process that holds a connection to libvirt and makes each domain look like a QMP socket. */
#pragma once

#include "base/failure.h"
#include "qmp/client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Domains of one host. */
#define BRIDGE_DOMAINS_MAX 1024

struct bridge;

/**
 * bridge_start() - fork the bridge
 * @uri: libvirt's, like qemu:///system; connected to when it is first needed
 * @use_monitor: pass QMP commands that only read through to the monitor, which libvirt notes as a taint
 * @ret_bridge: free with bridge_free()
 *
 * To be called while the process has one thread, like guard_start(): and this process never has libvirt in
 * it.
 *
 * Return: 0; -ENOTSUP when samepage was built without libvirt; another negative errno; all with a sentence.
 */
int bridge_start(const char *uri, bool use_monitor, struct bridge **ret_bridge, struct failure *failure);

/**
 * bridge_free() - let go of the bridge
 *
 * It goes on until the last of its domains' connections is closed, by whoever holds it: the guard may have to
 * resume a domain. Takes NULL.
 */
void bridge_free(struct bridge *bridge);

struct bridge_domain {
        char *uuid;
        char *name;
};

struct bridge_domains {
        struct bridge_domain *domains;
        size_t count;
};

void bridge_domains_deinit(struct bridge_domains *domains);

/**
 * bridge_list() - all active domains
 * @timeout_usec: for each step
 *
 * Return: 0; -EREMOTEIO when libvirt cannot be reached or refuses; as qmp_client_execute().
 */
int bridge_list(const struct bridge *bridge, uint64_t timeout_usec, struct bridge_domains *ret_domains,
                struct failure *failure);

/**
 * bridge_connect() - a connection to a domain that is used like one to its QEMU
 * @ret_client: free with qmp_client_free()
 *
 * It stays with the domain as it runs now: when that is started anew, the connection is of no more use.
 * May be called by several threads at once.
 *
 * Return: as qmp_client_new().
 */
int bridge_connect(const struct bridge *bridge, const char *uuid, uint64_t timeout_usec,
                   struct qmp_client **ret_client, struct failure *failure);

/* The address of a domain, where others have the path of a socket: libvirt:URI#UUID. The caller frees it;
 * NULL without memory. */
char *bridge_format_address(const struct bridge *bridge, const char *uuid);

bool bridge_is_address(const char *text);

/**
 * bridge_connect_address() - connect to a domain by its address
 * @bridge: of an earlier call, or NULL: started where there is none to this libvirt; to be freed when the
 * connections are closed
 *
 * For a process with one thread; with several in an emergency only, as it relies on a C library in which
 * malloc() and dlopen() work after a fork of such a process. In glibc they do.
 *
 * Return: as bridge_start() and bridge_connect(); -EINVAL when it is no address.
 */
int bridge_connect_address(const char *address, uint64_t timeout_usec, struct bridge **bridge,
                           char **ret_uuid, struct qmp_client **ret_client, struct failure *failure);
