/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection that broke is opened anew by whoever uses it next: it is dropped, under the lock, so that of
 * many threads one opens the next and the others wait for that. That it broke is told at once (on_lost), by
 * libvirt's event loop or by who drops it, whoever is first. A libvirtd that is there and does not answer is
 * told from a slow one by keepalive messages, where the driver has them.
 *
 * libvirt calls an event callback, and frees what belongs to it, some time after it was deregistered. Nothing
 * is freed here: the link is as long-lived as the process.
 */
#include "qmp/virt/bridge_link.h"

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

static void on_close(virConnectPtr connection, int reason, void *context)
{
        const struct bridge_link *link = context;

        (void)connection;
        (void)reason;
        link->on_lost(link->context);
}

int bridge_link_init(struct bridge_link *link, const char *uri, virConnectDomainEventCallback on_event,
                     void (*on_reconnect)(void *context), void (*on_lost)(void *context), void *context)
{
        pthread_t thread;

        *link = (struct bridge_link){.uri = uri,
                                     .on_event = on_event,
                                     .on_reconnect = on_reconnect,
                                     .on_lost = on_lost,
                                     .context = context,
                                     .callback_id = -1};
        (void)pthread_mutex_init(&link->mutex, NULL);
        virSetErrorFunc(NULL, ignore_error);
        if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
                return -EIO;
        return -pthread_create(&thread, NULL, run_events, NULL);
}

/* Of a connection that broke. */
static void drop(struct bridge_link *link)
{
        /* It may break between our look at it and that of the event loop, which is not asked any more. */
        link->on_lost(link->context);
        if (link->is_end_told)
                (void)virConnectUnregisterCloseCallback(link->connection, on_close);
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
        link->is_end_told = virConnectRegisterCloseCallback(link->connection, on_close, link, NULL) == 0;
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

bool bridge_link_has_events(struct bridge_link *link)
{
        bool has_events = false;

        (void)pthread_mutex_lock(&link->mutex);
        has_events = link->connection && link->callback_id >= 0 && link->is_end_told &&
                     virConnectIsAlive(link->connection) == 1;
        (void)pthread_mutex_unlock(&link->mutex);
        return has_events;
}
