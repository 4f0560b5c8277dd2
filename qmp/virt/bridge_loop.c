/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the bridge's process does: takes connections from its control socket and gives each a thread, and
 * hands libvirt's events to the connections that they are about. It ends when the control socket and all
 * connections are closed.
 */
#include "base/cleanup.h"
#include "base/passing.h"
#include "qmp/virt/bridge.h"
#include "qmp/virt/bridge_link.h"
#include "qmp/virt/bridge_peer.h"
#include "qmp/virt/bridge_proto.h"
#include "qmp/virt/bridge_serve.h"
#include "qmp/virt/virt_load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* One for each domain, those that are closing, and the host's. */
#define PEERS_MAX (2UL * BRIDGE_DOMAINS_MAX)
/* libvirt's calls with TLS below them; a thousand threads of the usual 8 MiB would exceed many a limit. */
#define STACK_BYTES (512U << 10)

struct loop {
        struct bridge_link link;
        bool use_monitor;
        pthread_mutex_t mutex; /* over what follows */
        pthread_cond_t has_changed;
        struct bridge_peer *peers[PEERS_MAX];
        size_t count;
};

struct served {
        struct loop *loop;
        struct bridge_peer peer;
};

bridge_run_fn bridge_loop_run;

static int on_event(virConnectPtr connection, virDomainPtr domain, int event, int detail, void *context)
{
        struct loop *loop = context;
        char uuid[VIR_UUID_STRING_BUFLEN] = "";

        (void)connection;
        (void)detail;
        if (virDomainGetUUIDString(domain, uuid) < 0)
                return 0;
        (void)pthread_mutex_lock(&loop->mutex);
        for (size_t i = 0; i < loop->count; i++)
                if (strcmp(loop->peers[i]->uuid, uuid) == 0)
                        bridge_peer_note_event(loop->peers[i], event);
        (void)pthread_mutex_unlock(&loop->mutex);
        return 0;
}

static void on_reconnect(void *context)
{
        struct loop *loop = context;

        (void)pthread_mutex_lock(&loop->mutex);
        for (size_t i = 0; i < loop->count; i++)
                bridge_peer_note_reconnect(loop->peers[i]);
        (void)pthread_mutex_unlock(&loop->mutex);
}

static void on_lost(void *context)
{
        struct loop *loop = context;

        (void)pthread_mutex_lock(&loop->mutex);
        for (size_t i = 0; i < loop->count; i++)
                bridge_peer_note_lost(loop->peers[i]);
        (void)pthread_mutex_unlock(&loop->mutex);
}

static bool add(struct loop *loop, struct bridge_peer *peer)
{
        bool has_room = false;

        (void)pthread_mutex_lock(&loop->mutex);
        has_room = loop->count < PEERS_MAX;
        if (has_room)
                loop->peers[loop->count++] = peer;
        (void)pthread_mutex_unlock(&loop->mutex);
        return has_room;
}

static void drop(struct loop *loop, const struct bridge_peer *peer)
{
        (void)pthread_mutex_lock(&loop->mutex);
        for (size_t i = 0; i < loop->count; i++)
                if (loop->peers[i] == peer) {
                        loop->peers[i] = loop->peers[--loop->count];
                        break;
                }
        (void)pthread_cond_signal(&loop->has_changed);
        (void)pthread_mutex_unlock(&loop->mutex);
}

static void *run_peer(void *context)
{
        struct served *served = context;

        bridge_serve(&served->peer);
        drop(served->loop, &served->peer);
        bridge_peer_deinit(&served->peer);
        free(served);
        return NULL;
}

static int start_thread(struct served *served)
{
        pthread_attr_t attributes;
        pthread_t thread;
        int r = pthread_attr_init(&attributes);

        if (r != 0)
                return -r;
        (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
        (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        r = pthread_create(&thread, &attributes, run_peer, served);
        (void)pthread_attr_destroy(&attributes);
        return -r;
}

/* Takes @fd. One that cannot be served is closed, which its other end notices. */
static void take_request(struct loop *loop, const struct bridge_request *request, int fd)
{
        struct served *served = calloc(1, sizeof(*served));

        if (!served) {
                (void)close(fd);
                return;
        }
        served->loop = loop;
        if (bridge_peer_init(&served->peer, fd, request, &loop->link, loop->use_monitor) == 0 &&
            add(loop, &served->peer)) {
                if (start_thread(served) == 0)
                        return;
                drop(loop, &served->peer);
        }
        bridge_peer_deinit(&served->peer);
        free(served);
}

/* Returns false when the scan is gone. */
static bool receive_request(struct loop *loop, int control_fd)
{
        struct bridge_request request = {0};
        CLEANUP_CLOSE int fd = -1;
        ssize_t got = passing_receive(control_fd, &request, sizeof(request), 0, &fd);

        if (got == (ssize_t)sizeof(request) && fd >= 0)
                take_request(loop, &request, TAKE_FD(fd));
        return got < 0 ? got == -EINTR : got != 0;
}

static void wait_for_peers(struct loop *loop)
{
        (void)pthread_mutex_lock(&loop->mutex);
        while (loop->count > 0)
                (void)pthread_cond_wait(&loop->has_changed, &loop->mutex);
        (void)pthread_mutex_unlock(&loop->mutex);
}

VIRT_EXPORT void bridge_loop_run(int control_fd, const char *uri, bool use_monitor)
{
        struct loop *loop = calloc(1, sizeof(*loop));

        if (!loop)
                return;
        loop->use_monitor = use_monitor;
        (void)pthread_mutex_init(&loop->mutex, NULL);
        (void)pthread_cond_init(&loop->has_changed, NULL);
        if (bridge_link_init(&loop->link, uri, on_event, on_reconnect, on_lost, loop) < 0)
                return;
        while (receive_request(loop, control_fd))
                ;
        close_fd(&control_fd);
        /* What the threads and libvirt's own still refer to goes with the process. */
        wait_for_peers(loop);
}
