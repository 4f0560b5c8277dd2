/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client is somebody else's program: it may send half a line and stall, send without reading, or vanish
 * while an answer is owed to it. What it can cost is a line's buffer and a few replies:
 *
 *   - requests are read only when all that was answered before has been taken
 *   - half a line has to be completed in time
 *   - events are left out for one that is behind; replies never are
 *   - replies that are owed know when their client is gone
 */
#include "daemon/control_client.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/version.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STALL_USEC (UINT64_C(10) * USEC_PER_SEC)
/* Lines that are taken before others get their turn. */
#define LINES_PER_TURN 16

#define CLASS_GENERIC   "GenericError"
#define CLASS_NOT_FOUND "CommandNotFound"

struct control_reply {
        struct control_client *client; /* NULL once it is gone */
        struct json_object *id;        /* may be NULL */
};

static struct control_reply *free_reply(struct control_reply *reply)
{
        json_object_put(reply->id);
        free(reply);
        return NULL;
}

static void forget_reply(struct control_client *client, const struct control_reply *reply)
{
        for (size_t i = 0; i < client->n_replies; i++)
                if (client->replies[i] == reply) {
                        client->replies[i] = client->replies[--client->n_replies];
                        return;
                }
}

/*
 * For writing while something waits, or while lines wait in the buffer, which make no descriptor readable:
 * one that can be written to wakes us as well. Else for reading.
 */
static int poll_as_needed(struct control_client *client)
{
        const bool writing = wire_has_output(&client->wire) || client->has_more_lines;

        return sd_event_source_set_io_events(client->io, writing             ? EPOLLOUT
                                                         : client->has_ended ? 0
                                                                             : EPOLLIN);
}

static int flush(struct control_client *client)
{
        int r = wire_flush(&client->wire, NULL);

        return r < 0 ? r : poll_as_needed(client);
}

static int queue(struct control_client *client, struct json_object *object)
{
        int r = wire_queue(&client->wire, object);

        return r < 0 ? r : flush(client);
}

/* Whether a client that sends no more has got all that it waits for. */
static bool is_done(const struct control_client *client)
{
        return client->has_ended && client->n_replies == 0 && !wire_has_output(&client->wire);
}

/* @value and @error are taken; the one that is not NULL is sent. */
static int answer(struct control_client *client, struct json_object *id, struct json_object *value,
                  struct json_object *error)
{
        struct json_object *line = json_object_new_object();
        int r = 0;

        if (error)
                json_add(line, "error", error);
        else
                json_add(line, "return", value ? value : json_object_new_object());
        if (id)
                json_add(line, "id", json_object_get(id));
        r = queue(client, line);
        json_object_put(line);
        if (r == -ENOBUFS && !error)
                return answer(client, id, NULL, json_new_error(CLASS_GENERIC, "the answer is too long"));
        return r;
}

void control_reply_send(struct control_reply *reply, struct json_object *value, const struct failure *failure)
{
        struct control_client *client = reply->client;

        if (!client) {
                json_object_put(value);
                free_reply(reply);
                return;
        }
        forget_reply(client, reply);
        /* Not at once: this may be the end of what a command of the very same client has brought about. */
        if (answer(client, reply->id, value, value ? NULL : json_new_error(CLASS_GENERIC, failure->text)) <
                    0 ||
            is_done(client))
                (void)sd_event_source_set_enabled(client->doom, SD_EVENT_ONESHOT);
        free_reply(reply);
}

static int keep_reply(struct control_client *client, struct json_object *id, struct control_reply **ret)
{
        struct control_reply *reply = calloc(1, sizeof(*reply));

        if (!reply)
                return -ENOMEM;
        *reply = (struct control_reply){.client = client, .id = json_object_get(id)};
        client->replies[client->n_replies++] = reply;
        *ret = reply;
        return 0;
}

static int execute(struct control_client *client, const char *command, struct json_object *arguments,
                   struct json_object *id)
{
        struct control_reply *reply = NULL;
        struct json_object *value = NULL;
        struct failure failure = {0};
        int r = 0;

        if (client->n_replies == CONTROL_REPLIES_MAX)
                return answer(client, id, NULL,
                              json_new_error(CLASS_GENERIC, "too many commands wait for their answers"));
        r = keep_reply(client, id, &reply);
        if (r < 0)
                return r;
        r = client->owner.server->execute(client->owner.server->context,
                                          &(struct control_command){command, arguments, reply}, &value,
                                          &failure);
        if (r == CONTROL_E_LATER)
                return 0;
        forget_reply(client, reply);
        free_reply(reply);
        if (r == CONTROL_E_UNKNOWN)
                return answer(client, id, NULL,
                              json_new_error(CLASS_NOT_FOUND,
                                             "there is no such command; query-commands lists them"));
        return answer(client, id, value, r < 0 ? json_new_error(CLASS_GENERIC, failure.text) : NULL);
}

static int take_request(struct control_client *client, struct json_object *request)
{
        struct json_object *command = NULL;
        struct json_object *arguments = NULL;
        struct json_object *id = NULL;

        (void)json_object_object_get_ex(request, "id", &id);
        if (!json_object_object_get_ex(request, "execute", &command) ||
            !json_object_is_type(command, json_type_string))
                return answer(client, id, NULL, json_new_error(CLASS_GENERIC, "a request needs \"execute\""));
        if (json_object_object_get_ex(request, "arguments", &arguments) &&
            !json_object_is_type(arguments, json_type_object))
                return answer(client, id, NULL, json_new_error(CLASS_GENERIC, "\"arguments\" is no object"));
        return execute(client, json_object_get_string(command), arguments, id);
}

/* Half a line has to be completed in time. */
static void watch_stall(struct control_client *client)
{
        const bool is_half = !client->has_more_lines && client->wire.input_end > client->wire.input_start;
        int enabled = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(client->stall, &enabled);
        if (is_half == (enabled != SD_EVENT_OFF))
                return;
        (void)sd_event_source_set_time_relative(client->stall, STALL_USEC);
        (void)sd_event_source_set_enabled(client->stall, is_half ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* Return: 0; WIRE_E_NOTHING when there is no more; WIRE_E_END; or why the connection is of no more use. */
static int take_next_request(struct control_client *client)
{
        struct json_object *request = NULL;
        struct failure failure = {0};
        int r = wire_next(&client->wire, &request, &failure);

        if (r < 0)
                (void)answer(client, NULL, NULL, json_new_error(CLASS_GENERIC, failure.text));
        if (r != 0)
                return r;
        r = take_request(client, request);
        json_object_put(request);
        return r;
}

/* Return: 0, or why the connection is of no more use. */
static int take_requests(struct control_client *client)
{
        int r = 0;

        for (int i = 0; i < LINES_PER_TURN && r == 0 && !wire_has_output(&client->wire); i++)
                r = take_next_request(client);
        if (r < 0)
                return r;
        client->has_ended = r == WIRE_E_END;
        if (is_done(client))
                return -ECONNRESET;
        client->has_more_lines = r == 0;
        watch_stall(client);
        return poll_as_needed(client);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *context)
{
        struct control_client *client = context;
        int r = 0;

        (void)source;
        (void)fd;
        if (wire_has_output(&client->wire))
                r = flush(client);
        if (r >= 0 && (revents & EPOLLERR || (revents & EPOLLHUP && client->has_ended)))
                r = -ECONNRESET;
        if (r >= 0 && !client->has_ended)
                r = take_requests(client);
        else if (r >= 0 && is_done(client))
                r = -ECONNRESET;
        if (r < 0)
                client->owner.drop(client->owner.context, client);
        return 0;
}

static int on_stall(sd_event_source *source, uint64_t usec, void *context)
{
        struct control_client *client = context;

        (void)source;
        (void)usec;
        client->owner.drop(client->owner.context, client);
        return 0;
}

static int on_doom(sd_event_source *source, void *context)
{
        struct control_client *client = context;

        (void)source;
        client->owner.drop(client->owner.context, client);
        return 0;
}

static int greet(struct control_client *client)
{
        struct json_object *greeting = json_object_new_object();
        struct json_object *us = json_object_new_object();
        int r = 0;

        json_add_text(us, "version", SAMEPAGE_VERSION);
        json_add(greeting, "samepage", us);
        r = queue(client, greeting);
        json_object_put(greeting);
        return r;
}

int control_client_new(const struct control_client_owner *owner, sd_event *event, int fd,
                       struct control_client **ret)
{
        struct control_client *client = calloc(1, sizeof(*client));
        int r = 0;

        if (!client) {
                (void)close(fd);
                return -ENOMEM;
        }
        *client = (struct control_client){.owner = *owner};
        r = wire_init(&client->wire, fd, CONTROL_LINE_MAX_BYTES);
        client->wire.output_max_bytes = CONTROL_OUTPUT_MAX_BYTES;
        if (r >= 0)
                r = sd_event_add_io(event, &client->io, fd, EPOLLIN, on_io, client);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &client->stall, CLOCK_MONOTONIC, STALL_USEC, 0,
                                               on_stall, client);
        if (r >= 0)
                r = sd_event_source_set_enabled(client->stall, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &client->doom, on_doom, client);
        if (r >= 0)
                r = sd_event_source_set_enabled(client->doom, SD_EVENT_OFF);
        if (r >= 0)
                r = greet(client);
        if (r < 0) {
                control_client_free(client);
                return r;
        }
        *ret = client;
        return 0;
}

void control_client_refuse(int fd, const char *sentence)
{
        struct json_object *line = json_object_new_object();
        const char *text = NULL;

        json_add(line, "error", json_new_error(CLASS_GENERIC, sentence));
        text = json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN);
        (void)send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)send(fd, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        json_object_put(line);
        (void)close(fd);
}

struct control_client *control_client_free(struct control_client *client)
{
        if (!client)
                return NULL;
        for (size_t i = 0; i < client->n_replies; i++)
                client->replies[i]->client = NULL;
        sd_event_source_disable_unref(client->io);
        sd_event_source_disable_unref(client->stall);
        sd_event_source_disable_unref(client->doom);
        wire_deinit(&client->wire);
        free(client);
        return NULL;
}

void control_client_tell(struct control_client *client, struct json_object *object)
{
        /* A failure shows at the next request; it must not free the client under whoever walks the list. */
        if (!wire_has_output(&client->wire))
                (void)queue(client, object);
}
