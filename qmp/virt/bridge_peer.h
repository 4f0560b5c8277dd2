/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection to the bridge, which speaks for one domain or for the host. */
#pragma once

#include "base/wire.h"
#include "qmp/virt/bridge_link.h"
#include "qmp/virt/bridge_proto.h"

#include <pthread.h>
#include <stdbool.h>

/* What a domain's events said and its peer has not heard yet. */
enum bridge_news {
        BRIDGE_NEWS_STOPPED = 1U << 0,
        BRIDGE_NEWS_RESUMED = 1U << 1,
        BRIDGE_NEWS_ENDED = 1U << 2,
};

struct bridge_peer {
        struct bridge_link *link;
        bool use_monitor;
        char uuid[BRIDGE_UUID_BYTES]; /* empty: the host */
        struct wire wire;
        int wake_fd; /* readable when there is news */
        bool has_negotiated;
        int domain_id;         /* of the domain as it runs now; -1: not known yet */
        pthread_mutex_t mutex; /* over what follows */
        unsigned int news;
        bool has_stopped;   /* the domain is paused by a stop of this peer */
        bool has_seen_stop; /* the event of that stop has come */
        bool is_watched;    /* see bridge_peer_note_watch() */
};

/**
 * bridge_peer_init() - begin to speak
 * @fd: taken, also on failure
 */
int bridge_peer_init(struct bridge_peer *peer, int fd, const struct bridge_request *request,
                     struct bridge_link *link, bool use_monitor);

void bridge_peer_deinit(struct bridge_peer *peer);

/* Takes a lifecycle event of the peer's domain; called by another thread than the peer's. */
void bridge_peer_note_event(struct bridge_peer *peer, int event);

/* The peer is about to stop its domain, or has resumed it. */
void bridge_peer_note_stop(struct bridge_peer *peer, bool has_stopped);

/* Events may have been lost. */
void bridge_peer_note_reconnect(struct bridge_peer *peer);

/**
 * bridge_peer_note_watch() - somebody else's resume must not be noticed late
 *
 * From now on until the peer's next cont, or stop that failed: the event of a resume is passed on before
 * anything is asked, and with the connection to libvirt the peer's own breaks.
 */
void bridge_peer_note_watch(struct bridge_peer *peer, bool is_watched);

/* The connection to libvirt broke: there are no events. Called by another thread than the peer's. */
void bridge_peer_note_lost(struct bridge_peer *peer);
