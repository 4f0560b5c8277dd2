/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection that broke is noticed by whoever uses it next: it is dropped and opened anew, under the lock,
 * so that of many threads one opens it and the others wait for that. A libvirtd that is there and does not
 * answer is told from a slow one by keepalive messages, where the driver has them.
 *
 * libvirt calls an event callback, and frees what belongs to it, some time after it was deregistered. Nothing
 * is freed here: the link is as long-lived as the process.
 */
#include "qmp/bridge_link.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stddef.h>

/* A libvirtd that is silent for half a minute hangs. */
#define KEEPALIVE_SEC   5
#define KEEPALIVE_COUNT 6

/* libvirt prints errors on standard error unless told not to; they are told by sentences here. */
static void ignore_error(void *context, virErrorPtr error)
{
        (void)context;
        (void)error;
}

static void *run_events(void *context)
{
        (void)context;
        for (;;)
                (void)virEventRunDefaultImpl();
        return NULL;
}

int bridge_link_init(struct bridge_link *link, const char *uri, virConnectDomainEventCallback on_event,
                     void (*on_reconnect)(void *context), void *context)
{
        pthread_t thread;

        *link = (struct bridge_link){.uri = uri,
                                     .on_event = on_event,
                                     .on_reconnect = on_reconnect,
                                     .context = context,
                                     .callback_id = -1};
        (void)pthread_mutex_init(&link->mutex, NULL);
        virSetErrorFunc(NULL, ignore_error);
        if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
                return -EIO;
        return -pthread_create(&thread, NULL, run_events, NULL);
}

static void drop(struct bridge_link *link)
{
        if (link->callback_id >= 0)
                (void)virConnectDomainEventDeregisterAny(link->connection, link->callback_id);
        (void)virConnectClose(link->connection);
        link->connection = NULL;
        link->callback_id = -1;
}

static void open_connection(struct bridge_link *link)
{
        link->connection = virConnectOpen(link->uri);
        if (!link->connection)
                return;
        (void)virConnectSetKeepAlive(link->connection, KEEPALIVE_SEC, KEEPALIVE_COUNT);
        /* Without events nobody notices that a domain was resumed and paused again: better than no scan. */
        link->callback_id = virConnectDomainEventRegisterAny(
                link->connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                VIR_DOMAIN_EVENT_CALLBACK(link->on_event), link->context, NULL);
        if (link->was_open)
                link->on_reconnect(link->context);
        link->was_open = true;
}

int bridge_link_get(struct bridge_link *link, virConnectPtr *ret_connection, struct failure *failure)
{
        int r = 0;

        (void)pthread_mutex_lock(&link->mutex);
        if (link->connection && virConnectIsAlive(link->connection) == 0)
                drop(link);
        if (!link->connection)
                open_connection(link);
        if (link->connection && virConnectRef(link->connection) == 0)
                *ret_connection = link->connection;
        else
                r = failure_set(failure, link->was_open ? -ENOTCONN : -EREMOTEIO,
                                "cannot connect to libvirt at %s: %s", link->uri, virGetLastErrorMessage());
        (void)pthread_mutex_unlock(&link->mutex);
        return r;
}
