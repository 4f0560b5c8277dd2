/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real connections to a real control socket, both ends in this process. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/control.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define GREETING   "{\"samepage\":"
#define TURNS      50
#define TEXT_BYTES 65536

struct fixture {
        char folder[64];
        char path[96];
        sd_event *event;
        struct control *control;
        struct control_reply *kept;
        int n_executed;
};

/* Commands: "echo" gives its arguments back, "later" keeps the reply, "fail" fails. */
static int execute(void *context, const struct control_command *command, struct json_object **ret_value,
                   struct failure *failure)
{
        struct fixture *fixture = context;

        fixture->n_executed++;
        if (strcmp(command->name, "echo") == 0) {
                *ret_value = json_object_get(command->arguments);
                return 0;
        }
        if (strcmp(command->name, "answer") == 0) {
                control_reply_send(fixture->kept, json_object_new_int(5), NULL);
                return 0;
        }
        if (strcmp(command->name, "fail") == 0)
                return failure_set(failure, -EIO, "it \"failed\"");
        if (strcmp(command->name, "later") != 0)
                return CONTROL_E_UNKNOWN;
        fixture->kept = command->reply;
        return CONTROL_E_LATER;
}

static int listen_again(struct fixture *fixture, struct control **ret, struct failure *failure)
{
        const struct control_server server = {execute, fixture};

        return control_new(fixture->event, fixture->path, "", &server, ret, failure);
}

static void fixture_init(struct fixture *fixture)
{
        *fixture = (struct fixture){.folder = "/tmp/samepage-control-XXXXXX"};
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(fixture->folder));
        (void)snprintf(fixture->path, sizeof(fixture->path), "%s/control.sock", fixture->folder);
        CU_ASSERT_TRUE_FATAL(sd_event_new(&fixture->event) >= 0);
        CU_ASSERT_EQUAL_FATAL(listen_again(fixture, &fixture->control, NULL), 0);
}

static void fixture_deinit(struct fixture *fixture)
{
        struct stat status;

        control_free(fixture->control);
        sd_event_unref(fixture->event);
        CU_ASSERT_TRUE(lstat(fixture->path, &status) < 0);
        (void)rmdir(fixture->folder);
}

static int connect_client(const struct fixture *fixture)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture->path);
        CU_ASSERT_EQUAL(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
        return fd;
}

static void turn(const struct fixture *fixture)
{
        for (int i = 0; i < TURNS; i++)
                (void)sd_event_run(fixture->event, 0);
}

/* Lets the server work, then gives all that has come (a static text). @ret_ended: whether it closed. */
static const char *receive(const struct fixture *fixture, int fd, bool *ret_ended)
{
        static char text[TEXT_BYTES];
        size_t length = 0;
        ssize_t got = 0;

        turn(fixture);
        while (length + 1 < sizeof(text) && (got = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
                length += (size_t)got;
        text[length] = '\0';
        if (ret_ended)
                *ret_ended = got == 0 || (got < 0 && errno == ECONNRESET);
        return text;
}

static void send_text(int fd, const char *text)
{
        CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static const char *ask(const struct fixture *fixture, int fd, const char *text)
{
        send_text(fd, text);
        return receive(fixture, fd, NULL);
}

static void test_commands(void)
{
        struct fixture fixture;
        int fd = -1;

        fixture_init(&fixture);
        fd = connect_client(&fixture);
        CU_ASSERT_EQUAL(strncmp(receive(&fixture, fd, NULL), GREETING, strlen(GREETING)), 0);
        CU_ASSERT_STRING_EQUAL(
                ask(&fixture, fd, "{\"execute\":\"echo\",\"arguments\":{\"a\":1},\"id\":[\"x\"]}\n"),
                "{\"return\":{\"a\":1},\"id\":[\"x\"]}\n");
        CU_ASSERT_STRING_EQUAL(ask(&fixture, fd, "{\"execute\":\"echo\"}\r\n"), "{\"return\":{}}\n");
        CU_ASSERT_STRING_EQUAL(ask(&fixture, fd, "{\"execute\":\"fail\"}\n"),
                               "{\"error\":{\"class\":\"GenericError\",\"desc\":\"it \\\"failed\\\"\"}}\n");
        CU_ASSERT_PTR_NOT_NULL(
                strstr(ask(&fixture, fd, "{\"execute\":\"nonsense\",\"id\":1}\n"), "CommandNotFound"));
        CU_ASSERT_PTR_NOT_NULL(strstr(ask(&fixture, fd, "{\"id\":7}\n"), "\"id\":7"));
        CU_ASSERT_PTR_NOT_NULL(strstr(ask(&fixture, fd, "{\"execute\":7}\n"), "error"));
        CU_ASSERT_PTR_NOT_NULL(
                strstr(ask(&fixture, fd, "{\"execute\":\"echo\",\"arguments\":[]}\n"), "error"));
        CU_ASSERT_EQUAL(fixture.n_executed, 4);
        (void)close(fd);
        fixture_deinit(&fixture);
}

/* Many lines in one go are all answered, also those that wait in the buffer. */
static void test_pipelining(void)
{
        struct fixture fixture;
        char text[200 * 24] = "";
        size_t n = 0;
        int fd = -1;

        fixture_init(&fixture);
        fd = connect_client(&fixture);
        (void)receive(&fixture, fd, NULL);
        for (int i = 0; i < 200; i++)
                memcpy(text + strlen(text), "{\"execute\":\"echo\"}\n", 20);
        send_text(fd, text);
        /* The server waits for us to read, and goes on. */
        for (int i = 0; i < 20; i++)
                for (const char *c = receive(&fixture, fd, NULL); (c = strstr(c, "return")); c++)
                        n++;
        CU_ASSERT_EQUAL(n, 200);
        (void)close(fd);
        fixture_deinit(&fixture);
}

static void test_replies_that_are_owed(void)
{
        struct fixture fixture;
        bool ended = false;
        int fd = -1;

        fixture_init(&fixture);
        fd = connect_client(&fixture);
        (void)receive(&fixture, fd, NULL);
        /* Nothing more is sent, but the reply is waited for. */
        send_text(fd, "{\"execute\":\"later\",\"id\":1}\n");
        (void)shutdown(fd, SHUT_WR);
        CU_ASSERT_STRING_EQUAL(receive(&fixture, fd, &ended), "");
        CU_ASSERT_FALSE(ended);
        control_reply_send(fixture.kept, json_object_new_int(5), NULL);
        CU_ASSERT_STRING_EQUAL(receive(&fixture, fd, &ended), "{\"return\":5,\"id\":1}\n");
        CU_ASSERT_TRUE(ended);
        (void)close(fd);
        /* The client goes away first. */
        fd = connect_client(&fixture);
        (void)ask(&fixture, fd, "{\"execute\":\"later\"}\n");
        (void)close(fd);
        turn(&fixture);
        control_reply_send(fixture.kept, json_object_new_int(5), NULL);
        /* A command has an earlier one of the same client answered, which nobody takes any more. */
        fd = connect_client(&fixture);
        (void)ask(&fixture, fd, "{\"execute\":\"later\"}\n");
        send_text(fd, "{\"execute\":\"answer\"}\n");
        (void)close(fd);
        turn(&fixture);
        /* The server goes first. */
        fd = connect_client(&fixture);
        (void)ask(&fixture, fd, "{\"execute\":\"later\"}\n");
        fixture.control = control_free(fixture.control);
        control_reply_send(fixture.kept, NULL, &(struct failure){"gone"});
        (void)close(fd);
        fixture_deinit(&fixture);
}

static void test_garbage(void)
{
        static const char *const lines[] = {"nonsense\n", "[]\n", "{\"execute\":\n", "\x16\x03\x01\n",
                                            "GET / HTTP/1.1\r\n"};
        struct fixture fixture;

        fixture_init(&fixture);
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                int fd = connect_client(&fixture);
                bool ended = false;

                (void)receive(&fixture, fd, NULL);
                send_text(fd, lines[i]);
                CU_ASSERT_PTR_NOT_NULL(strstr(receive(&fixture, fd, &ended), "error"));
                CU_ASSERT_TRUE(ended);
                (void)close(fd);
        }
        fixture_deinit(&fixture);
}

static void test_line_without_end(void)
{
        static char megabyte[1 << 20];
        struct fixture fixture;
        size_t sent = 0;
        int fd = -1;

        fixture_init(&fixture);
        fd = connect_client(&fixture);
        memset(megabyte, 'x', sizeof(megabyte));
        while (sent < 10 * sizeof(megabyte)) {
                ssize_t n = send(fd, megabyte, sizeof(megabyte), MSG_NOSIGNAL);

                if (n < 0 && errno != EAGAIN)
                        break;
                sent += n > 0 ? (size_t)n : 0;
                turn(&fixture);
        }
        CU_ASSERT_TRUE(sent < 2 * sizeof(megabyte));
        (void)close(fd);
        fixture_deinit(&fixture);
}

/* Those that are too many are told so and cost nothing; when one leaves, another has room. */
static void test_thousand_connections(void)
{
        struct fixture fixture;
        int fds[1000];
        int n_served = 0;

        fixture_init(&fixture);
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
                fds[i] = connect_client(&fixture);
                turn(&fixture);
        }
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
                n_served += strncmp(receive(&fixture, fds[i], NULL), GREETING, strlen(GREETING)) == 0;
        CU_ASSERT_EQUAL(n_served,
                        geteuid() == 0 ? CONTROL_CLIENTS_MAX : CONTROL_CLIENTS_MAX - CONTROL_CLIENTS_ROOT);
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
                (void)close(fds[i]);
        turn(&fixture);
        fds[0] = connect_client(&fixture);
        CU_ASSERT_EQUAL(strncmp(receive(&fixture, fds[0], NULL), GREETING, strlen(GREETING)), 0);
        (void)close(fds[0]);
        fixture_deinit(&fixture);
}

/* One that does not read misses events, and costs a bounded amount; another one gets them all. */
static void test_events(void)
{
        struct fixture fixture;
        int deaf = -1;
        int fd = -1;
        int n = 0;

        fixture_init(&fixture);
        deaf = connect_client(&fixture);
        fd = connect_client(&fixture);
        (void)receive(&fixture, fd, NULL);
        for (int i = 0; i < 20000; i++) {
                control_broadcast(fixture.control, "TICK", json_object_new_int(i));
                n += strstr(receive(&fixture, fd, NULL), "TICK") != NULL;
        }
        CU_ASSERT_EQUAL(n, 20000);
        CU_ASSERT_STRING_EQUAL(ask(&fixture, fd, "{\"execute\":\"echo\"}\n"), "{\"return\":{}}\n");
        (void)close(deaf);
        (void)close(fd);
        fixture_deinit(&fixture);
}

/* Lines that wait in the buffer are not forgotten when an event goes out in between. */
static void test_events_between_lines(void)
{
        struct fixture fixture;
        size_t n = 0;
        int fd = -1;

        fixture_init(&fixture);
        fd = connect_client(&fixture);
        (void)receive(&fixture, fd, NULL);
        for (int i = 0; i < 40; i++)
                send_text(fd, "{\"execute\":\"echo\"}\n");
        for (int i = 0; i < 100; i++) {
                (void)sd_event_run(fixture.event, 0);
                control_broadcast(fixture.control, "TICK", NULL);
        }
        for (int i = 0; i < 20; i++)
                for (const char *c = receive(&fixture, fd, NULL); (c = strstr(c, "return")); c++)
                        n++;
        CU_ASSERT_EQUAL(n, 40);
        (void)close(fd);
        fixture_deinit(&fixture);
}

/* An answer of some MiB is sent; one that is too long for anybody is an error, and the client goes on. */
static void test_long_answers(void)
{
        const size_t sizes[] = {4 << 20, 40 << 20};
        struct fixture fixture;
        int fd = -1;

        fixture_init(&fixture);
        fd = connect_client(&fixture);
        (void)receive(&fixture, fd, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                char *text = calloc(1, sizes[i] + 1);
                size_t got = 0;

                memset(text, 'x', sizes[i]);
                (void)ask(&fixture, fd, "{\"execute\":\"later\"}\n");
                control_reply_send(fixture.kept, json_object_new_string(text), NULL);
                for (int turns = 0; turns < 2000; turns++) {
                        const char *part = receive(&fixture, fd, NULL);

                        got += strlen(part);
                        CU_ASSERT_EQUAL(strstr(part, "too long") != NULL, i == 1 && turns == 0);
                }
                CU_ASSERT_EQUAL(got > sizes[0], i == 0);
                free(text);
        }
        CU_ASSERT_STRING_EQUAL(ask(&fixture, fd, "{\"execute\":\"echo\"}\n"), "{\"return\":{}}\n");
        (void)close(fd);
        fixture_deinit(&fixture);
}

static void test_the_socket(void)
{
        struct fixture fixture;
        struct control *other = NULL;
        struct failure failure = {0};
        struct stat status = {0};
        int fd = -1;

        fixture_init(&fixture);
        CU_ASSERT_EQUAL(stat(fixture.path, &status), 0);
        CU_ASSERT_EQUAL(status.st_mode & 07777, 0660);
        CU_ASSERT_EQUAL(listen_again(&fixture, &other, &failure), -EADDRINUSE);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, fixture.path));
        fixture.control = control_free(fixture.control);
        /* A socket that nobody listens on is replaced, a file is not. */
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        {
                struct sockaddr_un address = {.sun_family = AF_UNIX};

                (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture.path);
                CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        }
        (void)close(fd);
        CU_ASSERT_EQUAL(listen_again(&fixture, &other, NULL), 0);
        other = control_free(other);
        fd = open(fixture.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        (void)close(fd);
        CU_ASSERT_EQUAL(listen_again(&fixture, &other, NULL), -EEXIST);
        (void)unlink(fixture.path);
        fixture_deinit(&fixture);
}

static const struct unit_test tests[] = {
        {"commands", test_commands},
        {"many lines at once", test_pipelining},
        {"replies that are owed", test_replies_that_are_owed},
        {"garbage", test_garbage},
        {"10 MB without a line end", test_line_without_end},
        {"1000 connections", test_thousand_connections},
        {"events", test_events},
        {"events between lines", test_events_between_lines},
        {"long answers", test_long_answers},
        {"the socket", test_the_socket},
};

UNIT_MAIN("control", tests)
