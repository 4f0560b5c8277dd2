/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bridge's one connection to libvirt, which all its threads share and which comes back when it broke. */
#pragma once

#include "base/failure.h"

#include <libvirt/libvirt.h>
#include <pthread.h>
#include <stdbool.h>

/* Initialise with bridge_link_init(); lives as long as the process, as libvirt's callbacks refer to it. */
struct bridge_link {
        const char *uri;
        virConnectDomainEventCallback on_event;
        void (*on_reconnect)(void *context);
        void (*on_lost)(void *context);
        void *context;
        pthread_mutex_t mutex;
        virConnectPtr connection;
        int callback_id;
        bool is_end_told; /* libvirt's event loop tells when the connection breaks */
        bool was_open;
};

/**
 * bridge_link_init() - prepare libvirt and start the thread of its event loop
 * @uri: borrowed for good
 * @on_event: called with @context in the event loop's thread, for lifecycle events of all domains; must not
 * call libvirt
 * @on_reconnect: called when a new connection replaced a broken one: events of the old one may be lost
 * @on_lost: called when a connection broke, as soon as that is noticed, perhaps more than once, in any
 * thread; must not call libvirt either
 */
int bridge_link_init(struct bridge_link *link, const char *uri, virConnectDomainEventCallback on_event,
                     void (*on_reconnect)(void *context), void (*on_lost)(void *context), void *context);

/* Whether there is a connection, events come over it, and it is told at once when it breaks. */
bool bridge_link_has_events(struct bridge_link *link);

/**
 * bridge_link_get() - a connection that lives as far as is known, made if need be
 * @ret_connection: virConnectClose() it
 *
 * Return: 0; -ENOTCONN when there was one before, and now there is none: try again later; -EREMOTEIO when
 * there never was one; with a sentence.
 */
int bridge_link_get(struct bridge_link *link, virConnectPtr *ret_connection, struct failure *failure);
