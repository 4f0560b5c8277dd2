/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client sends nothing that depends on what it hears, so a script written ahead into the socket is a
 * server. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "qmp/client.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define GREETING  "{\"QMP\":{\"version\":{},\"capabilities\":[\"oob\"]}}\n"
#define HANDSHAKE GREETING "{\"return\":{},\"id\":1}\n{\"return\":{},\"id\":2}\n"
#define SHORT     (50 * USEC_PER_MSEC)

static struct qmp_client *client;
static int other = -1;
static struct failure failure;

/* Connects to a server that says @script whatever it is asked. */
static int begin(const char *script)
{
        int pair[2];

        client = NULL;
        failure = (struct failure){0};
        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        other = pair[1];
        CU_ASSERT_EQUAL_FATAL(write(other, script, strlen(script)), (ssize_t)strlen(script));
        return qmp_client_new(pair[0], SHORT, &client, &failure);
}

static void end(void)
{
        qmp_client_free(client);
        client = NULL;
        close_fd(&other);
}

static void expect_failure(int r, int expected, const char *part)
{
        CU_ASSERT_EQUAL(r, expected);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, part));
        if (!strstr(failure.text, part))
                (void)printf("\"%s\" is not in \"%s\"\n", part, failure.text);
}

static void test_handshake(void)
{
        char text[512] = "";

        CU_ASSERT_EQUAL_FATAL(begin(HANDSHAKE), 0);
        CU_ASSERT(read(other, text, sizeof(text) - 1) > 0);
        CU_ASSERT_STRING_EQUAL(text,
                               "{\"execute\":\"qmp_capabilities\",\"id\":1}\n"
                               "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[{"
                               "\"capability\":\"events\",\"state\":true}]},\"id\":2}\n");
        end();
}

static void test_old_qemu_without_events(void)
{
        CU_ASSERT_EQUAL(begin(GREETING "{\"return\":{},\"id\":1}\n"
                                       "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"},\"id\":2}\n"),
                        0);
        end();
}

static void test_bad_greetings(void)
{
        static const struct {
                const char *script;
                int error;
                const char *part;
        } cases[] = {
                {"", -ETIMEDOUT, "another client probably holds the socket"},
                {"SSH-2.0-OpenSSH_9.2\r\n", -EBADMSG, "no JSON object"},
                {"{\"hello\":1}\n", -EBADMSG, "not a QMP socket"},
                {GREETING, -ETIMEDOUT, "did not answer within 0.1 s (qmp_capabilities)"},
                {GREETING "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"unknown\"},\"id\":1}\n",
                 -EREMOTEIO, "QEMU refused qmp_capabilities: unknown (CommandNotFound)"},
                {GREETING "{\"id\":1}\n", -EBADMSG, "neither a return nor an error"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                expect_failure(begin(cases[i].script), cases[i].error, cases[i].part);
                end();
        }
}

/* A server that says @script and closes. */
static int begin_and_close(const char *script)
{
        int pair[2];

        failure = (struct failure){0};
        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        CU_ASSERT_EQUAL_FATAL(write(pair[1], script, strlen(script)), (ssize_t)strlen(script));
        (void)shutdown(pair[1], SHUT_WR);
        other = pair[1];
        return qmp_client_new(pair[0], SHORT, &client, &failure);
}

static void test_closes(void)
{
        expect_failure(begin_and_close(""), -ECONNRESET, "closed the connection before the greeting");
        end();
        expect_failure(begin_and_close("{\"QMP\":"), -EBADMSG, "middle of a line");
        end();
        expect_failure(begin_and_close(GREETING), -ECONNRESET,
                       "closed the connection before qmp_capabilities");
        end();
}

static void test_execute(void)
{
        struct json_object *reply = NULL;

        CU_ASSERT_EQUAL_FATAL(begin(HANDSHAKE
                                    "{\"event\":\"STOP\"}\n{\"return\":{\"late\":1},\"id\":2}\n"
                                    "{\"return\":{\"status\":\"running\"},\"id\":3}\n"
                                    "{\"error\":{\"class\":\"GenericError\",\"desc\":\"bad \\u001b\"},"
                                    "\"id\":4}\n"),
                              0);
        CU_ASSERT_EQUAL_FATAL(qmp_client_execute(client, "query-status", NULL, &reply, &failure), 0);
        CU_ASSERT_STRING_EQUAL(json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN),
                               "{\"status\":\"running\"}");
        json_object_put(reply);
        expect_failure(qmp_client_execute(client, "x", NULL, NULL, &failure), -EREMOTEIO,
                       "QEMU refused x: bad ? (GenericError)");
        expect_failure(qmp_client_execute(client, "x", NULL, NULL, &failure), -ETIMEDOUT, "did not answer");
        end();
}

static void test_events(void)
{
        struct qmp_events events;

        CU_ASSERT_EQUAL_FATAL(begin(HANDSHAKE "{\"event\":\"STOP\"}\n{\"event\":\"MIGRATION\"}\n"
                                              "{\"event\":7}\n{\"return\":{},\"id\":3}\n"
                                              "{\"event\":\"RESUME\"}\n{\"event\":\"SHUTDOWN\"}\n"
                                              "{\"return\":{},\"id\":4}\n"),
                              0);
        CU_ASSERT_EQUAL(qmp_client_execute(client, "a", NULL, NULL, NULL), 0);
        events = qmp_client_take_events(client);
        CU_ASSERT(events.stop && events.migration && !events.resume && !events.shutdown);
        CU_ASSERT_EQUAL(qmp_client_execute(client, "b", NULL, NULL, NULL), 0);
        events = qmp_client_take_events(client);
        CU_ASSERT(!events.stop && !events.migration && events.resume && events.shutdown);
        end();
}

static void test_monitor(void)
{
        char *text = NULL;

        CU_ASSERT_EQUAL_FATAL(
                begin(HANDSHAKE "{\"return\":\"hello\\r\\n\",\"id\":3}\n{\"return\":{},\"id\":4}\n"), 0);
        CU_ASSERT_EQUAL_FATAL(qmp_client_hmp(client, "info version", &text, &failure), 0);
        CU_ASSERT_STRING_EQUAL(text, "hello\r\n");
        free(text);
        expect_failure(qmp_client_hmp(client, "info version", &text, &failure), -EBADMSG, "is no text");
        end();
}

static void test_reclaim(void)
{
        CU_ASSERT_EQUAL_FATAL(begin(HANDSHAKE "OP\"}\n{\"return\":{},\"id\":3}\n"), 0);
        qmp_client_reclaim(client);
        CU_ASSERT_EQUAL(qmp_client_execute(client, "a", NULL, NULL, &failure), 0);
        end();
}

/* Sockets in the file system */

static char folder[] = "/tmp/samepage-client-XXXXXX";

static struct sockaddr_un make_address(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        CU_ASSERT_FATAL(strlen(path) < sizeof(address.sun_path));
        memcpy(address.sun_path, path, strlen(path) + 1);
        return address;
}

static int make_server(const char *path, int backlog)
{
        struct sockaddr_un address = make_address(path);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        if (backlog >= 0)
                CU_ASSERT_EQUAL_FATAL(listen(fd, backlog), 0);
        return fd;
}

static int try_connect(const char *path)
{
        failure = (struct failure){0};
        return qmp_client_connect(path, SHORT, &client, &failure);
}

static void test_connect(void)
{
        char path[128];
        int fd = -1;
        int waiting[8];

        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
        (void)snprintf(path, sizeof(path), "%s/s", folder);
        expect_failure(try_connect(path), -ENOENT, "no such socket");
        expect_failure(try_connect("/missing/folder/s"), -ENOENT, "no such socket");
        expect_failure(try_connect(folder), -ENOTSOCK, "not a socket");
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        close_fd(&fd);
        expect_failure(try_connect(path), -ENOTSOCK, "not a socket");
        (void)unlink(path);
        fd = make_server(path, -1);
        expect_failure(try_connect(path), -ECONNREFUSED, "nobody listens");
        close_fd(&fd);
        expect_failure(try_connect(path), -ECONNREFUSED, "nobody listens");
        (void)unlink(path);
        fd = make_server(path, 0);
        expect_failure(try_connect(path), -ETIMEDOUT, "no greeting");
        /* The kernel keeps the backlog + 1 connections that nobody accepts. */
        for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
                struct sockaddr_un address = make_address(path);

                waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                (void)connect(waiting[i], (const struct sockaddr *)&address, sizeof(address));
        }
        expect_failure(try_connect(path), -ETIMEDOUT, "took no connection within");
        for (size_t i = 0; i < ARRAY_SIZE(waiting); i++)
                close_fd(&waiting[i]);
        close_fd(&fd);
        (void)unlink(path);
        (void)rmdir(folder);
}

static void test_long_path(void)
{
        char name[] = "/tmp/samepage-client-XXXXXX";
        char path[1024];
        char server[256];
        size_t length = 0;
        int fd = -1;

        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(name));
        (void)snprintf(server, sizeof(server), "%s/s", name);
        fd = make_server(server, 1);
        length = (size_t)snprintf(path, sizeof(path), "%s", name);
        while (length < 500)
                length += (size_t)snprintf(path + length, sizeof(path) - length, "/./.");
        (void)snprintf(path + length, sizeof(path) - length, "/s");
        expect_failure(try_connect(path), -ETIMEDOUT, "no greeting");
        close_fd(&fd);
        (void)unlink(server);
        (void)rmdir(name);
}

static const struct unit_test tests[] = {
        {"greeting, capabilities, events", test_handshake},
        {"a QEMU without the capability events will do", test_old_qemu_without_events},
        {"bad greetings", test_bad_greetings},
        {"a server that closes half-way", test_closes},
        {"commands, replies, errors, late replies", test_execute},
        {"events are noted once", test_events},
        {"the human monitor", test_monitor},
        {"half a line of the one who had it before", test_reclaim},
        {"missing, no socket, nobody there, no greeting, backlog full", test_connect},
        {"a path longer than a socket address", test_long_path},
};
UNIT_MAIN("qmp/client", tests)
