/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection of the bridge, with events that come when the test wants. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "qmp/virt/bridge_peer.h"
#include "qmp/virt/bridge_serve.h"
#include "qmp/virt/bridge_state.h"
#include "unit.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MSEC  5000
#define QUIET_MSEC 50

static struct bridge_link virt;
static struct bridge_peer peer;
static pthread_t thread;
static FILE *other;
static char line[4096];

static int on_event(virConnectPtr connection, virDomainPtr domain, int event, int detail, void *context)
{
        (void)connection;
        (void)domain;
        (void)event;
        (void)detail;
        (void)context;
        return 0;
}

static void on_reconnect(void *context)
{
        (void)context;
}

static void on_lost(void *context)
{
        (void)context;
}

static void *run_peer(void *context)
{
        (void)context;
        bridge_serve(&peer);
        return NULL;
}

static bool has_line(int msec)
{
        struct pollfd pollfd = {.fd = fileno(other), .events = POLLIN};

        return poll(&pollfd, 1, msec) > 0;
}

/* The next line has to hold @text. */
static void expect(const char *text)
{
        CU_ASSERT_TRUE_FATAL(has_line(WAIT_MSEC));
        CU_ASSERT_PTR_NOT_NULL_FATAL(fgets(line, sizeof(line), other));
        CU_ASSERT_PTR_NOT_NULL(strstr(line, text));
}

static void say(const char *command, const char *answer)
{
        CU_ASSERT_TRUE(dprintf(fileno(other), "{\"execute\":\"%s\",\"id\":\"i\"}\n", command) > 0);
        expect(answer);
}

/* The domain of the test driver, as somebody else uses it: by the connection that the peer shares. */
static void act(int (*action)(virDomainPtr domain))
{
        virConnectPtr connection = NULL;
        virDomainPtr domain = NULL;

        CU_ASSERT_EQUAL_FATAL(bridge_link_get(&virt, &connection, NULL), 0);
        domain = virDomainLookupByName(connection, "test");
        CU_ASSERT_EQUAL(action(domain), 0);
        (void)virDomainFree(domain);
        (void)virConnectClose(connection);
}

static char uuid[BRIDGE_UUID_BYTES];

static int take_uuid(virDomainPtr domain)
{
        return virDomainGetUUIDString(domain, uuid);
}

static void begin(void)
{
        struct bridge_request request = {0};
        int pair[2];

        act(take_uuid);
        memcpy(request.uuid, uuid, sizeof(request.uuid));
        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        other = fdopen(pair[0], "r+");
        CU_ASSERT_PTR_NOT_NULL_FATAL(other);
        (void)setvbuf(other, NULL, _IONBF, 0);
        CU_ASSERT_EQUAL_FATAL(bridge_peer_init(&peer, pair[1], &request, &virt, false), 0);
        CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run_peer, NULL), 0);
        expect("\"QMP\"");
}

static void end(void)
{
        (void)fclose(other);
        (void)pthread_join(thread, NULL);
        bridge_peer_deinit(&peer);
}

/* A stop, and its event. */
static void stop(void)
{
        say("stop", "\"return\"");
        bridge_peer_note_event(&peer, VIR_DOMAIN_EVENT_SUSPENDED);
        expect("\"STOP\"");
}

static void test_before_negotiation(void)
{
        begin();
        bridge_peer_note_event(&peer, VIR_DOMAIN_EVENT_SUSPENDED);
        say("query-status", "CommandNotFound");
        say("qmp_capabilities", "\"return\"");
        say("query-status", "\"running\"");
        end();
}

static void test_events(void)
{
        begin();
        say("qmp_capabilities", "\"return\"");
        bridge_peer_note_event(&peer, VIR_DOMAIN_EVENT_SUSPENDED);
        expect("\"STOP\"");
        bridge_peer_note_event(&peer, VIR_DOMAIN_EVENT_RESUMED);
        expect("\"RESUME\"");
        bridge_peer_note_event(&peer, VIR_DOMAIN_EVENT_STOPPED);
        expect("\"SHUTDOWN\"");
        bridge_peer_note_event(&peer, VIR_DOMAIN_EVENT_DEFINED);
        CU_ASSERT_FALSE(has_line(QUIET_MSEC));
        end();
}

/* The event of the cont before comes after the reply to this stop. */
static void test_late_event_of_our_own(void)
{
        begin();
        say("qmp_capabilities", "\"return\"");
        say("stop", "\"return\"");
        bridge_peer_note_event(&peer, VIR_DOMAIN_EVENT_RESUMED);
        CU_ASSERT_FALSE(has_line(QUIET_MSEC));
        bridge_peer_note_event(&peer, VIR_DOMAIN_EVENT_SUSPENDED);
        expect("\"STOP\"");
        say("cont", "\"return\"");
        end();
}

/* Somebody's suspend and resume from before the stop: the domain itself tells that this is over. */
static void test_late_events_of_others(void)
{
        begin();
        say("qmp_capabilities", "\"return\"");
        stop();
        bridge_peer_note_event(&peer, VIR_DOMAIN_EVENT_RESUMED);
        CU_ASSERT_FALSE(has_line(QUIET_MSEC));
        say("cont", "\"return\"");
        end();
}

static void test_resumed_by_others(void)
{
        begin();
        say("qmp_capabilities", "\"return\"");
        stop();
        act(virDomainResume);
        bridge_peer_note_event(&peer, VIR_DOMAIN_EVENT_RESUMED);
        expect("\"RESUME\"");
        say("cont", "\"return\"");
        /* The event of the stop was lost with a connection. */
        say("stop", "\"return\"");
        bridge_peer_note_reconnect(&peer);
        act(virDomainResume);
        bridge_peer_note_event(&peer, VIR_DOMAIN_EVENT_RESUMED);
        expect("\"RESUME\"");
        end();
}

/* Under a watched pause the event is told without a question: here the domain would say that it is paused. */
static void test_watched(void)
{
        begin();
        say("qmp_capabilities", "\"return\"");
        say("samepage-watch-domain", "\"return\"");
        stop();
        bridge_peer_note_event(&peer, VIR_DOMAIN_EVENT_RESUMED);
        expect("\"RESUME\"");
        say("cont", "\"return\"");
        /* The next pause is as any other. */
        bridge_peer_note_lost(&peer);
        stop();
        bridge_peer_note_event(&peer, VIR_DOMAIN_EVENT_RESUMED);
        CU_ASSERT_FALSE(has_line(QUIET_MSEC));
        say("cont", "\"return\"");
        end();
}

static void test_watched_and_lost(void)
{
        begin();
        say("qmp_capabilities", "\"return\"");
        say("samepage-watch-domain", "\"return\"");
        say("stop", "\"return\"");
        bridge_peer_note_lost(&peer);
        CU_ASSERT_TRUE(has_line(WAIT_MSEC));
        CU_ASSERT_PTR_NULL(fgets(line, sizeof(line), other));
        end();
        act(virDomainResume);
}

/* The domain is resumed after its stop and before the answer to it: that is told after the answer, when it counts. */
static void test_watched_and_resumed_at_once(void)
{
        begin();
        say("qmp_capabilities", "\"return\"");
        say("samepage-watch-domain", "\"return\"");
        (void)pthread_mutex_lock(&peer.mutex);
        CU_ASSERT_TRUE(dprintf(fileno(other), "{\"execute\":\"query-name\",\"id\":\"i\"}\n") > 0);
        peer.has_stopped = true;
        peer.news = BRIDGE_NEWS_STOPPED | BRIDGE_NEWS_RESUMED;
        (void)pthread_mutex_unlock(&peer.mutex);
        expect("\"return\"");
        expect("\"STOP\"");
        expect("\"RESUME\"");
        end();
}

/* Nobody would tell of a resume. */
static void test_watched_without_events(void)
{
        const int callback_id = virt.callback_id;

        begin();
        say("qmp_capabilities", "\"return\"");
        virt.callback_id = -1;
        say("samepage-watch-domain", "no events");
        virt.callback_id = callback_id;
        say("samepage-watch-domain", "\"return\"");
        end();
}

/* A domain that is started anew is another one. */
static void test_started_anew(void)
{
        begin();
        say("qmp_capabilities", "\"return\"");
        act(virDomainDestroy);
        say("query-status", "does not run");
        act(virDomainCreate);
        say("stop", "started anew");
        end();
        begin();
        say("qmp_capabilities", "\"return\"");
        say("query-status", "\"running\"");
        end();
}

static void test_states(void)
{
        CU_ASSERT_STRING_EQUAL(bridge_state_to_run_state(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_UNPAUSED),
                               "running");
        CU_ASSERT_STRING_EQUAL(bridge_state_to_run_state(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER),
                               "paused");
        for (int reason = VIR_DOMAIN_PAUSED_MIGRATION; reason < VIR_DOMAIN_PAUSED_POSTCOPY_FAILED + 4;
             reason++)
                if (reason != VIR_DOMAIN_PAUSED_FROM_SNAPSHOT)
                        CU_ASSERT_STRING_NOT_EQUAL(bridge_state_to_run_state(VIR_DOMAIN_PAUSED, reason),
                                                   "paused");
        CU_ASSERT_TRUE(bridge_state_is_postcopy(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY));
        CU_ASSERT_TRUE(bridge_state_is_postcopy(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED));
        CU_ASSERT_FALSE(bridge_state_is_postcopy(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER));
        for (int state = -1; state < VIR_DOMAIN_PMSUSPENDED + 3; state++)
                CU_ASSERT_PTR_NOT_NULL(bridge_state_to_run_state(state, 0));
}

static const struct unit_test tests[] = {
        {"before the negotiation", test_before_negotiation},
        {"events", test_events},
        {"a late event of our own", test_late_event_of_our_own},
        {"late events of others", test_late_events_of_others},
        {"resumed by others", test_resumed_by_others},
        {"watched", test_watched},
        {"watched, and libvirt is lost", test_watched_and_lost},
        {"watched, and resumed at once", test_watched_and_resumed_at_once},
        {"watched without events", test_watched_without_events},
        {"started anew", test_started_anew},
        {"states", test_states},
};

int main(void)
{
        if (bridge_link_init(&virt, "test:///default", on_event, on_reconnect, on_lost, NULL) < 0)
                return EXIT_FAILURE;
        return unit_run("qmp/bridge_peer", tests, ARRAY_SIZE(tests));
}
