/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libmicrohttpd without threads of its own. Its epoll descriptor is one more source of the daemon's event
 * loop, and MHD_run() does what is ready and never waits. An answer is made in one go from what the daemon
 * knows.
 *
 * A connection serves one request and may last TIMEOUT_SECONDS from its first byte to its last. The library's
 * own timeout begins anew with every byte: with it alone, a client that sends or reads a byte now and then
 * could hold its connection for ever, and MAX_CLIENTS such clients would shut the scraper out. Closing after
 * each answer costs a scraper one connection per scrape. It spares the scraper the race against a connection
 * that times out as it sends.
 *
 * Requests with a body are refused before the body is read.
 */
#include "metrics/metrics_server.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "metrics/metrics_listen.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Further clients wait in the listening socket's queue. */
#define MAX_CLIENTS 64
/* Per connection, including the request's line and headers; Prometheus sends some 400 bytes. */
#define CLIENT_MEMORY_BYTES ((size_t)16384)
/* The tests wait for it, so they set a shorter one. */
#ifndef METRICS_SERVER_TIMEOUT_SECONDS
#define METRICS_SERVER_TIMEOUT_SECONDS 10U
#endif
/* Nobody notices a timeout that is this late. */
#define TIMER_ACCURACY_USEC (10 * USEC_PER_MSEC)

/* Far above what scrapers need, and next to no load. */
#define RATE_INTERVAL_USEC (100 * USEC_PER_MSEC)
#define RATE_BURST         100U

/* One connection; @fd is -1 in a free place. @answered: the whole request arrived and has its answer. */
struct client {
        int fd;
        bool answered;
        uint64_t deadline_usec;
};

struct metrics_server {
        struct MHD_Daemon *http;
        sd_event_source *io;
        sd_event_source *timer;
        const struct metrics *metrics;
        char *ksm_dir;
        struct client clients[MAX_CLIENTS];
        unsigned int n_clients;
        uint16_t port;
};

/* What is sent; @body is static, or malloc()ed if @mode says so. */
struct answer {
        unsigned int status;
        const char *type;
        char *body;
        size_t length;
        enum MHD_ResponseMemoryMode mode;
};

static void note_answer(struct MHD_Connection *connection)
{
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        struct client *client = info ? info->socket_context : NULL;

        if (client)
                client->answered = true;
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, const struct answer *answer)
{
        struct MHD_Response *response =
                MHD_create_response_from_buffer(answer->length, answer->body, answer->mode);
        enum MHD_Result result = MHD_NO;

        if (!response) {
                if (answer->mode == MHD_RESPMEM_MUST_FREE)
                        free(answer->body);
                return MHD_NO;
        }
        if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type) == MHD_YES &&
            MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES &&
            (answer->status != MHD_HTTP_METHOD_NOT_ALLOWED ||
             MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_YES))
                result = MHD_queue_response(connection, answer->status, response);
        MHD_destroy_response(response);
        return result;
}

static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned int status, char *text)
{
        const struct answer answer = {status, "text/plain; charset=utf-8", text, strlen(text),
                                      MHD_RESPMEM_PERSISTENT};

        return send_answer(connection, &answer);
}

static enum MHD_Result send_metrics(const struct metrics_server *server, struct MHD_Connection *connection)
{
        static char failed[] = "There is not enough memory for the metrics.\n";
        const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
        const enum metrics_format format = metrics_text_choose(accept);
        struct answer answer = {MHD_HTTP_OK, metrics_text_content_type(format), NULL, 0,
                                MHD_RESPMEM_MUST_FREE};

        if (metrics_render(server->metrics, server->ksm_dir, format, &answer.body, &answer.length) < 0)
                return send_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, failed);
        return send_answer(connection, &answer);
}

static bool has_body(struct MHD_Connection *connection)
{
        const char *length =
                MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

        if (MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING))
                return true;
        return length && strcmp(length, "0") != 0;
}

/* The library calls this, with this signature, when the headers of a request are complete. */
static enum MHD_Result answer_request(void *context, struct MHD_Connection *connection, const char *url,
                                      const char *method, const char *version, const char *upload,
                                      size_t *upload_bytes, void **request) // NOLINT(readability-*)
{
        static char index[] = "samepaged: metrics for Prometheus are at /metrics\n";
        static char no_method[] = "Only GET and HEAD are answered.\n";
        static char no_body[] = "Requests with a body are not taken.\n";
        static char no_path[] = "There is nothing here; metrics are at /metrics\n";

        (void)version;
        (void)upload;
        (void)upload_bytes;
        (void)request;
        note_answer(connection);
        if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
                return send_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, no_method);
        if (has_body(connection))
                return send_text(connection, MHD_HTTP_CONTENT_TOO_LARGE, no_body);
        if (strcmp(url, "/metrics") == 0)
                return send_metrics(context, connection);
        if (strcmp(url, "/") == 0)
                return send_text(connection, MHD_HTTP_OK, index);
        return send_text(connection, MHD_HTTP_NOT_FOUND, no_path);
}

static void add_client(struct metrics_server *server, struct MHD_Connection *connection, void **place)
{
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

        for (size_t i = 0; info && i < MAX_CLIENTS; i++) {
                struct client *client = &server->clients[i];

                if (client->fd >= 0)
                        continue;
                client->fd = info->connect_fd;
                client->answered = false;
                client->deadline_usec = clock_now_usec() + METRICS_SERVER_TIMEOUT_SECONDS * USEC_PER_SEC;
                server->n_clients++;
                *place = client;
                return;
        }
}

static void note_connection(void *context, struct MHD_Connection *connection, void **place,
                            enum MHD_ConnectionNotificationCode code)
{
        struct metrics_server *server = context;
        struct client *client = *place;

        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                add_client(server, connection, place);
        } else if (client) {
                client->fd = -1;
                server->n_clients--;
                *place = NULL;
        }
}

/* The library notices the end of the connection, whatever it waits for, and closes it. */
static void end_client(struct client *client)
{
        (void)shutdown(client->fd, SHUT_RDWR);
        client->deadline_usec = USEC_INFINITY;
}

static void end_overdue(struct metrics_server *server)
{
        const uint64_t now = clock_now_usec();

        for (size_t i = 0; i < MAX_CLIENTS; i++)
                if (server->clients[i].fd >= 0 && server->clients[i].deadline_usec <= now)
                        end_client(&server->clients[i]);
}

/* The client will send no more, and the library has read all that it sent. */
static bool is_read_to_its_end(const struct pollfd *polled)
{
        int unread = 0;

        return polled->revents != 0 && ioctl(polled->fd, FIONREAD, &unread) == 0 && unread == 0;
}

/*
 * Ends connections whose client left in the middle of its request. The library asks epoll for changes only.
 * If the end has already arrived when it reads the first half, epoll has no change left to report (0.9.75),
 * and the connection would keep its place until the deadline.
 */
static void end_half_requests(struct metrics_server *server)
{
        struct pollfd polled[MAX_CLIENTS];

        for (size_t i = 0; i < MAX_CLIENTS; i++) {
                const struct client *client = &server->clients[i];
                const bool waiting = client->fd >= 0 && !client->answered;

                polled[i] = (struct pollfd){.fd = waiting ? client->fd : -1, .events = POLLRDHUP};
        }
        if (poll(polled, MAX_CLIENTS, 0) <= 0)
                return;
        for (size_t i = 0; i < MAX_CLIENTS; i++)
                if (is_read_to_its_end(&polled[i]))
                        end_client(&server->clients[i]);
}

/* When the next check is due even if nothing happens; USEC_INFINITY means never to sd-event too. */
static uint64_t next_deadline_usec(const struct metrics_server *server)
{
        unsigned MHD_LONG_LONG msec = 0;
        uint64_t next = USEC_INFINITY;

        for (size_t i = 0; i < MAX_CLIENTS; i++)
                if (server->clients[i].fd >= 0 && server->clients[i].deadline_usec < next)
                        next = server->clients[i].deadline_usec;
        if (MHD_get_timeout(server->http, &msec) == MHD_YES) {
                const uint64_t wanted = clock_now_usec() + msec * USEC_PER_MSEC;

                next = wanted < next ? wanted : next;
        }
        return next;
}

/* Does all that can be done now. */
static int serve_clients(struct metrics_server *server)
{
        unsigned int n_before = 0;
        int r = 0;

        end_overdue(server);
        /* When full, the library stops listening. It restarts only in the run after a client left. */
        do {
                n_before = server->n_clients;
                (void)MHD_run(server->http);
        } while (server->n_clients < n_before);
        if (server->n_clients > 0)
                end_half_requests(server);
        r = sd_event_source_set_time(server->timer, next_deadline_usec(server));
        return r < 0 ? r : sd_event_source_set_enabled(server->timer, SD_EVENT_ONESHOT);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *context)
{
        (void)source;
        (void)fd;
        (void)events;
        return serve_clients(context);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *context)
{
        (void)source;
        (void)usec;
        return serve_clients(context);
}

static uint16_t port_of(int fd)
{
        union {
                struct sockaddr any;
                struct sockaddr_in ipv4;
                struct sockaddr_in6 ipv6;
        } address = {0};
        socklen_t length = sizeof(address);

        if (getsockname(fd, &address.any, &length) < 0)
                return 0;
        if (address.any.sa_family == AF_INET)
                return ntohs(address.ipv4.sin_port);
        return address.any.sa_family == AF_INET6 ? ntohs(address.ipv6.sin6_port) : 0;
}

/* Takes @fd; the library closes it when it stops. */
static int start_http(struct metrics_server *server, int fd)
{
        const int flags = fcntl(fd, F_GETFL);

        /* The socket may arrive in blocking mode, which would stop the whole daemon in accept(2). */
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
                int r = -errno;

                (void)close(fd);
                return r;
        }
        server->http = MHD_start_daemon(
                MHD_USE_EPOLL, 0, NULL, NULL, answer_request, server, MHD_OPTION_LISTEN_SOCKET, fd,
                MHD_OPTION_CONNECTION_LIMIT, (unsigned int)MAX_CLIENTS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                CLIENT_MEMORY_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, METRICS_SERVER_TIMEOUT_SECONDS,
                MHD_OPTION_NOTIFY_CONNECTION, note_connection, server, MHD_OPTION_END);
        if (!server->http) {
                (void)close(fd);
                return -ENOTRECOVERABLE;
        }
        return 0;
}

static int attach_to_event(struct metrics_server *server, sd_event *event)
{
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->http, MHD_DAEMON_INFO_EPOLL_FD);
        int r = 0;

        if (!info)
                return -ENOTRECOVERABLE;
        r = sd_event_add_io(event, &server->io, info->epoll_fd, EPOLLIN, on_io, server);
        if (r < 0)
                return r;
        r = sd_event_add_time(event, &server->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY_USEC, on_timer,
                              server);
        if (r < 0)
                return r;
        /* With no descriptor left, a client that cannot be accepted makes epoll report it again and again. */
        r = sd_event_source_set_ratelimit(server->io, RATE_INTERVAL_USEC, RATE_BURST);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(server->io, "metrics");
        (void)sd_event_source_set_description(server->timer, "metrics-timer");
        return serve_clients(server);
}

int metrics_server_new_from_fd(int fd, sd_event *event, const struct metrics *metrics, const char *ksm_dir,
                               struct metrics_server **ret, struct failure *failure)
{
        struct metrics_server *server = calloc(1, sizeof(*server));
        CLEANUP_CLOSE int listening = fd;
        int r = server ? 0 : -ENOMEM;

        for (size_t i = 0; server && i < MAX_CLIENTS; i++)
                server->clients[i].fd = -1;
        if (r == 0) {
                server->metrics = metrics;
                server->port = port_of(fd);
                server->ksm_dir = strdup(ksm_dir);
                r = server->ksm_dir ? start_http(server, TAKE_FD(listening)) : -ENOMEM;
        }
        if (r == 0)
                r = attach_to_event(server, event);
        if (r < 0) {
                metrics_server_free(server);
                return failure_errno(failure, r, "cannot start the server of the metrics");
        }
        *ret = server;
        return 0;
}

int metrics_server_new(const struct address *address, sd_event *event, const struct metrics *metrics,
                       const char *ksm_dir, struct metrics_server **ret, struct failure *failure)
{
        int fd = -1;
        int r = metrics_listen(address, &fd, failure);

        return r < 0 ? r : metrics_server_new_from_fd(fd, event, metrics, ksm_dir, ret, failure);
}

struct metrics_server *metrics_server_free(struct metrics_server *server)
{
        if (!server)
                return NULL;
        sd_event_source_disable_unref(server->io);
        sd_event_source_disable_unref(server->timer);
        if (server->http)
                MHD_stop_daemon(server->http);
        free(server->ksm_dir);
        free(server);
        return NULL;
}

uint16_t metrics_server_port(const struct metrics_server *server)
{
        return server->port;
}
