/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/virt/bridge_peer.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX_BYTES (1U << 20)

void bridge_peer_note_event(struct bridge_peer *peer, int event)
{
        const uint64_t one = 1;

        (void)pthread_mutex_lock(&peer->mutex);
        if (event == VIR_DOMAIN_EVENT_SUSPENDED) {
                peer->has_seen_stop = true;
                peer->news |= BRIDGE_NEWS_STOPPED;
        } else if (event == VIR_DOMAIN_EVENT_RESUMED && (!peer->has_stopped || peer->has_seen_stop)) {
                peer->news |= BRIDGE_NEWS_RESUMED;
        } else if (event == VIR_DOMAIN_EVENT_STOPPED || event == VIR_DOMAIN_EVENT_CRASHED) {
                peer->news |= BRIDGE_NEWS_ENDED;
        }
        (void)pthread_mutex_unlock(&peer->mutex);
        (void)!write(peer->wake_fd, &one, sizeof(one));
}

void bridge_peer_note_stop(struct bridge_peer *peer, bool has_stopped)
{
        (void)pthread_mutex_lock(&peer->mutex);
        peer->has_stopped = has_stopped;
        peer->has_seen_stop = false;
        peer->is_watched = peer->is_watched && has_stopped;
        (void)pthread_mutex_unlock(&peer->mutex);
}

void bridge_peer_note_reconnect(struct bridge_peer *peer)
{
        (void)pthread_mutex_lock(&peer->mutex);
        peer->has_seen_stop = true;
        (void)pthread_mutex_unlock(&peer->mutex);
}

void bridge_peer_note_watch(struct bridge_peer *peer, bool is_watched)
{
        (void)pthread_mutex_lock(&peer->mutex);
        peer->is_watched = is_watched;
        (void)pthread_mutex_unlock(&peer->mutex);
}

void bridge_peer_note_lost(struct bridge_peer *peer)
{
        (void)pthread_mutex_lock(&peer->mutex);
        if (peer->is_watched)
                (void)shutdown(peer->wire.fd, SHUT_RDWR);
        (void)pthread_mutex_unlock(&peer->mutex);
}

int bridge_peer_init(struct bridge_peer *peer, int fd, const struct bridge_request *request,
                     struct bridge_link *link, bool use_monitor)
{
        *peer = (struct bridge_peer){
                .link = link, .use_monitor = use_monitor, .domain_id = -1, .wake_fd = -1};
        memcpy(peer->uuid, request->uuid, sizeof(peer->uuid));
        peer->uuid[sizeof(peer->uuid) - 1] = '\0';
        (void)pthread_mutex_init(&peer->mutex, NULL);
        if (wire_init(&peer->wire, fd, LINE_MAX_BYTES) < 0)
                return -ENOMEM;
        peer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return peer->wake_fd < 0 ? -errno : 0;
}

void bridge_peer_deinit(struct bridge_peer *peer)
{
        wire_deinit(&peer->wire);
        close_fd(&peer->wake_fd);
        (void)pthread_mutex_destroy(&peer->mutex);
}
