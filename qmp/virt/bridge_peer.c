/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain that looks like a QMP connection.
 *
 * Each connection has a thread, which waits for commands and carries them out (bridge_command.c) by calls of
 * libvirt that block: so one domain that hangs holds up no other.
 *
 * Events. libvirt sends them independently of replies: the event of a resume may come after the reply to the
 * next stop. Taken for somebody else's resume it would make the pause machine leave the domain paused. So an
 * event "resumed" counts for a domain that this peer has stopped only if the event of that stop came before it
 * and the domain does not say that it is paused. What that gives up: somebody who resumes a domain and pauses
 * it again within the few milliseconds that an event takes is not noticed.
 *
 * Who changes the domain's memory while it is paused (lease_pause_exclusive) cannot wait for that question, which takes as
 * long as libvirt likes. Such a pause is watched: there the event is passed on as it comes. That a stale one ends the
 * scan is the lesser evil. As nobody would tell of a resume while the connection to libvirt is broken, the peer's breaks
 * with it, which the guard notices at once.
 */
#include "qmp/virt/bridge_peer.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "qmp/virt/bridge_command.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES (1U << 20)
#define GREETING                                                                                          \
        "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":0,\"minor\":0,\"major\":0},\"package\":\"libvirt\"}," \
        "\"capabilities\":[]}}"

/* Events */

static int send_object(struct bridge_peer *peer, struct json_object *object)
{
        int r = wire_queue(&peer->wire, object);

        json_object_put(object);
        if (r == 0)
                r = wire_flush(&peer->wire, NULL);
        return r < 0 ? r : 0;
}

static int send_event(struct bridge_peer *peer, const char *name)
{
        struct json_object *object = json_object_new_object();
        struct json_object *stamp = json_object_new_object();
        struct timespec now = {0};

        (void)clock_gettime(CLOCK_REALTIME, &now);
        json_add_int(stamp, "seconds", now.tv_sec);
        json_add_int(stamp, "microseconds", now.tv_nsec / 1000);
        json_add_text(object, "event", name);
        json_add(object, "timestamp", stamp);
        return send_object(peer, object);
}

static int send_news(struct bridge_peer *peer)
{
        unsigned int news = 0;
        bool is_to_be_asked = false;
        uint64_t count = 0;
        int r = 0;

        (void)!read(peer->wake_fd, &count, sizeof(count));
        (void)pthread_mutex_lock(&peer->mutex);
        news = peer->news;
        is_to_be_asked = peer->has_stopped && !peer->is_watched;
        peer->news = 0;
        (void)pthread_mutex_unlock(&peer->mutex);
        if (!peer->has_negotiated)
                return 0;
        if (news & BRIDGE_NEWS_STOPPED)
                r = send_event(peer, "STOP");
        if (r == 0 && news & BRIDGE_NEWS_RESUMED && !(is_to_be_asked && bridge_command_is_paused(peer)))
                r = send_event(peer, "RESUME");
        if (r == 0 && news & BRIDGE_NEWS_ENDED)
                r = send_event(peer, "SHUTDOWN");
        return r;
}

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

static bool is_watched(struct bridge_peer *peer)
{
        bool watched = false;

        (void)pthread_mutex_lock(&peer->mutex);
        watched = peer->is_watched;
        (void)pthread_mutex_unlock(&peer->mutex);
        return watched;
}

static int serve(struct bridge_peer *peer, struct json_object *request)
{
        struct json_object *answer = json_object_new_object();
        struct json_object *id = NULL;
        int r = bridge_command_execute(peer, request, answer);

        if (json_object_object_get_ex(request, "id", &id))
                json_add(answer, "id", json_object_get(id));
        /*
         * What happened before the answer is told before it. Not where somebody may have resumed the domain between our
         * stop and the answer to it: the guard takes no notice of what comes before the answer.
         */
        if (r == 0 && !is_watched(peer))
                r = send_news(peer);
        if (r < 0)
                json_object_put(answer);
        return r < 0 ? r : send_object(peer, answer);
}

static void wait_for_something(const struct bridge_peer *peer)
{
        struct pollfd pollfds[] = {
                {.fd = peer->wire.fd,
                 .events = (short)(wire_has_output(&peer->wire) ? POLLIN | POLLOUT : POLLIN)},
                {.fd = peer->wake_fd, .events = POLLIN},
        };

        (void)poll(pollfds, ARRAY_SIZE(pollfds), -1);
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

void bridge_peer_run(struct bridge_peer *peer)
{
        int r = send_object(peer, json_tokener_parse(GREETING));

        while (r >= 0) {
                struct json_object *request = NULL;

                r = wire_next(&peer->wire, &request, NULL);
                if (r == WIRE_E_END)
                        return;
                if (r == 0)
                        r = serve(peer, request);
                else if (r == WIRE_E_NOTHING)
                        r = send_news(peer);
                json_object_put(request);
                if (r >= 0 && wire_has_output(&peer->wire) && wire_flush(&peer->wire, NULL) < 0)
                        return;
                if (r >= 0 && !request)
                        wait_for_something(peer);
        }
}
