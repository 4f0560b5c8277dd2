/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON lines on a stream.
 *
 * Everything that arrives is foreign input. A line is bounded in length before it is parsed and in depth
 * while it is parsed, so an endless line costs line_max_bytes and 10^6 open brackets cost nothing. A line
 * that is not a JSON object ends the conversation: after garbage, nobody knows what the next line answers.
 *
 * Output goes through a buffer that holds whole lines. When the other side takes only part of a line, the
 * rest stays in front of whatever is sent next. So a line is never torn, except by the death of this process.
 */
#include "base/wire.h"

#include "base/cleanup.h"
#include "base/deadline.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES         4096U
#define TOKENER_FLAGS      (JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8)
#define QUOTED_BYTES       60
#define PARSER_RESET       0xFF
#define OUTPUT_FIRST_BYTES 512U

int wire_init(struct wire *wire, int fd, size_t line_max_bytes)
{
        int flags = fcntl(fd, F_GETFL);

        *wire = (struct wire){
                .fd = fd,
                .line_max_bytes = line_max_bytes,
                .output_max_bytes = WIRE_OUTPUT_MAX_BYTES,
        };
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
                int r = -errno;

                wire_deinit(wire);
                return r;
        }
        wire->tokener = json_tokener_new_ex(WIRE_DEPTH_MAX);
        if (!wire->tokener) {
                wire_deinit(wire);
                return -ENOMEM;
        }
        json_tokener_set_flags(wire->tokener, TOKENER_FLAGS);
        return 0;
}

void wire_deinit(struct wire *wire)
{
        close_fd(&wire->fd);
        if (wire->tokener)
                json_tokener_free(wire->tokener);
        free(wire->input);
        free(wire->output);
        *wire = (struct wire){.fd = -1};
}

void wire_resync(struct wire *wire)
{
        wire->resyncing = true;
}

/* Makes room for READ_BYTES behind the buffered input. */
static int make_room(struct wire *wire)
{
        size_t capacity = wire->input_capacity;
        char *larger = NULL;

        if (wire->input_start > 0) {
                memmove(wire->input, wire->input + wire->input_start, wire->input_end - wire->input_start);
                wire->input_searched -= wire->input_start;
                wire->input_end -= wire->input_start;
                wire->input_start = 0;
        }
        while (capacity < wire->input_end + READ_BYTES)
                capacity = capacity ? capacity * 2 : READ_BYTES;
        if (capacity == wire->input_capacity)
                return 0;
        larger = realloc(wire->input, capacity);
        if (!larger)
                return -ENOMEM;
        wire->input = larger;
        wire->input_capacity = capacity;
        return 0;
}

/* Reads what has arrived, as far as there is room. 0: bytes arrived, or the stream ended. */
static int read_some(struct wire *wire)
{
        ssize_t got = 0;
        int r = make_room(wire);

        if (r < 0)
                return r;
        do
                got = read(wire->fd, wire->input + wire->input_end, wire->input_capacity - wire->input_end);
        while (got < 0 && errno == EINTR);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                return WIRE_E_NOTHING;
        if (got < 0)
                return -errno;
        if (got == 0)
                wire->ended = true;
        wire->input_end += (size_t)got;
        return 0;
}

/* The next line, without its end, if it has arrived as a whole. */
static bool take_line(struct wire *wire, const char **ret_line, size_t *ret_length)
{
        const char *start = wire->input + wire->input_start;
        const char *end = NULL;

        if (wire->input_searched < wire->input_end)
                end = memchr(wire->input + wire->input_searched, '\n',
                             wire->input_end - wire->input_searched);
        wire->input_searched = wire->input_end;
        if (!end)
                return false;
        *ret_line = start;
        *ret_length = (size_t)(end - start);
        wire->input_start += *ret_length + 1;
        wire->input_searched = wire->input_start;
        return true;
}

static bool is_blank(const char *line, size_t length)
{
        for (size_t i = 0; i < length; i++)
                if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
                        return false;
        return true;
}

/* QMP's way to restart in the middle of a line: a byte that no JSON text contains drops all before it. */
static void drop_abandoned(const char **line, size_t *length)
{
        const char *reset = memrchr(*line, PARSER_RESET, *length);

        if (!reset)
                return;
        *length -= (size_t)(reset + 1 - *line);
        *line = reset + 1;
}

static int parse_line(struct wire *wire, const char *line, size_t length, struct json_object **ret_object,
                      struct failure *failure)
{
        int quoted = length > QUOTED_BYTES ? QUOTED_BYTES : (int)length;
        struct json_object *object = NULL;
        enum json_tokener_error error = json_tokener_success;

        json_tokener_reset(wire->tokener);
        object = json_tokener_parse_ex(wire->tokener, line, (int)length);
        error = json_tokener_get_error(wire->tokener);
        if (error == json_tokener_success &&
            is_blank(line + json_tokener_get_parse_end(wire->tokener),
                     length - json_tokener_get_parse_end(wire->tokener)) &&
            json_object_is_type(object, json_type_object)) {
                *ret_object = object;
                return 0;
        }
        json_object_put(object);
        json_tokener_reset(wire->tokener);
        if (error == json_tokener_error_depth)
                return failure_set(failure, -EBADMSG, "it sent JSON nested deeper than %d levels",
                                   WIRE_DEPTH_MAX);
        return failure_set(failure, -EBADMSG, "it sent a line that is no JSON object: \"%.*s\"%s", quoted,
                           line, length > QUOTED_BYTES ? " and so on" : "");
}

/* The next object of the buffered lines, or WIRE_E_NOTHING. */
static int next_buffered(struct wire *wire, struct json_object **ret_object, struct failure *failure)
{
        const char *line = NULL;
        size_t length = 0;

        while (take_line(wire, &line, &length)) {
                bool resyncing = wire->resyncing;
                int r = 0;

                if (length > wire->line_max_bytes)
                        break;
                drop_abandoned(&line, &length);
                wire->resyncing = false;
                if (is_blank(line, length))
                        continue;
                r = parse_line(wire, line, length, ret_object, resyncing ? NULL : failure);
                if (r == 0 || !resyncing)
                        return r;
        }
        if (length > wire->line_max_bytes || wire->input_end - wire->input_start > wire->line_max_bytes)
                return failure_set(failure, -EMSGSIZE, "it sent a line longer than %zu bytes",
                                   wire->line_max_bytes);
        return WIRE_E_NOTHING;
}

int wire_next(struct wire *wire, struct json_object **ret_object, struct failure *failure)
{
        for (;;) {
                int r = next_buffered(wire, ret_object, failure);

                if (r != WIRE_E_NOTHING)
                        return r;
                if (wire->ended && wire->input_end > wire->input_start)
                        return failure_set(failure, -EBADMSG,
                                           "it closed the connection in the middle of a line");
                if (wire->ended)
                        return WIRE_E_END;
                r = read_some(wire);
                if (r < 0)
                        return failure_errno(failure, r, "cannot read from the socket");
                if (r == WIRE_E_NOTHING)
                        return r;
        }
}

int wire_next_before(struct wire *wire, uint64_t deadline_usec, struct json_object **ret_object,
                     struct failure *failure)
{
        for (;;) {
                int r = wire_next(wire, ret_object, failure);

                if (r != WIRE_E_NOTHING)
                        return r;
                r = deadline_poll(wire->fd, POLLIN, deadline_usec);
                if (r < 0)
                        return r;
        }
}

int wire_queue_bytes(struct wire *wire, const void *bytes, size_t length)
{
        size_t waiting = wire->output_end - wire->output_start;
        size_t capacity = wire->output_capacity ? wire->output_capacity : OUTPUT_FIRST_BYTES;

        if (length > wire->output_max_bytes || waiting > wire->output_max_bytes - length)
                return -ENOBUFS;
        if (wire->output_start > 0) {
                memmove(wire->output, wire->output + wire->output_start, waiting);
                wire->output_start = 0;
                wire->output_end = waiting;
        }
        while (capacity < waiting + length)
                capacity *= 2;
        if (capacity != wire->output_capacity) {
                char *larger = realloc(wire->output, capacity);

                if (!larger)
                        return -ENOMEM;
                wire->output = larger;
                wire->output_capacity = capacity;
        }
        memcpy(wire->output + wire->output_end, bytes, length);
        wire->output_end += length;
        return 0;
}

int wire_queue(struct wire *wire, struct json_object *object)
{
        size_t length = 0;
        const char *text = json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN, &length);
        CLEANUP_FREE char *line = NULL;

        if (!text)
                return -ENOMEM;
        /* One call to wire_queue_bytes(), so that a line is queued as a whole or not at all. */
        line = malloc(length + 1);
        if (!line)
                return -ENOMEM;
        memcpy(line, text, length);
        line[length] = '\n';
        return wire_queue_bytes(wire, line, length + 1);
}

bool wire_has_output(const struct wire *wire)
{
        return wire->output_end > wire->output_start;
}

int wire_flush(struct wire *wire, struct failure *failure)
{
        while (wire_has_output(wire)) {
                ssize_t sent = send(wire->fd, wire->output + wire->output_start,
                                    wire->output_end - wire->output_start, MSG_NOSIGNAL);

                if (sent < 0 && errno == EINTR)
                        continue;
                if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                        return WIRE_E_NOTHING;
                if (sent < 0)
                        return failure_errno(failure, -errno, "cannot write to the socket");
                wire->output_start += (size_t)sent;
        }
        return 0;
}

int wire_send_before(struct wire *wire, struct json_object *object, uint64_t deadline_usec,
                     struct failure *failure)
{
        int r = wire_queue(wire, object);

        if (r < 0)
                return failure_errno(failure, r, "cannot queue a line for the socket");
        for (;;) {
                r = wire_flush(wire, failure);
                if (r != WIRE_E_NOTHING)
                        return r;
                r = deadline_poll(wire->fd, POLLOUT, deadline_usec);
                if (r == -ETIMEDOUT)
                        return failure_set(failure, r, "it does not read from its socket");
                if (r < 0)
                        return failure_errno(failure, r, "cannot wait for the socket");
        }
}
