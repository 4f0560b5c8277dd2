/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/wire.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX_BYTES 65536

static struct wire wire;
static int other = -1;

static void begin(void)
{
        int pair[2];

        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        other = pair[1];
        CU_ASSERT_EQUAL_FATAL(wire_init(&wire, pair[0], LINE_MAX_BYTES), 0);
}

static void end(void)
{
        wire_deinit(&wire);
        close_fd(&other);
}

static void say(const char *text)
{
        CU_ASSERT_EQUAL_FATAL(write(other, text, strlen(text)), (ssize_t)strlen(text));
}

/* The next object must be this text. */
static void expect(const char *text)
{
        struct json_object *object = NULL;

        CU_ASSERT_EQUAL_FATAL(wire_next(&wire, &object, NULL), 0);
        CU_ASSERT_STRING_EQUAL(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN), text);
        json_object_put(object);
}

static void expect_result(int result)
{
        struct json_object *object = NULL;

        CU_ASSERT_EQUAL(wire_next(&wire, &object, NULL), result);
        CU_ASSERT_PTR_NULL(object);
}

static void expect_failure(int result, const char *part)
{
        struct json_object *object = NULL;
        struct failure failure = {0};

        CU_ASSERT_EQUAL(wire_next(&wire, &object, &failure), result);
        CU_ASSERT_PTR_NULL(object);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, part));
}

static void test_lines(void)
{
        begin();
        expect_result(WIRE_E_NOTHING);
        say("{\"a\":1}\r\n\r\n  \n{\"b\":[2]}\n{\"c\"");
        expect("{\"a\":1}");
        expect("{\"b\":[2]}");
        expect_result(WIRE_E_NOTHING);
        say(":3} \n");
        expect("{\"c\":3}");
        expect_result(WIRE_E_NOTHING);
        close_fd(&other);
        expect_result(WIRE_E_END);
        expect_result(WIRE_E_END);
        end();
}

static void test_byte_by_byte(void)
{
        static const char line[] = "{\"return\":{\"status\":\"running\"}}\n";

        begin();
        for (size_t i = 0; line[i]; i++) {
                expect_result(WIRE_E_NOTHING);
                CU_ASSERT_EQUAL(write(other, &line[i], 1), 1);
        }
        expect("{\"return\":{\"status\":\"running\"}}");
        end();
}

static void test_garbage(void)
{
        static const char *const lines[] = {
                "hello\n", "[1]\n",        "42\n",          "\"text\"\n",         "null\n",
                "{\n",     "{\"a\":1}}\n", "{\"a\":1} x\n", "{\"a\":\"\xff\"}\n", "{\"a\":1,}\n",
        };

        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                begin();
                say(lines[i]);
                expect_failure(-EBADMSG, "no JSON object");
                end();
        }
}

static void test_reset(void)
{
        begin();
        say("{\"execute\":\"st\xff{\"a\":1}\n\xff\n\xff\xff{\"b\":2}\n");
        expect("{\"a\":1}");
        expect("{\"b\":2}");
        end();
}

static void test_sentence_is_harmless(void)
{
        begin();
        say("\x1b[31mred\n");
        expect_failure(-EBADMSG, "\"?[31mred\"");
        end();
}

static void test_cut_off_in_a_line(void)
{
        begin();
        say("{\"a\":1");
        close_fd(&other);
        expect_failure(-EBADMSG, "middle of a line");
        end();
}

/* Writes more than the socket takes at once, while the wire reads. Returns what the wire says at the end. */
static int flood(const char *text, size_t length, struct failure *failure)
{
        struct json_object *object = NULL;
        int r = WIRE_E_NOTHING;

        while (length > 0 && r == WIRE_E_NOTHING) {
                ssize_t sent = send(other, text, length, MSG_DONTWAIT | MSG_NOSIGNAL);

                text += sent > 0 ? sent : 0;
                length -= sent > 0 ? (size_t)sent : 0;
                r = wire_next(&wire, &object, failure);
        }
        CU_ASSERT_PTR_NULL(object);
        return r;
}

static void test_endless_line(void)
{
        static char text[8U << 20];
        struct failure failure = {0};

        memset(text, 'x', sizeof(text));
        begin();
        CU_ASSERT_EQUAL(flood(text, sizeof(text), &failure), -EMSGSIZE);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "longer than 65536 bytes"));
        CU_ASSERT(wire.input_capacity <= 4UL * LINE_MAX_BYTES);
        end();
}

static void test_longest_line(void)
{
        static const char object[] = "{\"a\":1}";
        char text[LINE_MAX_BYTES + 2];

        memset(text, ' ', sizeof(text));
        memcpy(text, object, sizeof(object) - 1);
        for (size_t length = LINE_MAX_BYTES; length <= LINE_MAX_BYTES + 1; length++) {
                text[length] = '\n';
                begin();
                CU_ASSERT_EQUAL(write(other, text, length + 1), (ssize_t)length + 1);
                if (length == LINE_MAX_BYTES)
                        expect("{\"a\":1}");
                else
                        expect_failure(-EMSGSIZE, "longer than");
                end();
                text[length] = ' ';
        }
}

static void test_deep(void)
{
        static const char head[] = "{\"a\":";
        static char text[sizeof(head) + 1000000];
        struct failure failure = {0};

        memset(text, '[', sizeof(text));
        memcpy(text, head, sizeof(head) - 1);
        text[sizeof(text) - 1] = '\n';
        begin();
        wire.line_max_bytes = WIRE_LINE_MAX_BYTES;
        CU_ASSERT_EQUAL(flood(text, sizeof(text), &failure), -EBADMSG);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "nested deeper than 32"));
        end();
}

static void test_resync(void)
{
        begin();
        wire_resync(&wire);
        say("us\":\"active\"}}\n{\"a\":1}\nx\n");
        expect("{\"a\":1}");
        expect_failure(-EBADMSG, "no JSON object");
        end();
        begin();
        wire_resync(&wire);
        say("{\"a\":1}\nx\n");
        expect("{\"a\":1}");
        expect_failure(-EBADMSG, "no JSON object");
        end();
}

static void test_deadline(void)
{
        struct json_object *object = NULL;
        uint64_t start_usec = clock_now_usec();

        begin();
        CU_ASSERT_EQUAL(wire_next_before(&wire, start_usec + 20000, &object, NULL), -ETIMEDOUT);
        CU_ASSERT(clock_now_usec() - start_usec >= 20000);
        end();
}

static void test_send(void)
{
        struct json_object *object = json_object_new_object();
        char text[64] = "";

        (void)json_object_object_add(object, "a", json_object_new_int(1));
        begin();
        CU_ASSERT_EQUAL(wire_send_before(&wire, object, clock_now_usec() + USEC_PER_SEC, NULL), 0);
        CU_ASSERT_EQUAL(read(other, text, sizeof(text) - 1), 8);
        CU_ASSERT_STRING_EQUAL(text, "{\"a\":1}\n");
        CU_ASSERT_FALSE(wire_has_output(&wire));
        close_fd(&other);
        CU_ASSERT_EQUAL(wire_send_before(&wire, object, clock_now_usec() + USEC_PER_SEC, NULL), -EPIPE);
        end();
        json_object_put(object);
}

/* A line that is sent in part is continued, never torn, whatever is sent next. */
static void test_no_torn_line(void)
{
        struct json_object *object = json_object_new_object();
        struct json_object *got = NULL;
        struct failure failure = {0};
        struct wire reader;
        int lines = 0;
        int sent = 0;
        int r = 0;

        (void)json_object_object_add(object, "a", json_object_new_string_len((char[60000]){"b"}, 60000));
        begin();
        while ((r = wire_send_before(&wire, object, clock_now_usec() + 1000, &failure)) == 0)
                sent++;
        CU_ASSERT_EQUAL(r, -ETIMEDOUT);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "does not read"));
        CU_ASSERT(wire_has_output(&wire));
        CU_ASSERT_EQUAL_FATAL(wire_init(&reader, dup(other), WIRE_LINE_MAX_BYTES), 0);
        do {
                (void)wire_flush(&wire, NULL);
                r = wire_next(&reader, &got, &failure);
                lines += r == 0;
                json_object_put(got);
                got = NULL;
        } while (r == 0 || wire_has_output(&wire));
        CU_ASSERT_EQUAL(r, WIRE_E_NOTHING);
        CU_ASSERT_EQUAL(lines, sent + 1);
        wire_deinit(&reader);
        end();
        json_object_put(object);
}

static void test_output_limit(void)
{
        static char bytes[WIRE_OUTPUT_MAX_BYTES];

        begin();
        CU_ASSERT_EQUAL(wire_queue_bytes(&wire, bytes, sizeof(bytes)), 0);
        CU_ASSERT_EQUAL(wire_queue_bytes(&wire, bytes, 1), -ENOBUFS);
        end();
}

static const struct unit_test tests[] = {
        {"lines come out as objects", test_lines},
        {"a line may come byte by byte", test_byte_by_byte},
        {"what is no JSON object is an error", test_garbage},
        {"a reset in the middle of a line", test_reset},
        {"the sentence holds no control characters", test_sentence_is_harmless},
        {"a line cut off by the end is an error", test_cut_off_in_a_line},
        {"an endless line costs a bounded buffer", test_endless_line},
        {"the longest line and one byte more", test_longest_line},
        {"10^6 levels of nesting are refused", test_deep},
        {"the rest of somebody else's line is skipped once", test_resync},
        {"waiting ends at the deadline", test_deadline},
        {"an object is sent as one line", test_send},
        {"no line is torn when the reader is slow", test_no_torn_line},
        {"what waits to be sent is bounded", test_output_limit},
};
UNIT_MAIN("base/wire", tests)
