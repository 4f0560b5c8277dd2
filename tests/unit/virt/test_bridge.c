/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bridge with libvirt's test driver, which lives in the bridge's process: other connections to the same
 * bridge stand for other users of libvirt. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "qmp/pause/pause.h"
#include "qmp/virt/bridge.h"
#include "qmp/virt/bridge_proto.h"
#include "with_pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_DOMAIN "00000000-1111-2222-3333-444444444444"
#define WAIT_USEC (5 * USEC_PER_SEC)

static struct bridge *bridge;
static char uuid[BRIDGE_UUID_BYTES];
static struct failure failure;

static void begin(void)
{
        struct bridge_domains domains = {0};

        failure = (struct failure){0};
        bridge = NULL;
        CU_ASSERT_EQUAL_FATAL(bridge_start("test:///default", false, &bridge, &failure), 0);
        CU_ASSERT_EQUAL_FATAL(bridge_list(bridge, WAIT_USEC, &domains, &failure), 0);
        CU_ASSERT_EQUAL_FATAL(domains.count, 1);
        CU_ASSERT_STRING_EQUAL(domains.domains[0].name, "test");
        (void)snprintf(uuid, sizeof(uuid), "%s", domains.domains[0].uuid);
        bridge_domains_deinit(&domains);
}

static struct qmp_client *open_client(void)
{
        struct qmp_client *client = NULL;

        CU_ASSERT_EQUAL_FATAL(bridge_connect(bridge, uuid, WAIT_USEC, &client, &failure), 0);
        return client;
}

static void execute(struct qmp_client *client, const char *command)
{
        CU_ASSERT_EQUAL(qmp_client_execute(client, command, NULL, NULL, &failure), 0);
}

/* Whether the string under @key of the reply is @value. */
static void expect(struct qmp_client *client, const char *command, const char *key, const char *value)
{
        struct json_object *reply = NULL;
        struct json_object *found = NULL;

        CU_ASSERT_EQUAL_FATAL(qmp_client_execute(client, command, NULL, &reply, &failure), 0);
        CU_ASSERT_EQUAL(json_object_object_get_ex(reply, key, &found), value != NULL);
        if (value && found)
                CU_ASSERT_STRING_EQUAL(json_object_get_string(found), value);
        json_object_put(reply);
}

static void test_queries(void)
{
        struct qmp_client *client = NULL;

        begin();
        client = open_client();
        expect(client, "query-status", "status", "running");
        expect(client, "query-migrate", "status", NULL);
        expect(client, "query-name", "name", "test");
        expect(client, "query-uuid", "UUID", uuid);
        expect(client, BRIDGE_QUERY_DOMAIN, "name", "test");
        expect(client, BRIDGE_QUERY_DOMAIN, "blocks",
               "[ { \"id\": \"ram\", \"size\": 8589934592, \"kind\": 1, \"sharing\": 0 } ]");
        qmp_client_free(client);
        bridge_free(bridge);
}

static void test_stop_and_cont(void)
{
        struct qmp_client *client = NULL;

        begin();
        client = open_client();
        execute(client, "stop");
        expect(client, "query-status", "status", "paused");
        execute(client, "stop");
        execute(client, "cont");
        execute(client, "cont");
        expect(client, "query-status", "status", "running");
        qmp_client_free(client);
        bridge_free(bridge);
}

static void test_unknown_commands(void)
{
        static const char *const commands[] = {"quit",
                                               "system_reset",
                                               "qom-list",
                                               "query-memdev",
                                               "query-memory-devices",
                                               "human-monitor-command",
                                               BRIDGE_LIST_DOMAINS,
                                               ""};
        struct qmp_client *client = NULL;

        begin();
        client = open_client();
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
                CU_ASSERT_EQUAL(qmp_client_execute(client, commands[i], NULL, NULL, &failure), -EREMOTEIO);
                CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "CommandNotFound"));
        }
        expect(client, "query-status", "status", "running");
        qmp_client_free(client);
        bridge_free(bridge);
}

static void test_unknown_domain(void)
{
        struct qmp_client *client = NULL;

        begin();
        CU_ASSERT_EQUAL(bridge_connect(bridge, NO_DOMAIN, WAIT_USEC, &client, &failure), -EREMOTEIO);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "libvirt: Domain not found"));
        CU_ASSERT_EQUAL(bridge_connect(bridge, "short", WAIT_USEC, &client, &failure), -EINVAL);
        bridge_free(bridge);
}

static void test_unreachable(void)
{
        struct bridge_domains domains = {0};

        bridge = NULL;
        CU_ASSERT_EQUAL_FATAL(bridge_start("test:///nonexistent/file.xml", false, &bridge, &failure), 0);
        CU_ASSERT_EQUAL(bridge_list(bridge, WAIT_USEC, &domains, &failure), -EREMOTEIO);
        CU_ASSERT_PTR_NOT_NULL(
                strstr(failure.text, "cannot connect to libvirt at test:///nonexistent/file.xml"));
        bridge_free(bridge);
}

/* Asks until the events of @client have come that @wanted names. */
static struct qmp_events wait_events(struct qmp_client *client, bool resume)
{
        struct qmp_events all = {0};
        const uint64_t end_usec = clock_now_usec() + WAIT_USEC;

        while (clock_now_usec() < end_usec && !(resume ? all.resume : all.stop)) {
                struct qmp_events events;

                execute(client, "query-uuid");
                events = qmp_client_take_events(client);
                all.stop |= events.stop;
                all.resume |= events.resume;
                (void)usleep(1000);
        }
        return all;
}

static void test_events_of_others(void)
{
        struct qmp_client *client = NULL;
        struct qmp_client *other = NULL;

        begin();
        client = open_client();
        other = open_client();
        execute(other, "stop");
        CU_ASSERT_TRUE(wait_events(client, false).stop);
        execute(other, "cont");
        CU_ASSERT_TRUE(wait_events(client, true).resume);
        /* Somebody resumes what this one stopped. */
        execute(client, "stop");
        CU_ASSERT_TRUE(wait_events(client, false).stop);
        execute(other, "cont");
        CU_ASSERT_TRUE(wait_events(client, true).resume);
        qmp_client_free(other);
        qmp_client_free(client);
        bridge_free(bridge);
}

static enum pause_outcome run_machine(struct pause *machine)
{
        struct pause *machines[] = {machine};

        pause_finish_all(machines, 1, clock_now_usec() + WAIT_USEC);
        return machine->outcome;
}

/* The pause machine of the guard on a domain. */
static void test_pause(void)
{
        struct qmp_client *client = NULL;
        struct pause machine;

        begin();
        client = open_client();
        for (int i = 0; i < 20; i++) {
                int fd = fcntl(qmp_client_get_fd(client), F_DUPFD_CLOEXEC, 3);
                const uint64_t end_usec = clock_now_usec() + WAIT_USEC;

                CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, fd, &failure), 0);
                while (machine.phase != PAUSE_PHASE_PAUSED && clock_now_usec() < end_usec) {
                        (void)pause_process(&machine);
                        if (machine.phase == PAUSE_PHASE_READY)
                                pause_stop(&machine);
                        (void)usleep(100);
                }
                pause_end(&machine);
                CU_ASSERT_EQUAL(run_machine(&machine), PAUSE_OUTCOME_RESUMED);
                pause_deinit(&machine);
        }
        expect(client, "query-status", "status", "running");
        qmp_client_free(client);
        bridge_free(bridge);
}

/* Whoever takes over resets the parser in the middle of a line. */
static void test_adopt(void)
{
        struct qmp_client *client = NULL;
        struct pause machine;
        int fd = -1;

        begin();
        client = open_client();
        execute(client, "stop");
        fd = fcntl(qmp_client_get_fd(client), F_DUPFD_CLOEXEC, 3);
        CU_ASSERT_EQUAL(write(fd, "{\"execute\":\"st", 14), 14);
        CU_ASSERT_EQUAL_FATAL(pause_adopt(&machine, fd, &failure), 0);
        CU_ASSERT_EQUAL(run_machine(&machine), PAUSE_OUTCOME_RESUMED);
        pause_deinit(&machine);
        expect(client, "query-status", "status", "running");
        qmp_client_free(client);
        bridge_free(bridge);
}

static bool is_bridge(const char *pid)
{
        char path[300];
        char name[32] = "";
        CLEANUP_CLOSE int fd = -1;

        (void)snprintf(path, sizeof(path), "/proc/%s/comm", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd >= 0 && read(fd, name, sizeof(name) - 1) > 0 && strcmp(name, "samepage-virt\n") == 0;
}

/* The bridge of this process, by its parent; 0 without one. */
static pid_t find_bridge(void)
{
        char path[64];
        char text[256] = "";
        CLEANUP_CLOSE int fd = -1;

        (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
                return 0;
        for (char *state = NULL, *word = strtok_r(text, " ", &state); word;
             word = strtok_r(NULL, " ", &state))
                if (is_bridge(word))
                        return (pid_t)strtol(word, NULL, 10);
        return 0;
}

static bool is_gone(pid_t pid)
{
        const uint64_t end_usec = clock_now_usec() + WAIT_USEC;

        while (clock_now_usec() < end_usec) {
                if (waitpid(pid, NULL, WNOHANG) == pid)
                        return true;
                (void)usleep(1000);
        }
        return false;
}

/* It outlives the scan for as long as somebody holds a domain, and no longer. */
static void test_lifetime(void)
{
        struct qmp_client *client = NULL;
        struct pause machine;
        pid_t pid = 0;
        int fd = -1;

        begin();
        pid = find_bridge();
        CU_ASSERT_NOT_EQUAL_FATAL(pid, 0);
        client = open_client();
        fd = fcntl(qmp_client_get_fd(client), F_DUPFD_CLOEXEC, 3);
        execute(client, "stop");
        qmp_client_free(client);
        bridge_free(bridge);
        CU_ASSERT_EQUAL(kill(pid, 0), 0);
        CU_ASSERT_EQUAL_FATAL(pause_adopt(&machine, fd, &failure), 0);
        CU_ASSERT_EQUAL(run_machine(&machine), PAUSE_OUTCOME_RESUMED);
        CU_ASSERT_EQUAL(kill(pid, 0), 0);
        pause_deinit(&machine);
        CU_ASSERT_TRUE(is_gone(pid));
}

/* Clients that vanish, send garbage or never read end themselves only. */
static void test_bad_clients(void)
{
        struct qmp_client *good = NULL;

        begin();
        good = open_client();
        for (int i = 0; i < 20; i++) {
                struct qmp_client *bad = open_client();
                int fd = qmp_client_get_fd(bad);
                static const char *const texts[] = {"garbage\n", "{\"execute\":", "{\"execute\":\"stop\"}\n",
                                                    "[[[[[[[[[[[[\n", "{\"execute\":7}\n{}\n"};
                const char *text = texts[(size_t)i % ARRAY_SIZE(texts)];

                CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
                qmp_client_free(bad);
        }
        execute(good, "cont");
        expect(good, "query-uuid", "UUID", uuid);
        qmp_client_free(good);
        bridge_free(bridge);
}

static void test_killed(void)
{
        struct qmp_client *client = NULL;
        struct bridge_domains domains = {0};

        begin();
        client = open_client();
        CU_ASSERT_EQUAL_FATAL(kill(find_bridge(), SIGTERM), 0);
        execute(client, "query-uuid");
        CU_ASSERT_EQUAL_FATAL(kill(find_bridge(), SIGKILL), 0);
        CU_ASSERT_EQUAL(qmp_client_execute(client, "stop", NULL, NULL, &failure), -ECONNRESET);
        CU_ASSERT_TRUE(bridge_list(bridge, WAIT_USEC, &domains, &failure) < 0);
        qmp_client_free(client);
        bridge_free(bridge);
}

static void test_addresses(void)
{
        CLEANUP_FREE char *address = NULL;
        CLEANUP_FREE char *found = NULL;
        struct qmp_client *client = NULL;
        struct bridge *other = NULL;
        const struct bridge *first = NULL;

        begin();
        address = bridge_format_address(bridge, uuid);
        if (!address) {
                CU_FAIL("no memory");
                return;
        }
        CU_ASSERT_TRUE(strncmp(address, "libvirt:test:///default#", 24) == 0);
        CU_ASSERT_TRUE(bridge_is_address(address));
        CU_ASSERT_FALSE(bridge_is_address("/run/a#b"));
        CU_ASSERT_EQUAL(bridge_connect_address("/run/a#b", WAIT_USEC, &other, &found, &client, &failure),
                        -EINVAL);
        for (int i = 0; i < 2; i++) {
                CU_ASSERT_EQUAL_FATAL(
                        bridge_connect_address(address, WAIT_USEC, &other, &found, &client, &failure), 0);
                CU_ASSERT_TRUE(found && strcmp(found, uuid) == 0);
                expect(client, "query-status", "status", "running");
                qmp_client_free(client);
                free(TAKE_PTR(found));
                first = first ? first : other;
        }
        CU_ASSERT_PTR_EQUAL(other, first);
        bridge_free(other);
        bridge_free(bridge);
}

static const struct unit_test tests[] = {
        {"queries", test_queries},
        {"stop and cont", test_stop_and_cont},
        {"unknown commands", test_unknown_commands},
        {"unknown domain", test_unknown_domain},
        {"unreachable", test_unreachable},
        {"events of others", test_events_of_others},
        {"pause", test_pause},
        {"adopt", test_adopt},
        {"lifetime", test_lifetime},
        {"bad clients", test_bad_clients},
        {"killed", test_killed},
        {"addresses", test_addresses},
};

UNIT_MAIN_WITH_PIDFD("qmp/bridge", tests)
