/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain that looks like a QMP connection.
 *
 * Each connection has a thread, which waits for commands and carries them out (bridge_command.c) by calls of
 * libvirt that block: so one domain that hangs holds up no other.
 *
 * Events. libvirt sends them independently of replies: the event of a resume may come after the reply to the
 * next stop. Taken for somebody else's resume it would make the pause machine leave the domain paused. So an
 * event "resumed" counts for a domain that this peer has stopped only if the event of that stop came before
 * it and the domain does not say that it is paused. What that gives up: somebody who resumes a domain and
 * pauses it again within the few milliseconds that an event takes is not noticed.
 *
 * A caller that changes the domain's memory while it is paused (lease_pause_exclusive) cannot wait for that
 * question, which takes as long as libvirt likes. Such a pause is watched: the event is passed on as it
 * comes. A stale event then ends the scan without need, which is the lesser evil. While the connection to
 * libvirt is broken, nobody would tell of a resume; so the peer's own connection breaks with it, and the
 * guard notices at once.
 */
#include "qmp/virt/bridge_serve.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "qmp/virt/bridge_command.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

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
         * What happened before the answer is told before it. Not where somebody may have resumed the domain
         * between our stop and the answer to it: the guard takes no notice of what comes before the answer.
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

void bridge_serve(struct bridge_peer *peer)
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
